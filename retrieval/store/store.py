"""One knowledge base on disk: adds, removes and finds. Joins the database, the published snapshot, and the engine."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock

from ..database.database import FILE, Database
from ..database.occurrences import Occurrences, from_record
from ..disk.durable import make_folder
from ..engines.base import SETTINGS, read_choice
from ..pictures.reader import DECODING
from ..records import Occurrence, StyleRecord
from ..view.captions import CaptionTable
from ..view.view import View
from .encodings import Encodings
from .look import ChangedMeanwhile, Look, with_another
from .origin import Origin, pack_version, same_weights, to_origin
from .snapshot import Progress, Storage, is_stale, leave_shared_engine, publish
from .write_lock import LOCK, locked

_DRAFT = "rebuild"  # the knowledge base that a rebuild is making
_KEPT = ("revision", "changes", "snapshot", "collection", "engine")  # by a knowledge base that is rebuilt
_WAIT = 60.0  # seconds for another writer to end


class StyleStore:
    """A folder that holds one knowledge base. Opening makes the folder and an empty database.

    One process at a time writes, inside `writing`; any number read, and see what was committed at their next look.
    When somebody deletes, moves or replaces the folder, the next look is at what is there then.

    wait: seconds to wait for another writer.
    own_process: whether a vector engine that keeps other threads waiting runs in a process of its own.
    home: the folder of its own pictures, for a draft.
    engine: False for who only lists and looks up: no engine is started, and a search looks at every vector.
    """

    def __init__(
        self,
        folder: Path,
        wait: float = _WAIT,
        own_process: bool = False,
        home: Path | None = None,
        engine: bool = True,
    ) -> None:
        make_folder(folder)
        self.folder = folder
        self.name = folder.name
        self.encodings = Encodings(folder / "encodings")
        self._wait = wait
        self._database = Database(folder / FILE, home)
        self.said = Occurrences(self._database)  # to read; `saying` changes it
        choice = read_choice(folder.parent / SETTINGS, folder.name)
        self._storage = Storage(self._database, folder, choice, own_process, engine)
        self._writer = FileLock(folder / LOCK, thread_local=False)
        self._busy = threading.RLock()
        self._look = Look(self._storage)

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
        """Be the one writer.

        Raises TimeoutError when another writer does not end within `wait` seconds; the store's own, where None.
        """
        wait = self._wait if wait is None else wait
        self._database.require()
        with locked(self._writer, self.name, wait), self._database.held():
            yield

    def require_encoder(self, identity: str) -> None:
        """Raise ValueError unless the vectors stored here came from the same weights, under whatever name."""
        origin = self.origin
        if origin and not same_weights(origin.encoder, identity):
            raise ValueError(
                f"knowledge base '{self.name}' was made with encoder {origin.encoder} ({origin.dimension} numbers a "
                f"picture), and {identity} is chosen: choose the same encoder, or set update to rebuild."
            )

    def __len__(self) -> int:
        return self._database.count()

    def ids(self, limit: int = -1) -> list[str]:
        """Return the ids in order, all or the first few."""
        return self._database.ids(limit)

    def records(self, ids: Sequence[str] | None = None) -> dict[str, StyleRecord]:
        """Return records by id, in the order of `ids` (those that are not here are left out), or all, ordered by id."""
        by_id = {record.id: record for record in self._database.records(ids)}
        return by_id if ids is None else {id: by_id[id] for id in ids if id in by_id}

    def vectors(self, ids: Sequence[str]) -> np.ndarray:
        """Return the stored vectors, (N, D) float32, in the order of `ids`. Raises ChangedMeanwhile if one is gone."""
        rows = self._database.vectors(ids)
        if len(rows) < len(set(ids)):
            raise ChangedMeanwhile(self.name)
        return np.stack([rows[id] for id in ids])

    def add(
        self, records: Sequence[StyleRecord], vectors: np.ndarray, encoder: str, shown: Sequence[Occurrence] = ()
    ) -> None:
        """Store records with vectors, (N, D) float32, unit length, and what files say where not all say the same."""
        with self._change():
            self._database.insert(records, vectors)
            self.said.show(shown or [file for record in records for file in from_record(record)], new=True)
            if not self.origin:
                made = {"encoder": encoder, "dimension": vectors.shape[1], "pack": pack_version()}
                self._database.set_meta(**made, decoding=DECODING)

    @contextmanager
    def saying(self) -> Iterator[Occurrences]:
        """Change what files and people say of pictures, all of it or nothing."""
        with self._change():
            yield self.said

    def remove(self, ids: Sequence[str]) -> None:
        """Forget pictures, and all that was said of them."""
        with self._change():
            self._database.remove(ids)
            self._database.forget_words(ids)
        self.encodings.forget(ids)

    @property
    def dismissed(self) -> dict[str, list[int]]:
        """What was removed by hand and is left out of what comes: file -> stamp."""
        return self._database.meta().get("dismissed", {})

    def set_dismissed(self, dismissed: dict[str, list[int]]) -> None:
        with self._change():
            self._database.set_meta(dismissed=dismissed)

    def draft(self, identity: str) -> StyleStore:
        """Open the knowledge base that is to replace this one: what a rebuild with these weights has left, or empty."""
        draft = StyleStore(self.folder / _DRAFT, home=self.folder)
        if draft.origin and not same_weights(draft.origin.encoder, identity):
            draft.discard()
            draft = StyleStore(self.folder / _DRAFT, home=self.folder)
        return draft

    def discard(self) -> None:
        """Remove the folder, and be of no more use."""
        self.close()
        shutil.rmtree(self.folder)

    def replace_with(self, draft: StyleStore) -> None:
        """Hold what a draft holds, and nothing else, from one moment to the next; the draft is gone then."""
        with self.writing():
            with self._database.attached(draft.folder / FILE), self._change():
                meta = self._database.meta()
                kept = {name: meta[name] for name in _KEPT if name in meta}
                alike = same_weights(meta.get("encoder", ""), draft.origin.encoder if draft.origin else "")
                self.said.note_replaced(draft.said, alike)
                self._database.replace_with_attached()
                self._database.set_meta(**kept, emptied=meta.get("revision", 0))
                self.said.refresh(self.said.edits())
            draft.discard()
            self.encodings.clear()

    def copy_to(self, file: Path) -> None:
        """Write the database, as it is committed now, to a file."""
        self._database.copy_to(file)

    def check(self) -> None:
        """Raise OSError for a database that is damaged anywhere."""
        self._database.check()

    def publish_anew(self, number: int) -> None:
        """Hold no index, as a copy does; the next one comes after snapshot `number`."""
        with self._change():
            self._database.forget_published()
            self._database.set_meta(snapshot=number)

    def leave_shared_engine(self) -> None:
        leave_shared_engine(self._storage)

    def set_background(self, background: dict[str, list[float]]) -> None:
        origin = self.origin
        if origin and origin.background != background:
            with self._change():
                self._database.set_meta(background=background)

    def set_decoding(self) -> None:
        """Note that all pictures here are as they are decoded now; this is no change of what is stored."""
        with self.writing(), self._database.transaction():
            self._database.set_meta(decoding=DECODING)

    def publish(self, on_progress: Progress = lambda done, total: None, wait: float | None = None) -> None:
        """Bring the index up to date when enough has changed. Searches are right without; this makes them fast.

        on_progress(done, total): what it raises ends the work, and what was published before stays.
        """
        with self.reading() as view:
            due = is_stale(view)
        if due:
            with self.writing(wait), self.reading() as view:
                publish(self._storage, view, on_progress)

    @contextmanager
    def reading(self) -> Iterator[View]:
        """Search what is committed now. One thread at a time."""
        with self._busy, self._database.held():
            yield self._look.view()

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
        with self._busy:
            return self._look.captions(encoder)

    def close(self) -> None:
        """Let go of what was opened to be searched; a later look opens it again."""
        with self._busy:
            self._look.close()

    @contextmanager
    def _change(self) -> Iterator[None]:
        """One transaction of the one writer, counted if it changes anything: who sees the same count sees the same."""
        with self.writing(), self._database.transaction():
            before = self._database.changes
            yield
            if self._database.changes != before:
                self._database.set_meta(revision=self.revision + 1, changes=with_another(self._database.meta()))
