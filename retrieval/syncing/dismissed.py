"""What a person has removed while a source still holds it: a sync leaves such a file out until it changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..pictures.finder import find_pictures
from ..records import SourceFile

if TYPE_CHECKING:
    from ..store.store import StyleStore


def remove_by_hand(store: StyleStore, ids: Sequence[str]) -> None:
    """Forget pictures for good; their files stay."""
    with store.writing():
        dismiss(store, [path for record in store.records(ids).values() for path in record.files])
        store.remove(ids)


def dismiss(store: StyleStore, files: Iterable[str]) -> None:
    """Leave the files of a picture that is being removed out of what comes."""
    known = dict(store.dismissed)
    for path in map(Path, files):
        key = _key(store, str(path))
        if not Path(key).is_absolute():
            known[key] = []  # its own copy is written anew when a pack, a URL or an IMAGE brings it again
        elif path.is_file():
            known[key] = next(find_pictures([path])).stamp
    store.set_dismissed(known)


def welcome(store: StyleStore, files: Iterable[str]) -> None:
    """Take the files in again: somebody wants the picture back."""
    known, keys = store.dismissed, {_key(store, path) for path in files}
    if keys & known.keys():
        store.set_dismissed({key: stamp for key, stamp in known.items() if key not in keys})


def without_dismissed(store: StyleStore, files: Sequence[SourceFile]) -> list[SourceFile]:
    known = store.dismissed
    return [file for file in files if known.get(_key(store, file.path)) not in ([], file.stamp)]


def _key(store: StyleStore, path: str) -> str:
    """Return the path, of what lies in the knowledge base's own folder as seen from there."""
    own = Path(path).is_relative_to(store.folder)
    return Path(path).relative_to(store.folder).as_posix() if own else path
