"""One run over the files that a knowledge base is made from: takes in what is new or changed, drops what vanished."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from .calibration import measure_background
from .encoder import StyleEncoder
from .read_ahead import Reading, read, read_ahead
from .reader import DECODING, is_decoded_anew
from .records import IngestReport, SourceFile, StyleRecord
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
    """Pictures wait in `_batch` until there are enough to embed together, new descriptions in `_described`.

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
        stored = store.files()
        self._stamps = {path: stamp for path, (_, stamp) in stored.items()}
        self._owner = {path: id for path, (id, _) in stored.items()}
        self._records: dict[str, StyleRecord | None] = {}  # those that this run had to do with; None: not stored
        self._batch: dict[str, tuple[StyleRecord, Reading]] = {}
        self._batch_pixels = 0
        self._described: dict[str, StyleRecord] = {}

    def run(self, files: Sequence[SourceFile], drop: bool, unseen: Collection[Path] = ()) -> None:
        """Take in the files; `drop` those that are gone, but for what lies in an `unseen` place, of which none knows.

        unseen: folders and files that could not be looked at.
        """
        revision, origin = self._store.revision, self._store.origin
        unchanged = {file.path for file in files if self._stamps.get(file.path) == file.stamp}
        decoded_anew = drop and origin is not None and origin.decoding != DECODING
        if decoded_anew:
            unchanged = {path for path in unchanged if not is_decoded_anew(Path(path))}
        changed = [file for file in files if file.path not in unchanged]
        with closing(self._readings(changed, self._known.keys() | self._owner.values())) as readings:
            for done, file in enumerate(files, 1):
                if file.path in unchanged:
                    self._report.unchanged += 1
                else:
                    self._take(file, next(readings))
                self._on_progress(done, len(files))
        self._flush()
        if drop:
            self._drop_vanished({file.path for file in files}, unseen)
        if decoded_anew and not unseen:
            self._store.set_decoding()
        self._flush_described()
        origin = self._store.origin
        if origin and (origin.revision != revision or not origin.background):  # none after an interrupted run
            self._store.set_background(measure_background(self._store, self._encoder))

    def _take(self, file: SourceFile, reading: Reading | ValueError) -> None:
        if isinstance(reading, Reading) and self._lacks(reading):
            reading = read(file)
        if isinstance(reading, ValueError):
            self._report.failed.append({"file": file.path, "reason": str(reading)})
            return
        id, owner = reading.id, self._owner.get(file.path)
        described = (reading.caption, reading.tags, reading.licence)
        if owner and self._stamps[file.path] == file.stamp and (before := self._record(owner)):
            described = (before.caption, before.tags, before.licence)  # only the pixels are read in another way
        if owner and owner != id and self._detach(owner, file.path):
            self._store.remove([owner])
        known = self._record(id)
        others = {p: stamp for p, stamp in (known.files if known else {}).items() if p != file.path}
        files = {file.path: file.stamp, **others}
        record = StyleRecord(id, file.name, *described, reading.width, reading.height, files)
        self._owner[file.path], self._stamps[file.path] = id, file.stamp
        if id in self._batch:
            self._batch[id] = (record, self._batch[id][1])
        elif known is None:
            self._batch[id] = (record, reading)
            self._batch_pixels += reading.width * reading.height if reading.image else 0
        else:
            self._described[id] = record
        self._records[id] = record
        self._count(owner, known)
        self._flush_when_full()

    def _lacks(self, reading: Reading) -> bool:
        """Whether it must be embedded, and was left out as known: of two pictures that changed places one is."""
        vectorless = reading.image is None and reading.vector is None and reading.id not in self._known
        return vectorless and self._record(reading.id) is None and reading.id not in self._batch

    def _record(self, id: str) -> StyleRecord | None:
        if id not in self._records:
            self._records[id] = self._store.records([id]).get(id)
        return self._records[id]

    def _count(self, owner: str | None, known: StyleRecord | None) -> None:
        if owner:
            self._report.updated += 1
        elif known:
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
        found = {id: self._known.get(id, reading.vector) for id, (_, reading) in self._batch.items()}
        new = [self._batch[id][1].image for id, vector in found.items() if vector is None]
        embedded = iter(self._encoder.encode_images([image for image in new if image]) if new else ())
        vectors = np.stack([next(embedded) if vector is None else vector for vector in found.values()])
        self._store.add([record for record, _ in self._batch.values()], vectors, self._encoder.identity)
        self.embedded += self._batch
        self._batch.clear()
        self._batch_pixels = 0

    def _flush_described(self) -> None:
        if self._described:
            self._store.replace_metadata(list(self._described.values()))
            self._described.clear()

    def _detach(self, id: str, path: str) -> bool:
        """A file no longer shows this picture: forget the file. Tell whether it was the picture's last one."""
        record = self._record(id)
        assert record is not None
        files = {other: stamp for other, stamp in record.files.items() if other != path}
        if files:
            self._records[id] = replace(record, files=files)
            self._described[id] = replace(record, files=files)
            return False
        self._records[id] = None
        self._described.pop(id, None)
        return True

    def _drop_vanished(self, present: set[str], unseen: Collection[Path]) -> None:
        vanished = [path for path in self._owner if path not in present]
        vanished = [path for path in vanished if not any(Path(path).is_relative_to(place) for place in unseen)]
        dropped = [self._owner[path] for path in vanished if self._detach(self._owner[path], path)]
        self._report.removed += len(dropped)
        self._store.remove(dropped)
