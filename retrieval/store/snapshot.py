"""Published states of a knowledge base in the form that is searched: a folder each, `index/<number>`, never changed.

Readers in any process may have one open while the next is made. What the pointer in SQLite names is whole, for it is
written last; a folder that a killed process left half made is named by nothing, and swept away by the next.
"""

from __future__ import annotations

import logging
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ..database.database import Database
from ..disk.durable import make_folder, sync_tree
from ..engines import open_index
from ..engines.base import SETTINGS, DamagedIndex, EngineChoice, StyleIndex, identity_of
from ..engines.seal import check, seal
from ..view.segment import DamagedSegment, Row, Segment
from ..view.view import View

FOLDER = "index"
_ENGINE = "engine"
_SEAL = "engine.json"
_FORM = 4  # of a snapshot's files, which `Segment.save` writes: one of another form is made anew
_PAGE = 500
# Vectors that an engine is given at once. Between two such steps an interrupt is heard, and searches have a turn:
# Chroma takes 0.4 s for 400 and 1.5 s for 2000 on two cores; by 100 each it takes twice as long in all.
_STEP = 400
_STALE = 0.02  # of the rows: so many changes are searched one by one before the next snapshot is made
_SAMPLE = 16  # rows that must find themselves at opening
_NEIGHBOURS = 8  # among how many a row has to find itself

Progress = Callable[[int, int], None]

log = logging.getLogger("style_pack.retrieval")


@dataclass(frozen=True)
class Storage:
    """Where a knowledge base is stored, and with which engine it is searched.

    database: its truth, in SQLite.
    folder: what holds the database and the snapshots.
    choice: the engine that settings.json names.
    own_process: whether the engine runs in a process of its own, see `open_index`.
    searched: whether views have the engine to search with; without, they look at every vector.
    """

    database: Database
    folder: Path
    choice: EngineChoice
    own_process: bool = False
    searched: bool = True

    def snapshot(self, number: int) -> Path:
        return self.folder / FOLDER / str(number)

    def file(self, meta: dict[str, Any]) -> tuple[int, int] | None:
        """Tell the published snapshot's folder from every other that is or was there; None while there is none."""
        return identity_of(self.snapshot(meta["snapshot"])) if meta.get("snapshot") else None

    def check(self, number: int) -> None:
        """Raise DamagedIndex when what the engine keeps in a snapshot's folder is not what was published."""
        check(self.snapshot(number) / _ENGINE, self.snapshot(number) / _SEAL)

    def index(self, number: int, collection: str) -> StyleIndex:
        return open_index(self.choice, self.snapshot(number) / _ENGINE, collection, self.own_process)


def open_view(storage: Storage, meta: dict[str, Any]) -> View:
    """Open the published snapshot, if there is one that this engine made; without, every row counts as added since."""
    if meta.get("engine") != storage.choice.identity or not meta.get("through") or meta.get("form") != _FORM:
        return View()
    lost = np.array(meta["lost"], dtype=np.int64)
    try:
        if not storage.searched:
            return View(Segment.open(storage.snapshot(meta["snapshot"])), None, lost)
        with ThreadPoolExecutor(1) as pool:  # both read much, and leave Python's lock for it
            opening = pool.submit(Segment.open, storage.snapshot(meta["snapshot"]))
            storage.check(meta["snapshot"])
            index = storage.index(meta["snapshot"], meta["collection"])
            segment = opening.result()
        missing = _missing_of_sample(index, segment, lost)
    except (DamagedIndex, DamagedSegment) as error:
        log.warning("%s: the index is damaged and is made anew (%s)", storage.folder.name, error)
        return View()
    if missing:
        log.warning("%s: the index misses %d of its pictures and is made anew", storage.folder.name, missing)
        index.close()
        return View()
    return View(segment, index, lost)


def is_stale(view: View) -> bool:
    """Tell whether there is enough to take in, or nothing published yet, that the next snapshot is due."""
    return view.changes > _STALE * len(view.snapshot_keys)


def publish(storage: Storage, view: View, on_progress: Progress) -> None:
    """Make the next snapshot of what is in the database, and name it. For the one who holds the writer's lock.

    Raises OSError when an index can't be made, not even afresh; what is published stays.

    on_progress(done, total): counts the pictures whose place in the index was made and checked. An exception of it
    leaves what is published as it was.
    """
    meta = storage.database.meta()
    number = meta.get("snapshot", 0) + 1
    shutil.rmtree(storage.snapshot(number), ignore_errors=True)
    make_folder(storage.snapshot(number))
    segment = Segment.build(list(chain.from_iterable(pages_after(storage.database, 0))))
    segment.save(storage.snapshot(number))
    with storage.database.transaction():
        storage.database.set_meta(publishing=True)  # a shared index that is left half changed is not gone on with
    collection, lost = _index(storage, meta, segment, view.snapshot_keys, on_progress)
    seal(storage.choice, storage.snapshot(number) / _ENGINE, storage.snapshot(number) / _SEAL)
    sync_tree(storage.snapshot(number))
    through = int(segment.keys[-1]) if len(segment) else 0
    with storage.database.transaction():
        named = {"snapshot": number, "through": through, "collection": collection, "lost": lost.tolist()}
        storage.database.set_meta(**named, engine=storage.choice.identity, form=_FORM, publishing=False)
        storage.database.forget_removed(through)
    _sweep(storage, meta, number, collection)


