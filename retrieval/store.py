"""One knowledge base on disk: adds, removes and finds. Joins the database, the published snapshot, and the engine."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from .captions import CaptionTable
from .database import FILE, Database
from .encodings import Encodings
from .filters import labels, numbers
from .index import SETTINGS, read_choice
from .meanwhile import ChangedMeanwhile
from .origin import Origin, pack_version, same_weights, to_origin
from .records import StyleRecord
from .snapshot import Place, Progress, is_stale, open_view, pages_after, publish
from .view import View

_LOCK = "write.lock"
_DRAFT = "rebuild"  # the knowledge base that a rebuild is making
_WAIT = 60.0  # seconds for another writer to end
# What version 0.1.0 left: its own note, and Chroma as the only place of records and vectors.
_BEFORE = ("knowledge_base.json", "chroma")


class StyleStore:
    """A folder that holds one knowledge base. Opening makes the folder and an empty database.

    One process at a time writes, inside `writing`, after at most `wait` seconds; any number read, and see what was
    committed at their next look. apart: run a vector engine that keeps other threads waiting in a process of its own.
    """

    def __init__(self, folder: Path, wait: float = _WAIT, apart: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.name = folder.name
        self.encodings = Encodings(folder / "encodings")
        self._wait = wait
        self._database = Database(folder / FILE)
        choice = read_choice(folder.parent / SETTINGS, folder.name)
        self._place = Place(self._database, folder, choice, apart)
        self._writer = FileLock(folder / _LOCK, thread_local=False)
        self._busy = threading.RLock()
        self._view = View()
        self._captions = CaptionTable(())
        self._published: Sequence[object] = ()  # which snapshot the view is of
        self._revision, self._key, self._removal = -1, 0, 0  # and how far it has come since

    @property
    def revision(self) -> int:
        """Counts committed changes; 0 before the first."""
        return self._database.meta().get("revision", 0)

    @property
    def origin(self) -> Origin | None:
        """What made this knowledge base; None while it is empty."""
        return to_origin(self._database.meta())

    @contextmanager
    def writing(self, wait: float | None = None) -> Iterator[None]:
        """Be the one writer. The operating system frees the lock of a process that ends, however it does.

        Raises TimeoutError when another writer does not end within `wait` seconds; the store's own, where None.
        """
        wait = self._wait if wait is None else wait
        try:
            self._writer.acquire(timeout=wait)
        except Timeout:
            raise TimeoutError(
                f"knowledge base '{self.name}' is being written by another process, for more than {wait:g} seconds: "
                "wait for it to end, then run again."
            ) from None
        try:
            yield
        finally:
            self._writer.release()

    def require_encoder(self, identity: str) -> None:
        """Raise ValueError unless the vectors stored here came from the same weights, under whatever name."""
        origin = self.origin
        if origin and not same_weights(origin.encoder, identity):
            raise ValueError(
                f"knowledge base '{self.name}' was made with encoder {origin.encoder} ({origin.dimension} numbers a "
                f"picture), and {identity} is chosen: choose the same encoder, or set update to rebuild."
            )

    def require_current(self) -> None:
        """Raise ValueError for a knowledge base of version 0.1.0, which had no database."""
        if (self.folder / _BEFORE[0]).is_file():
            raise ValueError(
                f"knowledge base '{self.name}' was made by an earlier version, which kept its records elsewhere: set "
                "update to rebuild, once."
            )

    def __len__(self) -> int:
        return self._database.count()

    def ids(self, limit: int = -1) -> list[str]:
        """Return the ids in order, all or the first few."""
        return self._database.ids(limit)

    def files(self) -> dict[str, tuple[str, list[int]]]:
        """Return path -> (id, stamp) of every file that shows a stored picture."""
        return {path: (id, stamp) for id, files in self._database.files() for path, stamp in files.items()}

    def records(self, ids: Sequence[str] | None = None) -> dict[str, StyleRecord]:
        """Return records by id, in the order of `ids` (those that are not here are left out), or all, ordered by id."""
        found = {record.id: record for record in self._database.records(ids)}
        return found if ids is None else {id: found[id] for id in ids if id in found}

    def vectors(self, ids: Sequence[str]) -> np.ndarray:
        """Return the stored vectors, (N, D) float32, in the order of `ids`. Raises ChangedMeanwhile if one is gone."""
        rows = self._database.vectors(ids)
        if len(rows) < len(set(ids)):
            raise ChangedMeanwhile(self.name)
        return np.stack([rows[id] for id in ids])

    def add(self, records: Sequence[StyleRecord], vectors: np.ndarray, encoder: str) -> None:
        """Store records with their vectors, (N, D) float32 of unit length; an id that exists is replaced."""
        with self._change():
            self._database.insert(records, vectors)
            if not self.origin:
                made = {"encoder": encoder, "dimension": vectors.shape[1], "pack": pack_version()}
                self._database.set_meta(**made)

    def replace_metadata(self, records: Sequence[StyleRecord]) -> None:
        """Store what is new about pictures whose pixels, and so their vectors, are the same."""
        with self._change():
            known = self.records([record.id for record in records])
            for record in records:
                if _seen_by_search(record) == _seen_by_search(known[record.id]):
                    self._database.set_files(record)
                else:
                    self._database.insert([record], self.vectors([record.id]))

    def remove(self, ids: Sequence[str]) -> None:
        with self._change():
            self._database.remove(ids)
        self.encodings.forget(ids)

    def draft(self, identity: str) -> StyleStore:
        """Open the knowledge base that is to replace this one: what a rebuild with these weights has left, or empty."""
        draft = StyleStore(self.folder / _DRAFT)
        if draft.origin and not same_weights(draft.origin.encoder, identity):
            draft.discard()
            draft = StyleStore(self.folder / _DRAFT)
        return draft

    def discard(self) -> None:
        """Remove the folder, and be of no more use."""
        self._database.close()
        shutil.rmtree(self.folder)

    def replace_with(self, draft: StyleStore) -> None:
        """Hold what a draft holds, and nothing else, from one moment to the next; the draft is gone then."""
        with self.writing():
            with self._database.attached(draft.folder / FILE), self._change():
                meta = self._database.meta()
                kept = {name: meta[name] for name in ("revision", "snapshot", "collection", "engine") if name in meta}
                self._database.replace_with_attached()
                self._database.set_meta(**kept, emptied=meta.get("revision", 0))
            draft.discard()
            self.encodings.clear()
            (self.folder / _BEFORE[0]).unlink(missing_ok=True)
            shutil.rmtree(self.folder / _BEFORE[1], ignore_errors=True)

    def set_background(self, background: dict[str, list[float]]) -> None:
        origin = self.origin
        if origin and origin.background != background:
            with self._change():
                self._database.set_meta(background=background)

    def publish(self, on_progress: Progress = lambda done, total: None, wait: float | None = None) -> None:
        """Bring the index up to date when enough has changed. Searches are right without; this makes them fast.

        on_progress(done, total): what it raises ends the work, and what was published before stays.
        """
        with self.reading() as view:
            due = is_stale(view)
        if due:
            with self.writing(wait), self.reading() as view:
                publish(self._place, view, on_progress)

    @contextmanager
    def reading(self) -> Iterator[View]:
        """Search what is committed now. One thread at a time."""
        with self._busy:
            yield self._refreshed()

    def without_caption_vector(self, encoder: str) -> list[str]:
        """Return the ids whose captions this sentence encoder has yet to encode; drop what another one made."""
        if not same_weights(self._database.meta().get("caption_encoder", ""), encoder):
            with self._change():
                self._database.clear_captions()
                self._database.set_meta(caption_encoder=encoder, captions_since=self.revision)
        return self._database.without_caption_vector()

    def add_caption_vectors(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        """Store (N, D) float32 of unit length for pictures that have none yet."""
        with self._change():
            self._database.insert_captions(ids, vectors)

    def captions(self, encoder: str) -> CaptionTable:
        """Return the caption vectors that are stored now. Raises ValueError unless this sentence encoder made them."""
        with self._busy, self._database.transaction(write=False):
            meta = self._database.meta()
            made = meta.get("caption_encoder", "")
            if not same_weights(made, encoder):
                raise ValueError(
                    f"knowledge base '{self.name}' has captions encoded by {made or 'nothing'}, and caption encoder "
                    f"{encoder} is chosen: bring it up to date with that one, or choose the same for the search."
                )
            if self._captions.made != (made, meta["captions_since"]):
                self._captions = CaptionTable((made, meta["captions_since"]))
            if rows := self._database.captions_after(self._captions.last):
                self._captions.extend(rows)
            return self._captions

    def _refreshed(self) -> View:
        """Return the view, brought up to what is committed; all of it comes from one state of the database."""
        with self._database.transaction(write=False):
            meta = self._database.meta()
            published = [meta.get(name) for name in ("snapshot", "through", "engine", "emptied")]
            if published != self._published:
                self._view.close()
                self._view = open_view(self._place, meta)
                self._published = published
                self._revision, self._key, self._removal = -1, self._view.last_key, 0
            if self._revision != meta.get("revision", 0):
                for rows in pages_after(self._database, self._key):
                    self._view.extend(rows)
                    self._key = rows[-1][0]
                for removal, key in self._database.removed_after(self._removal):
                    self._view.forget(key)
                    self._removal = removal
                self._revision = meta.get("revision", 0)
        return self._view

    @contextmanager
    def _change(self) -> Iterator[None]:
        """One transaction of the one writer, counted."""
        with self.writing(), self._database.transaction():
            yield
            self._database.set_meta(revision=self.revision + 1)


def _seen_by_search(record: StyleRecord) -> tuple[object, ...]:
    return record.text, labels(record), numbers(record)
