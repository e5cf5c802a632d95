"""One run over the files that a knowledge base is made from: takes in what is new or changed, drops what vanished."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np
from PIL import Image

from .calibration import measure_background
from .encoder import StyleEncoder
from .read_ahead import Reading, read_ahead
from .records import IngestReport, SourceFile, StyleRecord
from .store import StyleStore

_BATCH_PIXELS = 50_000_000  # decoded pictures that wait to be embedded together: 150 MB
_DESCRIBED = 500  # new descriptions that are stored together

# on_progress(done, total): called once a file, and while the index is made; an exception ends the ingest and keeps what
# is stored.
Progress = Callable[[int, int], None]


class SyncRun:
    """Pictures wait in `_batch` until there are enough to embed together, new descriptions in `_described`.

    known: id -> vector of pictures that need not be embedded. embedded: ids of what is stored anew, in order.
    """

    def __init__(
        self,
        store: StyleStore,
        encoder: StyleEncoder,
        report: IngestReport,
        on_progress: Progress,
        known: Mapping[str, np.ndarray],
    ) -> None:
        self.embedded: list[str] = []
        self._known = known
        self._store = store
        self._encoder = encoder
        self._report = report
        self._on_progress = on_progress
        stored = store.files()
        self._stamps = {path: stamp for path, (_, stamp) in stored.items()}
        self._owner = {path: id for path, (id, _) in stored.items()}
        self._records: dict[str, StyleRecord | None] = {}  # those that this run had to do with; None: not stored
        self._batch: dict[str, tuple[StyleRecord, Image.Image]] = {}
        self._batch_pixels = 0
        self._described: dict[str, StyleRecord] = {}

    def run(self, files: Sequence[SourceFile], drop: bool) -> None:
        revision = self._store.revision
        unchanged = {file.path for file in files if self._stamps.get(file.path) == file.stamp}
        with closing(read_ahead([file for file in files if file.path not in unchanged])) as readings:
            for done, file in enumerate(files, 1):
                if file.path in unchanged:
                    self._report.unchanged += 1
                else:
                    self._take(file, next(readings))
                self._on_progress(done, len(files))
        self._flush()
        if drop:
            self._drop_vanished({file.path for file in files})
        self._flush_described()
        origin = self._store.origin
        if origin and (origin.revision != revision or not origin.background):  # none after an interrupted run
            self._store.set_background(measure_background(self._store, self._encoder))

    def _take(self, file: SourceFile, reading: Reading | ValueError) -> None:
        if isinstance(reading, ValueError):
            self._report.failed.append({"file": file.path, "reason": str(reading)})
            return
        id, image, owner = reading.id, reading.image, self._owner.get(file.path)
        if owner and owner != id and self._detach(owner, file.path):
            self._store.remove([owner])
        known = self._record(id)
        others = {p: stamp for p, stamp in (known.files if known else {}).items() if p != file.path}
        files = {file.path: file.stamp, **others}
        described = (reading.caption, reading.tags, reading.licence)
        record = StyleRecord(id, file.name, *described, image.width, image.height, files)
        self._owner[file.path], self._stamps[file.path] = id, file.stamp
        if known is None or id in self._batch:
            self._batch[id] = (record, image)
            self._batch_pixels += image.width * image.height
        else:
            self._described[id] = record
        self._records[id] = record
        self._count(owner, known)
        self._flush_when_full()

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
        new = [image for id, (_, image) in self._batch.items() if id not in self._known]
        embedded = iter(self._encoder.encode_images(new) if new else ())
        vectors = np.stack([self._known[id] if id in self._known else next(embedded) for id in self._batch])
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

    def _drop_vanished(self, present: set[str]) -> None:
        vanished = [path for path in self._owner if path not in present]
        dropped = [self._owner[path] for path in vanished if self._detach(self._owner[path], path)]
        self._report.removed += len(dropped)
        self._store.remove(dropped)
