"""Brings a knowledge base up to date with its sources: which files, what to do with them, and what to report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from . import stylepack
from .duplicates import near_duplicates
from .encoder import StyleEncoder
from .origin import same_weights
from .reader import PACK_SUFFIX, content_id, find_pictures, open_picture
from .records import IngestReport
from .store import StyleStore
from .sync import Progress, SyncRun

UPDATES = ("sync", "add", "rebuild", "open")
PACKS = "packs"  # where it keeps the pictures of packs that were imported
PICTURES = "pictures"  # where a knowledge base keeps the pictures that came as IMAGE and have no file of their own


def ingest(
    store: StyleStore,
    encoder: StyleEncoder,
    sources: Sequence[Path],
    update: str,
    on_progress: Progress = lambda done, total: None,
) -> IngestReport:
    """Read the sources (folders, picture files and style packs) into the store.

    update: `sync` adds what is new, embeds again what changed and drops what vanished; `add` never drops; `rebuild`
    embeds everything anew, and the knowledge base stays as it was until that is whole; `open` reads nothing.
    A file that can't be read is skipped and named in the report. on_progress counts the files, then the pictures as the
    index is made, then the new ones as they are compared with what looks like them.
    Raises FileNotFoundError or ValueError when a source, or all that is in them, can't be used.
    """
    start = time.perf_counter()
    report = IngestReport()
    if update == "open":
        store.require_current()
        with suppress(TimeoutError):  # the one who is writing now will do it
            store.publish(on_progress, wait=0)
    else:
        with store.writing():
            _update(store, encoder, sources, update, report, on_progress)
    report.total = len(store)
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
        draft = store.draft(encoder.identity)
        run = SyncRun(draft, encoder, report, on_progress, known)
        run.run(files, drop=True)
        _require_pictures(report, len(draft))
        store.replace_with(draft)
    else:
        store.require_current()
        store.require_encoder(encoder.identity)
        run = SyncRun(store, encoder, report, on_progress, known)
        run.run(files, drop=update == "sync")
        _require_pictures(report, len(store))
    store.publish(on_progress)
    report.near_duplicates = near_duplicates(store, run.embedded, on_progress)


def _require_pictures(report: IngestReport, total: int) -> None:
    if report.failed and not total:
        first = report.failed[0]
        raise ValueError(
            f"none of the sources' {len(report.failed)} pictures could be read (the first, {first['file']}: "
            f"{first['reason']}): replace them or name other sources."
        )


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
