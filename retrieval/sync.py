"""One run over the files that a knowledge base is made from: takes in what is new or changed, drops what vanished."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from .calibration import measure_background
from .encoder import StyleEncoder
from .read_ahead import Reading, read_ahead
from .records import IngestReport, Occurrence, SourceFile, merge
from .store import StyleStore

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


class SyncRun:
    """New pictures wait in `_batch` until there are enough to embed together, new descriptions in `_described`.

    known: id -> vector of pictures that need not be embedded. embedded: ids of what is stored anew, in order.
    readings: where what is in the files comes from.
    """

    def __init__(
        self,
        store: StyleStore,
        encoder: StyleEncoder,
        report: IngestReport,
        on_progress: Progress,
        known: Mapping[str, np.ndarray],
        readings: Readings = read_here,
    ) -> None:
        self.embedded: list[str] = []
        self._readings = readings
        self._known = known
        self._store = store
        self._encoder = encoder
        self._report = report
        self._on_progress = on_progress
        self._shown = store.said.all()
        self._stored = set(store.ids())
        self._batch: dict[str, tuple[Reading, list[Occurrence]]] = {}
        self._batch_pixels = 0
        self._described: list[Occurrence] = []
        self._successors: dict[
            str, str
        ] = {}  # picture -> what one of its files shows instead, "" if that is no new one

    def run(self, files: Sequence[SourceFile], drop: bool, unseen: Collection[Path] = ()) -> None:
        """Take in the files; `drop` those that are gone, but for what lies in an `unseen` place, of which none knows.

        unseen: folders and files that could not be looked at.
        """
        revision = self._store.revision
        changed = [file for file in files if not self._is_unchanged(file)]
        again = {file.path for file in changed}
        with closing(self._readings(changed, self._known.keys() | self._stored)) as readings:
            for done, file in enumerate(files, 1):
                if file.path in again:
                    self._take(file, next(readings))
                else:
                    self._report.unchanged += 1
                self._on_progress(done, len(files))
        self._flush()
        self._flush_described()
        self._drop_vanished({file.path for file in files} if drop else None, unseen)
        origin = self._store.origin
        if origin and (origin.revision != revision or not origin.background):  # none after an interrupted run
            self._store.set_background(measure_background(self._store, self._encoder))

    def _is_unchanged(self, file: SourceFile) -> bool:
        return file.path in self._shown and self._shown[file.path].stamp == file.stamp

    def _take(self, file: SourceFile, reading: Reading | ValueError) -> None:
        if isinstance(reading, ValueError):
            self._report.failed.append({"file": file.path, "reason": str(reading)})
            return
        id, before = reading.id, self._shown.get(file.path)
        said = (file.name, reading.caption, reading.tags, reading.licence)
        shown = Occurrence(file.path, id, file.source, file.stamp, *said)
        self._count(before is not None, id)
        if before and before.id != id:
            self._successors[before.id] = "" if id in self._stored else id
        if id in self._batch:
            self._batch[id][1].append(shown)
        elif id in self._stored:
            self._described.append(shown)
        else:
            self._batch[id] = (reading, [shown])
            self._batch_pixels += reading.width * reading.height if reading.image else 0
        self._shown[file.path] = shown
        self._flush_when_full()

    def _count(self, was_here: bool, id: str) -> None:
        if was_here:
            self._report.updated += 1
        elif id in self._stored or id in self._batch:
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
        found = {id: self._known.get(id, reading.vector) for id, (reading, _) in self._batch.items()}
        new = [self._batch[id][0].image for id, vector in found.items() if vector is None]
        embedded = iter(self._encoder.encode_images([image for image in new if image]) if new else ())
        vectors = np.stack([next(embedded) if vector is None else vector for vector in found.values()])
        records = [merge(shown, reading.width, reading.height) for reading, shown in self._batch.values()]
        shown = [file for _, its in self._batch.values() for file in its]
        self._store.add(records, vectors, self._encoder.identity, shown)
        self.embedded += self._batch
        self._stored.update(self._batch)
        self._batch.clear()
        self._batch_pixels = 0

    def _flush_described(self) -> None:
        if self._described:
            with self._store.saying() as said:
                said.show(self._described)
            self._described.clear()

    def _drop_vanished(self, present: set[str] | None, unseen: Collection[Path]) -> None:
        """Drop files that are not `present`, unless that is None, and every picture that none shows any longer."""
        vanished = [] if present is None else [path for path in self._shown if path not in present]
        vanished = [path for path in vanished if not any(Path(path).is_relative_to(place) for place in unseen)]
        with self._store.saying() as said:
            dropped = said.drop(vanished, {old: new for old, new in self._successors.items() if new})
        self._store.encodings.forget(dropped)
        self._report.removed += len([id for id in dropped if id not in self._successors])
