"""A knowledge base in one file: a zip of its pictures with their sidecars, and the vectors an encoder made of them.

Unzipped by hand it is an ordinary folder of pictures. Nothing of a pack is trusted: names, sizes and vectors are
checked before anything is written, and no pickle is read.

    pack.json     format, encoder, dimension, pack (version), ids (in the order of the vectors), edits (id -> caption
                  and tags that a person gave in place of the files')
    vectors.npy   (N, D) float32
    pictures/     NAME.SUFFIX as ingest reads it, one a file that shows it, and NAME.json beside each: caption, tags,
                  license, and source, the URL that a fetched one came from
"""

from __future__ import annotations

import glob
import hashlib
import io
import json
import os
import re
import shutil
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from ..disk.durable import make_folder, sync_folders, sync_tree, write_durably
from ..pictures.picture_file import ending_of
from ..pictures.reader import (
    MAX_CAPTION,
    MAX_SIDECAR,
    MAX_TAG,
    MAX_TAGS,
    SUFFIXES,
    TAGLESS_MARKER,
    read_source,
    to_unicode,
)
from ..records import Edit, Occurrence, StyleRecord, merge
from .origin import pack_version
from .store import StyleStore

FORMAT = 1
_PAGE = 500  # records that are read at once
_MAX_PICTURE = 200_000_000  # bytes
_MAX_TABLE = 2_000_000_000  # bytes of pack.json and of vectors.npy
_MAX_PART, _MAX_NAME = 255, 2000  # bytes of a file's or folder's name, which most systems allow, and of all of them
_MAX_GROWTH = 20  # times as large as the file: pictures are compressed already
_BAD_PART = re.compile(r'[<>:"|?*\\\x00-\x1f]|^\.|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE)

# What zipfile and json raise of damaged or made-up files; encrypted ones and unknown methods are RuntimeErrors, and so
# is what is nested too deep.
_NO_TABLE = (ValueError, TypeError, ArithmeticError, MemoryError, SyntaxError, tokenize.TokenError)  # and numpy
_NO_PACK = (
    zipfile.BadZipFile, zlib.error, json.JSONDecodeError, UnicodeDecodeError, LookupError, EOFError, RuntimeError,
)  # fmt: skip

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Vectors:
    """What a pack brings beside its pictures.

    encoder: `name@weights` of what made its vectors.
    by_id: id -> (D,) float32, unit length, of that encoder.
    edits: id -> what a person said of the picture.
    """

    encoder: str
    by_id: dict[str, np.ndarray]
    edits: dict[str, Edit]


def export_pack(store: StyleStore, file: Path, on_progress: Progress = lambda done, total: None) -> int:
    """Write a knowledge base to `file`, whole or not at all, and return how many pictures it has.

    Raises ValueError when it is empty or when a picture's file is gone.
    """
    origin, ids = store.origin, store.ids()
    if not origin or not ids:
        raise ValueError(f"knowledge base '{store.name}' is empty: there is nothing to export.")

    def write(stream: IO[bytes]) -> None:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            used: set[str] = set()
            edits, shown = store.said.edits(), store.said.of(ids)
            for at in range(0, len(ids), _PAGE):
                for done, record in enumerate(store.records(ids[at : at + _PAGE]).values(), at + 1):
                    _write_picture(archive, record, shown[record.id], edits.get(record.id, Edit()), used)
                    on_progress(done, len(ids))
            table = io.BytesIO()
            np.save(table, store.vectors(ids))
            archive.writestr("vectors.npy", table.getvalue())
            about = {"format": FORMAT, "encoder": origin.encoder, "dimension": origin.dimension, "pack": pack_version()}
            said = {id: asdict(edit) for id, edit in edits.items() if id in shown}
            archive.writestr("pack.json", json.dumps(about | {"ids": ids, "edits": said}), zipfile.ZIP_DEFLATED)

    write_durably(file, write)
    return len(ids)


def unpack(file: Path, folder: Path) -> tuple[Path, Vectors]:
    """Return the folder below `folder` that holds a pack's pictures, unpacked unless they are there, and its vectors.

    Raises ValueError for what is no pack or breaks its rules; then nothing is left behind.
    """
    stamp = hashlib.sha256(f"{file.stat().st_size} {file.stat().st_mtime_ns}".encode()).hexdigest()[:8]
    target = folder / f"{file.stem}-{stamp}"
    try:
        with zipfile.ZipFile(file) as archive:
            entries = _checked_entries(file, archive)
            vectors = _read_vectors(archive)
            if not target.is_dir():
                _extract(archive, entries, target)
    except _NO_PACK as error:
        raise ValueError(f"{file.name} is damaged or no style pack ({error}): export it again.") from error
    return target, vectors


def encoder_of(file: Path) -> str:
    """Return `name@weights` of what made a pack's vectors. Raises ValueError for what is no pack."""
    try:
        with zipfile.ZipFile(file) as archive:
            return _read_vectors(archive).encoder
    except _NO_PACK as error:
        raise ValueError(f"{file.name} is damaged or no style pack ({error}): export it again.") from error


def earlier_states(unpacked: Path) -> list[Path]:
    """Return the folders of what a pack of this name held before, of which `unpack` gave the last."""
    name = unpacked.name.rpartition("-")[0]
    return [other for other in unpacked.parent.glob(f"{glob.escape(name)}-{'[0-9a-f]' * 8}") if other != unpacked]


def _write_picture(
    archive: zipfile.ZipFile, record: StyleRecord, shown: Sequence[Occurrence], edit: Edit, used: set[str]
) -> None:
    """Write a picture under each name that it has, with what that file says, or a person in its place."""
    path = next((path for path in map(Path, record.files) if path.is_file()), None)
    if path is None:
        raise ValueError(
            f"the picture of style '{record.name}' is gone ({record.file}): sync the knowledge base first."
        )
    names = list(dict.fromkeys(file.name for file in shown))
    for called in names:
        said = merge([file for file in shown if file.name == called], record.width, record.height, edit)
        parts = [re.sub(_BAD_PART, "_", part) for part in called.split("/")] if called else [record.id]
        name = "/".join(parts)
        if name.lower() in used:
            name = f"{name} {record.id[:12]}"
        used.add(name.lower())
        sidecar = {"caption": said.caption, "tags": list(said.tags), "license": said.licence}
        if source := read_source(path):
            sidecar["source"] = source
        with path.open("rb") as picture:
            ending = path.suffix.lower() or ending_of(picture)
        archive.write(path, f"pictures/{name}{ending}")
        archive.writestr(f"pictures/{name}.json", json.dumps(sidecar, ensure_ascii=False))


def _checked_entries(file: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the entries of pictures and sidecars, each of which may be written."""
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    total = sum(entry.file_size for entry in entries)
    if total > _MAX_GROWTH * file.stat().st_size + MAX_SIDECAR:
        raise ValueError(f"{file.name} would grow to {total:,} bytes, more than {_MAX_GROWTH} times its size: refused.")
    pictures = []
    for entry in entries:
        if entry.filename in ("pack.json", "vectors.npy"):
            limit = _MAX_TABLE
        else:
            limit = MAX_SIDECAR if entry.filename.endswith(".json") else _MAX_PICTURE
            pictures.append(entry)
            _check_name(file, entry.filename)
        if entry.file_size > limit:
            size = f"{entry.file_size:,} bytes, more than {limit:,}"
            raise ValueError(f"{file.name} holds {entry.filename!r} of {size}: refused.")
    _check_places(file, {entry.filename.lower() for entry in pictures})
    return pictures


def _check_name(file: Path, name: str) -> None:
    first, *parts = name.split("/")
    known = PurePosixPath(name).suffix.lower() in SUFFIXES | {".json"}
    short = len(name.encode()) <= _MAX_NAME and all(len(part.encode()) <= _MAX_PART for part in parts)
    named = all(part and not _BAD_PART.search(part) for part in parts)
    if first != "pictures" or not parts or not (known and short and named):
        raise ValueError(f"{file.name} holds {name!r}, which no style pack may: refused, and nothing was unpacked.")


def _check_places(file: Path, names: set[str]) -> None:
    """Raise ValueError when a file would have to be a folder as well."""
    for name in names:
        if any(str(above) in names for above in PurePosixPath(name).parents):
            raise ValueError(f"{file.name} holds {name!r} inside another file: refused, and nothing was unpacked.")


def _open(archive: zipfile.ZipFile, entry: zipfile.ZipInfo | str) -> IO[bytes]:
    try:
        return archive.open(entry)
    except OSError as error:  # it lies before the beginning of the file
        raise zipfile.BadZipFile(str(error)) from error


def _read_vectors(archive: zipfile.ZipFile) -> Vectors:
    about = json.loads(_open(archive, "pack.json").read())
    if not isinstance(about, dict) or not isinstance(about.get("ids", []), list):
        raise ValueError("the pack's pack.json is no object with a list of ids: export it again.")
    if about.get("format") != FORMAT:
        raise ValueError(f"the pack has format {about.get('format')!r}, this version reads {FORMAT}: update the nodes.")
    try:
        table = np.load(io.BytesIO(_open(archive, "vectors.npy").read()), allow_pickle=False)
    except _NO_TABLE as error:  # a header may name any shape
        raise ValueError(f"the pack's vectors can't be read ({error}): export it again.") from error
    wanted = (len(about["ids"]), about["dimension"])
    lengths = np.linalg.norm(table, axis=-1) if table.dtype == np.float32 else np.zeros(1)
    if table.shape != wanted or not np.allclose(lengths, 1, atol=1e-3):
        actual = f"{table.dtype} {table.shape}"
        raise ValueError(f"the pack's vectors are {actual}, not float32 {wanted} of unit length: export it again.")
    by_id = dict(zip(map(str, about["ids"]), table, strict=True))
    return Vectors(str(about["encoder"]), by_id, _read_edits(about.get("edits", {})))


def _read_edits(table: Any) -> dict[str, Edit]:
    """Return what a person said of the pack's styles. Raises ValueError for what no `PATCH` could have left."""
    if not isinstance(table, dict):
        raise ValueError("the edits in the pack's pack.json are no object: export it again.")
    edits: dict[str, Edit] = {}
    for id, edit in table.items():
        caption, tags = (edit.get("caption"), edit.get("tags")) if isinstance(edit, dict) else ("", "")
        fits = caption is None or (isinstance(caption, str) and len(caption) <= MAX_CAPTION)
        if not fits or not (tags is None or _are_tags(tags)):
            raise ValueError(f"the pack's pack.json has an edit of {id[:12]} that can't be read: export it again.")
        edits[id] = Edit(caption and to_unicode(caption), None if tags is None else tuple(map(to_unicode, tags)))
    return edits


def _are_tags(tags: Any) -> bool:
    few = isinstance(tags, list) and len(tags) <= MAX_TAGS
    return few and all(isinstance(tag, str) and len(tag) <= MAX_TAG for tag in tags)


def _extract(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], target: Path) -> None:
    """Write to a folder beside the target that takes its name when it is complete."""
    draft = target.with_name(f".{target.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        make_folder(draft)
        (draft / TAGLESS_MARKER).touch()  # its name is made up here
        for entry in entries:
            path = draft / Path(*entry.filename.split("/")[1:])
            path.parent.mkdir(parents=True, exist_ok=True)
            with _open(archive, entry) as packed, path.open("wb") as written:
                shutil.copyfileobj(packed, written)
        sync_tree(draft)
        os.replace(draft, target)
        sync_folders([target.parent])
    finally:
        shutil.rmtree(draft, ignore_errors=True)
