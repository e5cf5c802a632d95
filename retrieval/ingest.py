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
from .fetch import LIST_SUFFIX, check_url, is_url, read_url_list
from .finder import find_pictures
from .origin import same_weights
from .own_pictures import PICTURES, fetch_all, forget_files, no_longer_named
from .reader import PACK_SUFFIX, SUFFIXES, content_id, open_picture, to_unicode, why_not_read
from .records import Edit, IngestReport, StyleRecord
from .store import StyleStore
from .sync import Progress, Readings, SyncRun, read_here

UPDATES = ("sync", "add", "rebuild", "open")
PACKS = "packs"  # where it keeps the pictures of packs that were imported

Source = Path | str  # a folder, a picture file or a style pack; a str is a URL


def find_sources(named: Sequence[str]) -> list[Source]:
    """Return the sources that a person names: paths, URLs, and text files of URLs. Raises ValueError or OSError."""
    sources: list[Source] = []
    for source in named:
        path = Path(source).resolve()
        if is_url(source):
            sources.append(check_url(source).geturl())
        elif not path.exists():
            raise FileNotFoundError(f"source {source} does not exist: correct the path.")
        else:
            sources += read_url_list(path) if path.suffix.lower() == LIST_SUFFIX else [path]
    return sources


def ingest(
    store: StyleStore,
    encoder: StyleEncoder,
    sources: Sequence[Source],
    update: str,
    on_progress: Progress = lambda done, total: None,
    readings: Readings = read_here,
) -> IngestReport:
    """Read the sources (folders, picture files, style packs, http(s) URLs) into the store.

    update: `sync` adds what is new, embeds again what changed and drops what vanished; `add` never drops; `rebuild`
    embeds everything anew, and the knowledge base stays as it was until that is whole; `open` reads nothing.
    A file, folder or URL that can't be read is skipped and named in the report, and sync keeps what is stored of it.
    on_progress counts the URLs, the files, the pictures as the index is made, then the new ones as they are compared
    with what looks like them.
    readings: what reads the files, and embeds them, where this process should not.
    Raises FileNotFoundError or ValueError when a source, or all that is in them, can't be used.
    """
    start = time.perf_counter()
    report = IngestReport()
    if update == "open":
        store.require_current()
        store.require_encoder(encoder.identity)
        with suppress(TimeoutError):  # the one who is writing now will do it
            store.publish(on_progress, wait=0)
    else:
        with store.writing():
            _update(store, encoder, sources, update, report, on_progress, readings)
    report.total = len(store)
    report.seconds = round(time.perf_counter() - start, 3)
    return report


def _update(
    store: StyleStore,
    encoder: StyleEncoder,
    sources: Sequence[Source],
    update: str,
    report: IngestReport,
    on_progress: Progress,
    readings: Readings,
) -> None:
    if update != "rebuild":
        store.require_current()
        store.require_encoder(encoder.identity)
    urls = [source for source in sources if isinstance(source, str)]
    named = [source for source in sources if isinstance(source, Path)]
    packs = [source for source in named if source.suffix.lower() == PACK_SUFFIX]
    known: dict[str, np.ndarray] = {}
    edits: dict[str, Edit] = {}
    for pack in packs:
        _, vectors = stylepack.unpack(pack, store.folder / PACKS)
        known |= vectors.by_id if same_weights(vectors.encoder, encoder.identity) else {}
        edits |= vectors.edits
    fetched = fetch_all(store, urls, update == "rebuild", report, on_progress)
    kept = [
        folder for folder in [*(store.folder / PACKS).glob("[!.]*"), store.folder / PICTURES] if _holds_files(folder)
    ]
    skipped: dict[Path, OSError] = {}
    files = list(find_pictures([*(source for source in named if source not in packs), *kept], skipped.__setitem__))
    report.failed += [{"file": to_unicode(str(path)), "reason": why_not_read(error)} for path, error in skipped.items()]
    dropped = set() if update == "add" else no_longer_named(store, files, fetched)
    files = [file for file in files if file not in dropped]
    if not files:
        _require_pictures(report, 0)
    if update == "rebuild":
        draft = store.draft(encoder.identity)
        run = SyncRun(draft, encoder, report, on_progress, known, readings)
        run.run(files, drop=True)
        _require_pictures(report, len(draft))
        store.replace_with(draft)
    else:
        run = SyncRun(store, encoder, report, on_progress, known, readings)
        unseen = [path for path, error in skipped.items() if not isinstance(error, FileNotFoundError)]
        run.run(files, update == "sync", unseen)
        _require_pictures(report, len(store))
    forget_files(dropped)
    with store.saying() as said:
        said.add_edits({id: edits[id] for id in run.embedded if id in edits})
    store.publish(on_progress)
    report.near_duplicates = near_duplicates(store, run.embedded, on_progress)


def _holds_files(folder: Path) -> bool:
    return folder.is_dir() and any(path.suffix.lower() in SUFFIXES for path in folder.rglob("[!.]*"))


def _require_pictures(report: IngestReport, total: int) -> None:
    if report.failed and not total:
        first = report.failed[0]
        raise ValueError(
            f"none of the sources' {len(report.failed)} pictures could be read (the first, {first['file']}: "
            f"{first['reason']}): replace them or name other sources."
        )


def keep_encodings(
    store: StyleStore,
    encoder: str,
    encode: Callable[[Sequence[Image.Image]], np.ndarray],
    on_progress: Progress = lambda done, total: None,
) -> int:
    """Store how another image encoder sees each picture that it has not seen yet, and return how many those were.

    One whose file is gone, or shows another picture since the last sync, is left out. encoder: the id of what encodes.
    encode: n RGB pictures to an array of n rows.
    """
    missing = [record for record in store.records().values() if store.encodings.read(encoder, record.id) is None]
    kept = 0
    for done, record in enumerate(missing, 1):
        if image := _shown_now(record):
            store.encodings.keep(encoder, record.id, encode([image])[0])
            kept += 1
        on_progress(done, len(missing))
    return kept


def _shown_now(record: StyleRecord) -> Image.Image | None:
    for path in record.files:
        with suppress(ValueError):
            image = open_picture(Path(path))
            if content_id(image) == record.id:
                return image
    return None
