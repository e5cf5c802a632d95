"""Brings a knowledge base up to date with its sources: finds, opens, embeds and stores what is new."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from . import stylepack
from .calibration import measure_background
from .encoder import StyleEncoder
from .origin import same_weights
from .reader import PACK_SUFFIX, content_id, find_pictures, open_picture, read_description
from .records import IngestReport, SourceFile, StyleRecord
from .store import StyleStore

_BATCH_PIXELS = 50_000_000  # decoded pictures that wait to be embedded together: 150 MB
_DESCRIBED = 500  # new descriptions that are stored together
UPDATES = ("sync", "add", "rebuild", "open")
PACKS = "packs"  # where it keeps the pictures of packs that were imported
PICTURES = "pictures"  # where a knowledge base keeps the pictures that came as IMAGE and have no file of their own

# on_progress(done, total): called once a file; an exception ends the ingest and keeps what is stored.
Progress = Callable[[int, int], None]


def ingest(
    store: StyleStore,
    encoder: StyleEncoder,
    sources: Sequence[Path],
    update: str,
    on_progress: Progress = lambda done, total: None,
) -> IngestReport:
    """Read the sources (folders, picture files and style packs) into the store.

    update: `sync` adds what is new, embeds again what changed and drops what vanished; `add` never drops; `rebuild`
    starts from nothing; `open` reads nothing. A file that can't be read is skipped and named in the report.
    Raises FileNotFoundError or ValueError when a source, or all that is in them, can't be used.
    """
    start = time.perf_counter()
    report = IngestReport()
    if update == "open":
        store.require_current()
        with suppress(TimeoutError):  # the one who is writing now will do it
            store.publish(wait=0)
    else:
        with store.writing():
            _update(store, encoder, sources, update, report, on_progress)
    report.total = len(store)
    if report.failed and not report.total:
        first = report.failed[0]
        raise ValueError(
            f"none of the sources' {len(report.failed)} pictures could be read (the first, {first['file']}: "
            f"{first['reason']}): replace them or name other sources."
        )
    report.seconds = round(time.perf_counter() - start, 3)
    return report


def _update(
    store: StyleStore,
    encoder: StyleEncoder,
    sources: Sequence[Path],
    update: str,
    report: IngestReport,
    on_progress: Progress,
) -> None:
    packs = [source for source in sources if source.suffix.lower() == PACK_SUFFIX]
    known: dict[str, np.ndarray] = {}
    for pack in packs:
        _, vectors = stylepack.unpack(pack, store.folder / PACKS)
        known |= vectors.by_id if same_weights(vectors.encoder, encoder.identity) else {}
    kept = [*(store.folder / PACKS).glob("*"), store.folder / PICTURES]
    named = [source for source in sources if source not in packs]
    files = list(find_pictures([*named, *(folder for folder in kept if folder.is_dir() and any(folder.iterdir()))]))
    if update == "rebuild":
        store.clear()
    store.require_current()
    store.require_encoder(encoder.identity)
    _Ingest(store, encoder, report, on_progress, known).run(files, drop=update == "sync")
    store.publish()


def keep_picture(store: StyleStore, image: Image.Image, caption: str, tags: Sequence[str]) -> Path:
    """Write a picture that has no file into the knowledge base's own folder, with its caption and tags beside it."""
    import json

    folder = store.folder / PICTURES
    folder.mkdir(exist_ok=True)
    path = folder / f"{content_id(image)[:16]}.png"
    sidecar = json.dumps({"caption": caption, "tags": list(tags)}, ensure_ascii=False)
    beside = path.with_suffix(".json")
    if not path.is_file():
        image.save(path)
    if not beside.is_file() or beside.read_text(encoding="utf-8") != sidecar:
        beside.write_text(sidecar, encoding="utf-8")
    return path


def keep_encodings(
    store: StyleStore,
    encoder: str,
    encode: Callable[[Sequence[Image.Image]], np.ndarray],
    on_progress: Progress = lambda done, total: None,
) -> int:
    """Store how another image encoder sees each picture that it has not seen yet, and return how many those were.

    encoder: the id of what encodes. encode: n RGB pictures to an array of n rows.
    """
    missing = [record for record in store.records().values() if store.encoding(encoder, record.id) is None]
    for done, record in enumerate(missing, 1):
        store.keep_encoding(encoder, record.id, encode([open_picture(Path(record.file))])[0])
        on_progress(done, len(missing))
    return len(missing)


class _Ingest:
    """One run. Pictures wait in `_batch` until there are enough to embed together, new descriptions in `_described`."""

    def __init__(
        self,
        store: StyleStore,
        encoder: StyleEncoder,
        report: IngestReport,
        on_progress: Progress,
        known: Mapping[str, np.ndarray],
    ) -> None:
        self._known = known  # id -> vector of pictures that need not be embedded
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
        for done, file in enumerate(files, 1):
            self._read(file)
            if len(self._batch) >= self._encoder.batch_size or self._batch_pixels > _BATCH_PIXELS:
                self._flush()
            if len(self._described) >= _DESCRIBED:
                self._flush_described()
            self._on_progress(done, len(files))
        self._flush()
        if drop:
            self._drop_vanished({file.path for file in files})
        self._flush_described()
        origin = self._store.origin
        if origin and (origin.revision != revision or not origin.background):  # none after an interrupted run
            self._store.set_background(measure_background(self._store, self._encoder))

    def _read(self, file: SourceFile) -> None:
        owner = self._owner.get(file.path)
        if owner and self._stamps[file.path] == file.stamp:
            self._report.unchanged += 1
            return
        try:
            image = open_picture(Path(file.path))
            caption, tags, licence = read_description(Path(file.path))
        except ValueError as error:
            self._report.failed.append({"file": file.path, "reason": str(error)})
            return
        id = content_id(image)
        if owner and owner != id and self._detach(owner, file.path):
            self._store.remove([owner])
        known = self._record(id)
        files = {
            file.path: file.stamp,
            **{p: stamp for p, stamp in (known.files if known else {}).items() if p != file.path},
        }
        record = StyleRecord(id, file.name, caption, tags, licence, image.width, image.height, files)
        self._owner[file.path], self._stamps[file.path] = id, file.stamp
        if known is None or id in self._batch:
            self._batch[id] = (record, image)
            self._batch_pixels += image.width * image.height
        else:
            self._described[id] = record
        self._records[id] = record
        self._count(owner, known)

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

    def _flush(self) -> None:
        if not self._batch:
            return
        new = [image for id, (_, image) in self._batch.items() if id not in self._known]
        embedded = iter(self._encoder.encode_images(new) if new else ())
        vectors = np.stack([self._known[id] if id in self._known else next(embedded) for id in self._batch])
        self._store.add([record for record, _ in self._batch.values()], vectors, self._encoder.identity)
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
