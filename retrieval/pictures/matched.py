"""The pictures of what a search has found, as their files show them now."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from ..records import StyleMatch
from .reader import content_id, open_picture


def open_matches(matches: Iterable[StyleMatch]) -> list[Image.Image]:
    """Return the picture of each match: of the first file that still shows it. Raises ValueError where none does."""
    return [_open(match) for match in matches]


def _open(match: StyleMatch) -> Image.Image:
    reasons = []
    for file, stamp in match.record.files.items():
        try:
            picture = open_picture(Path(file))
        except ValueError as error:
            reasons.append(f"{error} ({file})")
            continue
        if _stamp(Path(file)) == stamp[:2] or content_id(picture) == match.record.id:
            return picture
        reasons.append(f"its file shows another picture now ({file})")
    raise ValueError(
        f"style '{match.record.name}' can't be used, {reasons[0]}: bring the picture back, or run StyleKnowledgeBase "
        "with update set to sync."
    )


def _stamp(file: Path) -> list[int]:
    status = file.stat()
    return [status.st_size, status.st_mtime_ns]
