"""What the HTTP routes do with knowledge bases. Knows no HTTP; all of it blocks, and belongs on a thread.

It computes on the CPU: a request that comes while the sampler paints takes nothing from the card.
"""

import io
import threading
import unicodedata
from collections import Counter, OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import ImageOps

from ...retrieval.database.database import FILE
from ...retrieval.disk.durable import read_sealed, sealed, write_durably
from ...retrieval.disk.faults import sentence_of
from ...retrieval.encoders.encoder import StyleEncoder
from ...retrieval.pictures.reader import content_id, format_of, open_picture, to_unicode
from ...retrieval.records import StyleRecord
from ...retrieval.view.filters import parse_filter
from ..host import paths
from ..host.requirements import RETRIEVAL, require
from ..host.source_paths import may_read

if TYPE_CHECKING:
    from ...retrieval.search import StyleQuery
    from ...retrieval.store.store import StyleStore

THUMBNAIL = 256  # pixels of the longer side
_THUMBNAILS = "thumbnails"
_OPEN = 16  # knowledge bases that are kept open, each once to look and once to search
_SHOWN = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif", "BMP": "image/bmp"}

_stores: OrderedDict[tuple[Path, bool], "StyleStore"] = OrderedDict()  # by folder, and whether it is for searches
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


def open_store(name: str, for_search: bool = False) -> "StyleStore":
    """Return a knowledge base, kept open for the next look. Raises NotHere when there is none.

    for_search: another one than for looks, which start no vector engine and never wait for one.
    """
    require(RETRIEVAL)
    from ...retrieval.store.store import StyleStore

    folder = _folder(name)
    require_base(folder)
    with _opening:
        kind = folder, for_search
        if kind not in _stores:
            _stores[kind] = StyleStore(folder, own_process=True, engine=for_search)
        _stores.move_to_end(kind)
        while len(_stores) > _OPEN:
            _stores.popitem(last=False)
        return _stores[kind]


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
        stores = [_stores.pop((folder, for_search), None) for for_search in (False, True)]
    for store in stores:
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
    for gone in {folder for folder, _ in list(_stores)} - set(folders):
        let_go(gone)
    names = paths.model_options("encoder")
    encoders = [name for name in names if paths.find_model("encoder", name)]
    return {"knowledge_bases": [describe_base(folder) for folder in folders], "encoders": encoders}


def describe_base(folder: Path) -> dict[str, Any]:
    """Return name, size, encoder, revision and state: `ok`, or the sentence of why it can't be used."""
    name = unicodedata.normalize("NFC", to_unicode(folder.name))
    about = {"name": name, "total": 0, "encoder": None, "revision": 0, "state": "ok"}
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
    return {"total": len(ids), "offset": offset, "styles": [describe(store, record) for record in page]}


def list_labels(name: str) -> dict[str, Any]:
    """Return how many styles have each tag and each licence, the most frequent first."""
    records = open_store(name).records().values()
    tags = Counter(tag for record in records for tag in record.tags)
    licences = Counter(record.licence for record in records if record.licence)
    return {"tags": dict(tags.most_common()), "licences": dict(licences.most_common())}


def search_styles(name: str, query: "StyleQuery") -> dict[str, Any]:
    """Return the matches as RetrieveStyle explains them; none in an empty knowledge base."""
    from ...retrieval.search import search

    store = open_store(name, for_search=True)
    origin = store.origin
    if origin is None or not store.ids(limit=1):
        return {"matches": []}
    encoder = open_encoder(origin.encoder.rpartition("@")[0])
    matches = search(store, encoder, query)
    return {"matches": matches.explain() if matches else []}


def describe(store: "StyleStore", record: StyleRecord) -> dict[str, Any]:
    """Return a record as the JSON object that the routes answer."""
    return {
        "id": record.id,
        "name": record.name,
        "other_names": list(record.other_names),
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
    if kind := _SHOWN.get(format_of(path)):
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
        with suppress(OSError):  # a disk that is full or read-only
            write_durably(path, sealed(kept))
    return kept


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
