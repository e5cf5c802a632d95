"""How a knowledge base writes down the paths of pictures that it keeps itself, so that its folder can move."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

_HERE = "./"  # what is stored for the knowledge base's own folder
OWN = ("pictures", "packs")  # in that folder, where pictures are kept

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


def moved_along(home: Path, files: Mapping[str, Value]) -> dict[str, Value]:
    """Return the same with what was written down whole, in a folder that has moved since, as it is now."""
    return {_now(home, path, lambda place, parts: place.is_file()): value for path, value in files.items()}


def moved_back(home: Path, files: Mapping[str, Value]) -> dict[str, Value]:
    """Return the same with every path whole, for files that are to be put back where `home` is by now."""

    def was_own(place: Path, parts: Sequence[str]) -> bool:
        return parts[-2:-1] == [home.parent.name]

    return found_at(home, {_now(home, path, was_own): value for path, value in files.items()})


def _now(home: Path, path: str, is_own: Callable[[Path, Sequence[str]], bool]) -> str:
    """is_own: told the place in `home`, and the parts of the path before that, which named the folder."""
    if path.startswith((_HERE, f"{home}{os.sep}")):
        return path
    parts = path.replace("\\", "/").split("/")
    for at in range(len(parts) - 1, 0, -1):
        place = home.joinpath(*parts[at:])
        if parts[at] in OWN and is_own(place, parts[:at]) and not os.path.exists(path):
            return str(place)
    return path
