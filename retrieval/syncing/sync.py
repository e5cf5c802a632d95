"""One run over the files that a knowledge base is made from: takes in what is new or changed, drops what vanished."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from ..encoders.encoder import StyleEncoder
from ..pictures.read_ahead import Reading, read_ahead
from ..ranking.calibration import measure_background
from ..records import IngestReport, Occurrence, SourceFile, StyleRecord, merge
from ..store.store import StyleStore

_BATCH_PIXELS = 50_000_000  # decoded pictures that wait to be embedded together: 150 MB
_DESCRIBED = 500  # new descriptions that are stored together

# on_progress(done, total): called once a file, and while the index is made; an exception ends the ingest and keeps what
# is stored.
Progress = Callable[[int, int], None]
# readings(files, known): what is in each file, in their order, or why it can't be read. What is read elsewhere comes
# without the image, and with a vector unless `known` holds its id.
Readings = Callable[[Sequence[SourceFile], Collection[str]], Generator[Reading | ValueError, None, None]]


def read_here(files: Sequence[SourceFile], known: Collection[str]) -> Generator[Reading | ValueError, None, None]:
    """Read the files in this process; what is in them is embedded by the run's own encoder."""
    return read_ahead(files)


@dataclass(frozen=True)
class Dropping:
    """What a sync drops of what vanished.

    others: also what came from sources that are not named, or only what one of the named ones held.
    consent(records): asked before pictures go; where it is False nothing is dropped.
    """

    others: bool = True
    consent: Callable[[Sequence[StyleRecord]], bool] = lambda records: True


@dataclass(frozen=True)
class SyncPlan:
    """What a run works with.

    known_vectors: id -> (D,) float32, unit length, of pictures that need not be embedded.
    earlier_words: path -> what that file said before the knowledge base was made anew.
    readings: where what is in the files comes from.
    consent: see `Dropping`.
    on_progress: see `Progress`.
    """

    known_vectors: Mapping[str, np.ndarray]
    earlier_words: Mapping[str, Occurrence]
    readings: Readings
    consent: Callable[[Sequence[StyleRecord]], bool]
    on_progress: Progress


class SyncRun:
    """A run over files. New pictures wait in `_batch` until there are enough to embed together, new descriptions in
    `_described`.

    embedded: ids of what is stored anew, in order.
    dropped: paths of the files that were dropped.
    agreed: whether consent was given, or not needed.
    """

    def __init__(self, store: StyleStore, encoder: StyleEncoder, report: IngestReport, plan: SyncPlan) -> None:
        self.embedded: list[str] = []
        self.dropped: list[str] = []
        self.agreed = True
        self.store = store
        self._encoder = encoder
        self._report = report
        self._plan = plan
        self._shown = store.said.all()
        self.stored = set(store.ids())
        self._batch: dict[str, tuple[Reading, list[Occurrence]]] = {}
        self._batch_pixels = 0
        self._described: list[Occurrence] = []
        # Picture -> what one of its files shows instead, "" if that is no new one.
        self._successors: dict[str, str] = {}

    def run(
        self,
        files: Sequence[SourceFile],
        may_go: Callable[[Occurrence], bool],
        reread: Collection[str] = (),
    ) -> None:
        """Take in the files, and drop those that are gone and that may go.

        reread: paths of files that are read although they have not changed.
        """
        revision = self.store.revision
        changed = [file for file in files if file.path in reread or not self._is_unchanged(file)]
        again = {file.path for file in changed}
        with closing(self._plan.readings(changed, self._plan.known_vectors.keys() | self.stored)) as readings:
            for done, file in enumerate(files, 1):
                if file.path in again:
                    self._take(file, next(readings))
                else:
                    self._report.unchanged += 1
                    if file.source and not (known := self._shown[file.path]).source:
                        self._described.append(replace(known, source=file.source))
                self._plan.on_progress(done, len(files))
        self._flush()
        self._flush_described()
        present = {file.path for file in files}
        self._drop([path for path, shown in self._shown.items() if path not in present and may_go(shown)])
        origin = self.store.origin
        if origin and (origin.revision != revision or not origin.background):  # none after an interrupted run
            self.store.set_background(measure_background(self.store, self._encoder))

    def _is_unchanged(self, file: SourceFile) -> bool:
        return file.path in self._shown and self._shown[file.path].stamp == file.stamp

    def _take(self, file: SourceFile, reading: Reading | ValueError) -> None:
        if isinstance(reading, ValueError):
            self._report.failed.append({"file": file.path, "reason": str(reading)})
            return
        id, before = reading.id, self._shown.get(file.path)
        said = (file.name, reading.caption, reading.tags, reading.licence)
        earlier = before or self._plan.earlier_words.get(file.path)
        if reading.unread:
            self._report.failed.append({"file": file.path, "reason": reading.unread})
        if earlier and (earlier.id == id if reading.unread else before and before.stamp == file.stamp):
            said = (earlier.name, earlier.caption, earlier.tags, earlier.licence)  # or only the pixels are read anew
        shown = Occurrence(file.path, id, file.source, file.stamp, *said)
        self._count(before is not None, id)
        if before and before.id != id:
            self._successors[before.id] = "" if id in self.stored else id
        if id in self._batch:
            self._batch[id][1].append(shown)
        elif id in self.stored:
            self._described.append(shown)
        else:
            self._batch[id] = (reading, [shown])
            self._batch_pixels += reading.width * reading.height if reading.image else 0
        self._shown[file.path] = shown
        self._flush_when_full()

    def _count(self, was_here: bool, id: str) -> None:
        if was_here:
            self._report.updated += 1
        elif id in self.stored or id in self._batch:
            self._report.unchanged += 1
        else:
            self._report.added += 1

    def _flush_when_full(self) -> None:
        if len(self._batch) >= self._encoder.batch_size or self._batch_pixels > _BATCH_PIXELS:
            self._flush()
        if len(self._described) >= _DESCRIBED:
            self._flush_described()

    def _flush(self) -> None:
        if not self._batch:
            return
        vectors_by_id = {
            id: self._plan.known_vectors.get(id, reading.vector) for id, (reading, _) in self._batch.items()
        }
        new = [self._batch[id][0].image for id, vector in vectors_by_id.items() if vector is None]
        embedded = iter(self._encoder.encode_images([image for image in new if image]) if new else ())
        vectors = np.stack([next(embedded) if vector is None else vector for vector in vectors_by_id.values()])
        records = [merge(shown, reading.width, reading.height) for reading, shown in self._batch.values()]
        shown = [file for _, files in self._batch.values() for file in files]
        self.store.add(records, vectors, self._encoder.identity, shown)
        self.embedded += self._batch
        self.stored.update(self._batch)
        self._batch.clear()
        self._batch_pixels = 0

    def _flush_described(self) -> None:
        if self._described:
            with self.store.saying() as said:
                said.show(self._described)
            self._described.clear()

    def _drop(self, vanished: list[str]) -> None:
        """Drop files, if that is agreed to, and in any case every picture that no file shows any longer."""
        dropped = set(vanished)
        left = {shown.id for path, shown in self._shown.items() if path not in dropped}
        going = [id for id in {self._shown[path].id: None for path in vanished} if id not in left]
        if going and not self._plan.consent(list(self.store.records(going).values())):
            vanished, self.agreed = [], False
        with self.store.saying() as said:
            gone = said.drop(vanished, {old: new for old, new in self._successors.items() if new})
        self.store.encodings.forget(gone)
        self.dropped = vanished
        self._report.removed += len([id for id in gone if id not in self._successors])
