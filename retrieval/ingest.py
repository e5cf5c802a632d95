"""Brings a knowledge base up to date with its sources: which they are, what is done with them, and what to report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from .encoders.encoder import StyleEncoder
from .encoders.sentences import SentenceEncoder
from .pictures.fetch import LIST_SUFFIX, check_url, is_url, read_url_list
from .pictures.finder import unquoted
from .records import IngestReport
from .store.own_pictures import OwnPicture, keep_pictures
from .store.store import StyleStore
from .syncing.other_encoders import OtherEncoder, encode_captions, keep_encodings
from .syncing.sync import Dropping, Progress, Readings, read_here
from .syncing.update import Source, Update

UPDATES = ("sync", "add", "rebuild", "open")


def find_sources(named: Sequence[str]) -> list[Source]:
    """Return the sources that a person names: paths, URLs, and text files of URLs. Raises ValueError or OSError."""
    sources: list[Source] = []
    for source in named:
        source = unquoted(source)
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
    dropping: Dropping | None = None,
) -> IngestReport:
    """Read the sources (folders, picture files, style packs, http(s) URLs) into the store.

    update: `sync` adds what is new, embeds again what changed and drops what vanished, as far as `dropping` says;
    `add` never drops; `rebuild` embeds everything anew, the files of sources that are not named too, and the knowledge
    base stays as it was until that is whole; `open` reads nothing.
    A file, folder or URL that can't be read is skipped and named in the report, and what is stored of it is kept; by
    rebuild as far as its vector is of the same encoder, or its picture can be opened.
    on_progress counts the URLs, the files, the pictures as the index is made, then the new ones as they are compared
    with what looks like them.
    readings: what reads the files, and embeds them, where this process should not.
    Raises FileNotFoundError or ValueError when a source, or all that is in them, can't be used.
    """
    start = time.perf_counter()
    report = IngestReport()
    if update == "open":
        store.require_encoder(encoder.identity)
        with suppress(TimeoutError):  # the one who is writing now will do it
            store.publish(on_progress, wait=0)
    else:
        with store.writing():
            Update(store, encoder, update, report, on_progress, dropping or Dropping()).run(sources, readings)
    report.total = len(store)
    report.seconds = round(time.perf_counter() - start, 3)
    return report


def refresh(
    store: StyleStore,
    encoder: StyleEncoder,
    sources: Sequence[Source],
    update: str,
    pictures: Sequence[OwnPicture] = (),
    image_encoder: OtherEncoder | None = None,
    caption_encoder: SentenceEncoder | None = None,
    new_progress: Callable[[], Progress] = lambda: lambda done, total: None,
) -> IngestReport:
    """Bring a knowledge base up to date with pictures, with sources and with further encoders, by one of its users.

    `sync` drops what the sources had, and leaves what others brought; without sources and pictures it only opens.
    pictures: what the knowledge base is to keep itself. image_encoder, caption_encoder: what else encodes its pictures
    and captions. new_progress: makes what counts one of up to three tasks; see `ingest` for the first.
    """
    keep_pictures(store, pictures)
    mode = "open" if not sources and not pictures and update == "sync" else update
    report = ingest(store, encoder, sources, mode, new_progress(), dropping=Dropping(others=False))
    if image_encoder is not None:
        keep_encodings(store, image_encoder.id, image_encoder.encode, new_progress())
    if caption_encoder is not None:
        encode_captions(store, caption_encoder, new_progress())
    return report
