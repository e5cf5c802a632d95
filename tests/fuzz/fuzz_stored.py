"""The ways into the pack that change or read a whole knowledge base: ingest, style packs, settings, derived files."""

from __future__ import annotations

import atexit
import io
import json
import os
import shutil
import tempfile
import uuid
import zipfile
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import fuzz_pictures
import numpy as np
from fakes import ColourEncoder
from fuzz_watch import NEVER, Target
from style_pack.retrieval.engines.base import read_choice
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.records import StyleRecord
from style_pack.retrieval.store import stylepack
from style_pack.retrieval.store.encodings import Encodings
from style_pack.retrieval.store.store import StyleStore
from style_pack.retrieval.view import filters

ID = "a" * 64


def one_odd_file(data: bytes, folder: Path) -> None:
    """An ingest of a good picture beside one of any date and name, with anything said of it."""
    source = folder / "pictures"
    source.mkdir()
    (source / "good.png").write_bytes(fuzz_pictures.pictures("PNG")[0])
    seconds, name, said = data[:5], data[5:21].translate(None, b"/\0"), data[21:]
    odd = os.path.join(os.fsencode(source), b"odd" + name)
    for suffix, content in ((b".png", fuzz_pictures.pictures("PNG")[2]), (b".json", said)):
        with open(odd + suffix, "wb") as stream:
            stream.write(content)
        when = int.from_bytes(seconds, "little", signed=True) * 10**9
        os.utime(odd + suffix, ns=(0, when))
    store = StyleStore(folder / uuid.uuid4().hex)  # for Chroma has the last one's place open
    report = ingest(store, ColourEncoder(), [source], "sync")
    assert report.added >= 1
    assert report.added + len(report.failed) >= 2, report
    with store.reading() as view:
        view.close()
    store.discard()


def import_pack(data: bytes, folder: Path) -> None:
    file = folder / "shared.stylepack"
    file.write_bytes(data)
    inside = folder / "packs"
    inside.mkdir()
    try:
        stylepack.unpack(file, inside)
    finally:
        assert {path.name for path in folder.iterdir()} == {"shared.stylepack", "packs"}


@cache
def pack_of(name: str = "pictures/red.png", about: bytes = b"", vectors: bytes = b"") -> bytes:
    table, stream = io.BytesIO(), io.BytesIO()
    np.save(table, np.eye(2, 4, dtype=np.float32))
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, fuzz_pictures.pictures("PNG")[0])
        archive.writestr("pictures/red.json", json.dumps({"caption": "red", "tags": ["warm"]}), zipfile.ZIP_DEFLATED)
        archive.writestr("vectors.npy", vectors or table.getvalue())
        said = {"format": 1, "encoder": "colours@1", "dimension": 4, "pack": "0.1.0", "ids": ["a" * 64, "b" * 64]}
        archive.writestr("pack.json", about or json.dumps(said), zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def part_of_pack(name: str) -> Sequence[bytes]:
    with zipfile.ZipFile(io.BytesIO(pack_of())) as archive:
        return [archive.read(name)]


def settings_of(data: bytes, folder: Path) -> None:
    (folder / "settings.json").write_bytes(data)
    hash(read_choice(folder / "settings.json", "mine"))


@cache
def derived() -> Sequence[bytes]:
    """The files of a snapshot, each after its number among them."""
    index = _published() / "index" / "1"
    return [bytes([n]) + (index / name).read_bytes() for n, name in enumerate(_DERIVED)]


_DERIVED = (
    *(f"{name}.npy" for name in ("keys", "ids", "vectors", "starts", "rows", "counts", "lengths", "numbers", "names")),
    "name_ends.npy",
    "values.json",
)


@cache
def _published() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="fuzzed knowledge base "))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    store = StyleStore(folder / "base")
    stamps = {f"/styles/{tag}/a.png": [1, 1_700_000_000_000_000_000, 0] for tag in ("warm", "cool")}
    records = [
        StyleRecord(f"{n:064x}", f"harbour {n}", "a quay", ("warm",) * (n % 2), "CC0", 64 * n, 32, stamps)
        for n in range(4)
    ]
    store.add(records, np.eye(4, dtype=np.float32), "made@1")
    store.publish()
    return store.folder


