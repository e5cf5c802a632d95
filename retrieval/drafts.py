"""Files that are written beside their place, and take it when they are whole."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Have a path that nobody else has, for a file that takes the target's place at the end, unless an error ends it.

    It lies in the target's folder, is hidden, and has the target's suffix.
    """
    draft = target.with_name(f".{uuid.uuid4().hex}{target.suffix}")
    try:
        yield draft
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
