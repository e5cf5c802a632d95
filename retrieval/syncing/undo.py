"""Brings back what the last run over a knowledge base's sources has dropped: records, words and vectors."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..pictures.reader import content_id, open_picture
from ..records import Occurrence
from ..store.own_pictures import bring_back
from ..store.store import StyleStore


@dataclass
class Undone:
    """What an undo did.

    restored: how many pictures are stored again.
    gone: paths of files that are not there, or show another picture.
    total: how many pictures there are now.
    """

    restored: int = 0
    gone: list[str] = field(default_factory=list)
    total: int = 0


def undo(store: StyleStore) -> Undone:
    """Have again what the last run dropped, as far as its files are there; what is gone can be undone later.

    Raises ValueError when nothing was dropped, or another encoder made the knowledge base since.
    """
    with store.writing():
        dropped = store.said.dropped()
        if not dropped:
            raise ValueError(f"no run has dropped anything from '{store.name}', or its files are gone.")
        for file in dropped:
            bring_back(store, file.path)
        here = [file for file in dropped if _shows(file)]
        with store.saying() as said:
            restored = said.put_back(here)
        store.publish()
    gone = sorted({file.path for file in dropped} - {file.path for file in here})
    return Undone(len(restored), gone, len(store))


def _shows(file: Occurrence) -> bool:
    """Tell whether a file still shows its picture."""
    path = Path(file.path)
    try:
        status = path.stat()
        return [status.st_size, status.st_mtime_ns] == file.stamp[:2] or content_id(open_picture(path)) == file.id
    except (OSError, ValueError):
        return False