def search_damaged(data: bytes, folder: Path) -> None:
    """A derived file that holds anything is noticed and made again: searches answer as before."""
    name = _DERIVED[data[0] % len(_DERIVED)] if data else _DERIVED[0]
    base = folder / uuid.uuid4().hex
    shutil.copytree(_published(), base)
    (base / "index" / "1" / name).write_bytes(data[1:])
    assert _answers(base) == _right_answers()


@cache
def _right_answers() -> Any:
    return _answers(_published())


def _answers(folder: Path) -> Any:
    store = StyleStore(folder)
    with store.reading() as view:
        every = view.passing()
        near = [view.nearest(vector, 2, every) for vector in np.eye(4, dtype=np.float32)]
        words = [view.by_words([word], 4, every) for word in ("harbour", "quay", "warm")]
        asked = [filters.parse_filter(text) for text in ("tag:warm", "size:>=32", "name:harbour", "date:2023")]
        passed = [view.ids(view.passing(filter)) for filter in asked]
        view.close()
    return near, words, passed


def read_encoding(data: bytes, folder: Path) -> None:
    """How an IP-Adapter sees a picture is made again when its file can't be read."""
    kept, file = _keep_encoding(folder)
    file.write_bytes(data)
    found = kept.read("adapter", ID)
    assert found is None or found.tolist() == [[1, 1, 1], [1, 1, 1]]


@cache
def encodings() -> Sequence[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return [_keep_encoding(Path(folder))[1].read_bytes()]


def _keep_encoding(folder: Path) -> tuple[Encodings, Path]:
    kept = Encodings(folder)
    kept.keep("adapter", {ID: np.ones((2, 3), np.float32)})
    return kept, next(folder.rglob("*.npy"))


_PACK = ("format", "encoder", "dimension", "ids", "pack")
_ENGINE = ("engines", "*", "mine", "engine", "url", "chroma", "qdrant", "langchain", "factory", "in_folder", "options")

TARGETS: dict[str, Target] = {
    "one odd file of an ingest": Target(
        one_odd_file,
        lambda: [
            seconds.to_bytes(5, "little", signed=True) + b"a" * 16 + b'{"caption": "red"}'
            for seconds in (1_700_000_000, -1, 2**34, 2**38)
        ],
        NEVER,
        cost=40,
    ),
    "style pack": Target(import_pack, lambda: [pack_of()], cost=2),
    "style pack's note": Target(
        lambda data, folder: import_pack(pack_of(about=data or b" "), folder),
        partial(part_of_pack, "pack.json"),
        form="json",
        words=_PACK,
        cost=2,
    ),
    "style pack's vectors": Target(
        lambda data, folder: import_pack(pack_of(vectors=data or b" "), folder),
        partial(part_of_pack, "vectors.npy"),
        words=("'shape': (2, 4)", "'descr': '|O'", "True", "<f8", "999999999"),
        cost=2,
    ),
    "style pack's names": Target(
        lambda data, folder: import_pack(pack_of(data.decode("utf-8", "replace").replace("\0", "") or "x"), folder),
        lambda: [b"pictures/warm/red.png"],
        form="text",
        cost=2,
        words=("pictures/", "..", "/", "\\", "C:", "con", ".png", ".json", "a.png/b.png", "/etc/x.png"),
    ),
    "settings.json": Target(
        settings_of,
        lambda: [b'{"engines": {"*": {"engine": "chroma-server", "url": "http://a:1", "options": {}}}}'],
        form="json",
        words=_ENGINE,
    ),
    "damaged index": Target(search_damaged, derived, NEVER, cost=100),
    "damaged encoding": Target(read_encoding, encodings, NEVER, cost=4),
}
