"""Libraries of the program Eagle (https://eagle.cool): `NAME.library/images/ID.info/` for each item.

An item's folder has the picture, `..._thumbnail.png` unless it is small, and metadata.json. The library's own
metadata.json has the tree of folders that items are sorted into.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

METADATA = "metadata.json"
_ITEM, _THUMBNAIL = ".info", "_thumbnail"
_MAX_METADATA = 20_000_000  # bytes; a library's tree of folders has some thousands


def is_item(folder: Path) -> bool:
    """Tell whether a folder is an item of a library."""
    return folder.name.endswith(_ITEM) and (folder / METADATA).is_file()


def is_thumbnail(picture: Path) -> bool:
    """Tell whether a picture in an item's folder is Eagle's own small copy."""
    return picture.stem.endswith(_THUMBNAIL)


def is_deleted(folder: Path) -> bool:
    """Tell whether an item lies in Eagle's bin."""
    return _read(folder / METADATA).get("isDeleted") is True


def read_item(folder: Path) -> tuple[str, list[str]]:
    """Return (caption, tags): its annotation, or else its name; its tags, the names of its folders, `4 stars`."""
    item = _read(folder / METADATA)
    library = folder.parent.parent / METADATA
    is_whole = folder.parent.name == "images" and library.is_file()
    names = _folders(library, library.stat().st_mtime_ns) if is_whole else {}
    tags = [tag for tag in _list(item.get("tags")) if isinstance(tag, str)]
    tags += [names[id] for id in _list(item.get("folders")) if isinstance(id, str) and id in names]
    stars = item.get("star")
    if isinstance(stars, int) and 1 <= stars <= 5:
        tags.append(f"{stars} stars" if stars > 1 else "1 star")
    return str(item.get("annotation") or item.get("name") or ""), tags


@lru_cache(maxsize=4)
def _folders(library: Path, modified: int) -> dict[str, str]:
    """Return {id: name} of all folders of a library."""
    names, waiting = {}, _list(_read(library).get("folders"))
    while waiting:
        folder = waiting.pop()
        if isinstance(folder, dict):
            names[str(folder.get("id"))] = str(folder.get("name") or "")
            waiting += _list(folder.get("children"))
    return names


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else []


def _read(file: Path) -> dict[str, Any]:
    """Return an object of JSON; an empty one for what can't be read, or is something else."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig")) if file.stat().st_size <= _MAX_METADATA else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
