"""A pack for tests: whatever asks for a path with one of these names waits for ever, as below a mount that is gone."""

import io
import os
import threading
from collections.abc import Callable
from typing import Any

NODE_CLASS_MAPPINGS: dict[str, type] = {}
_DEAD = ("dead drive", "asleep")


def _waiting(ask: Callable[..., Any]) -> Callable[..., Any]:
    def asked(path: Any = ".", *rest: Any, **named: Any) -> Any:
        if any(name in str(path) for name in _DEAD):
            threading.Event().wait()
        return ask(path, *rest, **named)

    return asked


os.stat, os.scandir, io.open = _waiting(os.stat), _waiting(os.scandir), _waiting(io.open)
