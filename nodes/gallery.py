"""What the HTTP routes do with knowledge bases. Knows no HTTP; all of it blocks, and belongs on a thread.

It computes on the CPU: a request that comes while the sampler paints takes nothing from the card.
"""

import io
import os
import threading
import uuid
from collections import Counter, OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from ..retrieval.database import FILE
from ..retrieval.encoder import StyleEncoder
from ..retrieval.faults import sentence_of
from ..retrieval.filters import parse_filter
from ..retrieval.reader import content_id, open_picture, to_unicode
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

_stores: OrderedDict[Path, "StyleStore"] = OrderedDict()
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

    folder = _folder(name)
    require_base(folder)
    with _opening:
        if folder not in _stores:
            _stores[folder] = StyleStore(folder, apart=True)
        _stores.move_to_end(folder)
        while len(_stores) > _OPEN:
            _stores.popitem(last=False)
        return _stores[folder]


def _folder(name: str) -> Path:
    try:
        return paths.knowledge_base_folder(name)
    except ValueError as error:
        if any(folder.name == name for folder in paths.knowledge_base_folders()):  # made by hand
            raise ValueError(f"{error} Rename its folder in {paths.system_user_directory()}.") from None
        raise


def require_base(folder: Path) -> None:
    """Raise NotHere unless there is a knowledge base in a folder, whatever state it is in."""
    if not (folder / FILE).is_file():
        known = ", ".join(other.name for other in paths.knowledge_base_folders()) or "none"
        raise NotHere(
            f"there is no knowledge base '{folder.name}' (there: {known}): run StyleKnowledgeBase or add pictures."
        )


def let_go(folder: Path) -> None:
    """Close what is open of a knowledge base; the next look opens it again."""
    with _opening:
        store = _stores.pop(folder, None)
    if store is not None:
        store.close()


def open_encoder(name: str) -> StyleEncoder:
    """Return the encoder of that name. Raises Conflict when it is not on this machine: routes download nothing."""
    if name not in paths.model_options("encoder") or (path := paths.find_model("encoder", name)) is None:
        raise Conflict(
            f"encoder '{name}' is not on this server: run StyleKnowledgeBase with it once, or put it into "
            "models/clip_vision."
        )
    return _load_encoder(name, path)


def list_knowledge_bases() -> dict[str, Any]:
    """Return what `describe_base` says of each, and the encoders that a new one can have."""
    folders = paths.knowledge_base_folders()
    for gone in [folder for folder in list(_stores) if folder not in folders]:
        let_go(gone)
    names = paths.model_options("encoder")
    encoders = [name for name in names if paths.find_model("encoder", name)]
    return {"knowledge_bases": [describe_base(folder) for folder in folders], "encoders": encoders}


def describe_base(folder: Path) -> dict[str, Any]:
    """Return name, size, encoder, revision and state: `ok`, or the sentence of why it can't be used."""
    about = {"name": to_unicode(folder.name), "total": 0, "encoder": None, "revision": 0, "state": "ok"}
    try:
        store = open_store(folder.name)
        origin = store.origin
        encoder = origin.encoder.rpartition("@")[0] if origin else None
        return about | {"total": len(store), "encoder": encoder, "revision": store.revision}
    except (OSError, RuntimeError, ImportError, LookupError, TypeError, ValueError) as error:
        return about | {"state": sentence_of(error)}


def list_styles(name: str, offset: int, limit: int, filter: str) -> dict[str, Any]:
    """Return a page of the styles that pass a filter, the newest first."""
    store, terms = open_store(name), parse_filter(filter)
    with store.reading() as view:
        ids = view.ids(view.passing(terms))[::-1]
    page = store.records(ids[offset : offset + limit]).values()
    return {"total": len(ids), "offset": offset, "styles": [describe(record) for record in page]}


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


def describe(record: StyleRecord) -> dict[str, Any]:
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
    }


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
    if path.is_file():
        return path.read_bytes()
    small = ImageOps.contain(open_picture(_unchanged_file(record)), (THUMBNAIL, THUMBNAIL))
    made = io.BytesIO()
    small.save(made, "JPEG", quality=85)
    fresh = path.with_suffix(f".{uuid.uuid4().hex}")
    with suppress(OSError):  # a disk that is full or read-only
        path.parent.mkdir(exist_ok=True)
        try:
            fresh.write_bytes(made.getvalue())
            os.replace(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)
    return made.getvalue()


def thumbnail_path(store: "StyleStore", id: str) -> Path:
    return store.folder / _THUMBNAILS / f"{id}.jpg"


def _unchanged_file(record: StyleRecord) -> Path:
    """Return a file that shows this very picture still, and that may be read. Raises NotHere or PermissionError."""
    for name, stamp in record.files.items():
        path = Path(name)
        if path.is_file() and _shows(path, record.id, stamp):
            if not may_read(path.resolve()):
                raise PermissionError(
                    f"the picture of style '{record.name}' lies outside the folders that this server may read."
                )
            return path
    raise NotHere(f"the picture of style '{record.name}' is gone or was changed: run StyleKnowledgeBase with sync.")


def _shows(path: Path, id: str, stamp: Sequence[int]) -> bool:
    """Tell whether a file shows a picture; one of the same size and another time, as a copy has it, is looked at."""
    status = path.stat()
    if status.st_size != stamp[0] or status.st_mtime_ns == stamp[1]:
        return status.st_size == stamp[0]
    try:
        return content_id(open_picture(path)) == id
    except ValueError:
        return False


@lru_cache(maxsize=1)
def _load_encoder(name: str, path: Path) -> StyleEncoder:
    return _SharedEncoder(name, path, paths.tokenizer())