def _index(
    storage: Storage, meta: dict[str, Any], segment: Segment, held: np.ndarray, on_progress: Progress
) -> tuple[str, np.ndarray]:
    """Make the next snapshot's index, of the one that holds some keys, or afresh where there is none that is whole.

    Returns its name in a shared engine, and the keys that it does not find.
    """
    number = meta.get("snapshot", 0) + 1
    goes_on = len(held) > 0 and (storage.choice.is_local or not meta.get("publishing"))
    collection = meta["collection"] if goes_on else _collection(storage.folder.name)
    try:
        if goes_on and storage.choice.is_local:
            storage.check(number - 1)
            shutil.copytree(storage.snapshot(number - 1) / _ENGINE, storage.snapshot(number) / _ENGINE)
        return collection, _filled(storage.index(number, collection), segment, held[: goes_on * len(held)], on_progress)
    except DamagedIndex as error:
        shutil.rmtree(storage.snapshot(number) / _ENGINE, ignore_errors=True)
        if not goes_on:
            raise OSError(
                f"the search index of knowledge base '{storage.folder.name}' can't be made ({error}). Its pictures are "
                f"stored, and searches find them without it: make room on the disk, install {storage.choice.engine} "
                f"again, or choose another engine in {SETTINGS}."
            ) from error
        log.warning("%s: the index is damaged and is made anew (%s)", storage.folder.name, error)
        return _index(storage, meta, segment, held[:0], on_progress)


def pages_after(database: Database, key: int) -> Iterator[list[Row]]:
    while rows := database.rows_after(key, _PAGE):
        yield rows
        key = rows[-1][0]


def _filled(index: StyleIndex, segment: Segment, held: np.ndarray, on_progress: Progress) -> np.ndarray:
    """Make an index that holds some keys hold those of the segment; return those that it does not find. Closes it."""
    new = np.flatnonzero(~np.isin(segment.keys, held))
    total = len(new) + len(segment)
    try:
        index.remove(np.setdiff1d(held, segment.keys))
        for at in range(0, len(new), _STEP):
            rows = new[at : at + _STEP]
            index.add(segment.keys[rows], segment.vectors[rows])
            on_progress(at + len(rows), total)
        return _repair(index, segment, lambda done: on_progress(len(new) + done, total))
    finally:
        index.close()


def _repair(index: StyleIndex, segment: Segment, on_checked: Callable[[int], None]) -> np.ndarray:
    """Put in again what does not find itself, and return the keys that even then do not: the view looks at them all."""
    lost = _unfound(index, segment.keys, segment.vectors, on_checked)
    if not len(lost):
        return lost
    again = segment.vectors[segment.rows_of(lost)]
    index.remove(lost)
    index.add(lost, again)
    return _unfound(index, lost, again)


def _missing_of_sample(index: StyleIndex, segment: Segment, lost: np.ndarray) -> int:
    """Return how many of a few rows, all but the lost ones, the index does not find by their own vectors."""
    sample = np.linspace(0, len(segment) - 1, min(_SAMPLE, len(segment))).astype(np.int64)
    sample = np.setdiff1d(sample, segment.rows_of(lost))
    return len(_unfound(index, segment.keys[sample], segment.vectors[sample]))


def _unfound(
    index: StyleIndex, keys: np.ndarray, vectors: np.ndarray, on_checked: Callable[[int], None] = lambda done: None
) -> np.ndarray:
    lost: list[int] = []
    for at in range(0, len(keys), _PAGE):
        page = slice(at, at + _PAGE)
        nearest = index.nearest(vectors[page], _NEIGHBOURS)
        lost += [int(key) for key, near in zip(keys[page], nearest, strict=True) if key not in near]
        on_checked(at + len(nearest))
    return np.array(lost, dtype=np.int64)


def _collection(name: str) -> str:
    """A name of its own for each fresh start, in an engine that other knowledge bases, too, may use."""
    return f"style_rag_{re.sub('[^A-Za-z0-9]', '_', name)[:32]}_{uuid.uuid4().hex[:12]}"


def _keys_of(snapshot: Path) -> np.ndarray:
    try:
        return Segment.open(snapshot).keys
    except DamagedSegment:
        return np.zeros(0, dtype=np.int64)


def leave_shared_engine(storage: Storage) -> None:
    """Remove the published vectors from an engine that other knowledge bases use as well."""
    meta = storage.database.meta()
    if meta.get("collection") and not storage.choice.is_local and meta.get("engine") == storage.choice.identity:
        index = storage.index(meta["snapshot"], meta["collection"])
        index.clear(_keys_of(storage.snapshot(meta["snapshot"])))
        index.close()


def _sweep(storage: Storage, before: dict[str, Any], number: int, collection: str) -> None:
    """Remove what no reader can still be opening: all snapshots but this and the last, and a collection left behind."""
    left = before.get("collection", collection)
    if left != collection and not storage.choice.is_local and before.get("engine") == storage.choice.identity:
        index = storage.index(number, left)
        index.clear(_keys_of(storage.snapshot(before["snapshot"])))
        index.close()
    for folder in (storage.folder / FOLDER).iterdir():
        if folder.name not in (str(number), str(number - 1)):
            shutil.rmtree(folder, ignore_errors=True)  # Windows keeps what a reader has open; the next sweep takes it
