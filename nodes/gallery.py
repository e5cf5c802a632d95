"""What the HTTP routes do with knowledge bases. Knows no HTTP; all of it blocks, and belongs on a thread.

It computes on the CPU: a request that comes while the sampler paints takes nothing from the card.
"""

import io
import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from ..retrieval.database import FILE
from ..retrieval.durable import read_sealed, sealed, write_durably
from ..retrieval.encoder import StyleEncoder
from ..retrieval.filters import parse_filter
from ..retrieval.reader import open_picture
from ..retrieval.records import StyleRecord
from . import paths
from .requirements import RETRIEVAL, require
from .source_paths import may_read

if TYPE_CHECKING:
    from ..retrieval.search import StyleQuery
    from ..retrieval.store import StyleStore

THUMBNAIL = 256  # pixels of the longer side
_THUMBNAILS = "thumbnails"
_OPEN = 8  # knowledge bases that are kept open
_SHOWN = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif", "BMP": "image/bmp"}

_stores: OrderedDict[Path, tuple[int, "StyleStore"]] = OrderedDict()
_opening = threading.Lock()


class NotHere(LookupError):
    """What was asked for does not exist."""


class Conflict(ValueError):
    """What was asked for does not go with what is there."""


class _SharedEncoder(StyleEncoder):
    """One for all threads: its tokenizer must not be asked twice at a time."""

    _turn = threading.Lock()

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        with self._turn:
            return super().encode_texts(texts)


def open_store(name: str) -> "StyleStore":
    """Return a knowledge base, kept open for the next look. Raises NotHere when there is none."""
    require(RETRIEVAL)
    from ..retrieval.store import StyleStore

    folder = paths.knowledge_base_folder(name)
    file = folder / FILE
    if not file.is_file():
        known = ", ".join(folder.name for folder in paths.knowledge_base_folders()) or "none"
        raise NotHere(f"there is no knowledge base '{name}' (there: {known}): run StyleKnowledgeBase or add pictures.")
    with _opening:
        made = file.stat().st_ino  # another one, when the folder was deleted and made anew
        if folder not in _stores or _stores[folder][0] != made:
            _stores[folder] = made, StyleStore(folder, apart=True)
        _stores.move_to_end(folder)
        while len(_stores) > _OPEN:
            _stores.popitem(last=False)
        return _stores[folder][1]


def open_encoder(name: str) -> StyleEncoder:
    """Return the encoder of that name. Raises Conflict when it is not on this machine: routes download nothing."""
    if name not in paths.model_options("encoder") or (path := paths.find_model("encoder", name)) is None:
        raise Conflict(
            f"encoder '{name}' is not on this server: run StyleKnowledgeBase with it once, or put it into "
            "models/clip_vision."
        )
    return _load_encoder(name, path)


def list_knowledge_bases() -> dict[str, Any]:
    """Return name, size, encoder and revision of each, and the encoders that a new one can have."""
    found = []
    for folder in paths.knowledge_base_folders():
        store = open_store(folder.name)
        origin = store.origin
        encoder = origin.encoder.rpartition("@")[0] if origin else None
        found.append({"name": store.name, "total": len(store), "encoder": encoder, "revision": store.revision})
    names = paths.model_options("encoder")
    return {"knowledge_bases": found, "encoders": [name for name in names if paths.find_model("encoder", name)]}


def list_styles(name: str, offset: int, limit: int, filter: str) -> dict[str, Any]:
    """Return a page of the styles that pass a filter, the newest first."""
    store, terms = open_store(name), parse_filter(filter)
    with store.reading() as view:
        ids = view.ids(view.passing(terms))[::-1]
    page = store.records(ids[offset : offset + limit]).values()
    return {"total": len(ids), "offset": offset, "styles": [describe(store, record) for record in page]}


def list_labels(name: str) -> dict[str, Any]:
    """Return how many styles have each tag and each licence, the most frequent first."""
    records = open_store(name).records().values()
    tags = Counter(tag for record in records for tag in record.tags)
    licences = Counter(record.licence for record in records if record.licence)
    return {"tags": dict(tags.most_common()), "licences": dict(licences.most_common())}


def search_styles(name: str, query: "StyleQuery") -> dict[str, Any]:
    """Return the matches as RetrieveStyle explains them; none in an empty knowledge base."""
    from ..retrieval.search import search

    store = open_store(name)
    origin = store.origin
    if origin is None or not store.ids(limit=1):
        return {"matches": []}
    encoder = open_encoder(origin.encoder.rpartition("@")[0])
    return {"matches": [match.explain() for match in search(store, encoder, query)]}


def describe(store: "StyleStore", record: StyleRecord) -> dict[str, Any]:
    """Return a record as the JSON object that the routes answer."""
    return {
        "id": record.id,
        "name": record.name,
        "file": record.file,
        "caption": record.caption,
        "tags": list(record.tags),
        "licence": record.licence,
        "width": record.width,
        "height": record.height,
        "lost": is_lost(store, record),
    }


def is_lost(store: "StyleStore", record: StyleRecord) -> bool:
    """Tell whether a style's files are all the knowledge base's own, and each is gone or empty.

    Others are not looked at: they may lie on a drive that does not answer, which a list must not wait for.
    """
    files = [Path(file) for file in record.files]
    return all(file.is_relative_to(store.folder) and not (file.is_file() and file.stat().st_size) for file in files)


def find_record(store: "StyleStore", id: str) -> StyleRecord:
    """Return a record. Raises NotHere."""
    record = store.records([id]).get(id)
    if record is None:
        raise NotHere(f"style {id} is not in knowledge base '{store.name}': list its `styles`.")
    return record


def read_picture(name: str, id: str) -> tuple[bytes, str]:
    """Return a style's picture as (bytes, media type): its file's own, or PNG where browsers can't show that."""
    path = _unchanged_file(find_record(open_store(name), id))
    with Image.open(path) as image:
        kind = _SHOWN.get(image.format or "")
    if kind:
        return path.read_bytes(), kind
    made = io.BytesIO()
    open_picture(path).save(made, "PNG")
    return made.getvalue(), "image/png"


def read_thumbnail(name: str, id: str) -> bytes:
    """Return a style's thumbnail as JPEG, made at the first look and kept in the knowledge base's folder."""
    store = open_store(name)
    record = find_record(store, id)
    path = thumbnail_path(store, id)
    kept = read_sealed(path)
    if kept is None:
        small = ImageOps.contain(open_picture(_unchanged_file(record)), (THUMBNAIL, THUMBNAIL))
        made = io.BytesIO()
        small.save(made, "JPEG", quality=85)
        kept = made.getvalue()
        write_durably(path, sealed(kept))
    return kept


def thumbnail_path(store: "StyleStore", id: str) -> Path:
    return store.folder / _THUMBNAILS / f"{id}.jpg"


def _unchanged_file(record: StyleRecord) -> Path:
    """Return a file that shows this very picture still, and that may be read. Raises NotHere or PermissionError."""
    for name, stamp in record.files.items():
        path = Path(name)
        if path.is_file() and [path.stat().st_size, path.stat().st_mtime_ns] == stamp[:2]:
            if not may_read(path.resolve()):
                raise PermissionError(
                    f"the picture of style '{record.name}' lies outside the folders that this server may read."
                )
            return path
    raise NotHere(f"the picture of style '{record.name}' is gone or was changed: run StyleKnowledgeBase with sync.")


@lru_cache(maxsize=1)
def _load_encoder(name: str, path: Path) -> StyleEncoder:
    return _SharedEncoder(name, path, paths.tokenizer())
