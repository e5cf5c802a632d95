"""How a knowledge base writes down the paths of pictures that it keeps itself, so that its folder can move."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

_HERE = "./"  # what is stored for the knowledge base's own folder

Value = TypeVar("Value")


def kept_path(home: Path, path: str) -> str:
    """Return what is written down of a path: from a knowledge base's folder on, for what lies in that."""
    start = f"{home}{os.sep}"
    return _HERE + path[len(start) :].replace(os.sep, "/") if path.startswith(start) else path


def whole_path(home: Path, kept: str) -> str:
    """Return the path that was written down, wherever the folder is by now."""
    return str(home / kept[len(_HERE) :]) if kept.startswith(_HERE) else kept


def kept_as(home: Path, files: Mapping[str, Value]) -> dict[str, Value]:
    return {kept_path(home, path): value for path, value in files.items()}


def found_at(home: Path, files: Mapping[str, Value]) -> dict[str, Value]:
    return {whole_path(home, path): value for path, value in files.items()}
