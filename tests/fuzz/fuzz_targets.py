"""The ways into the pack that pictures, and what is said of them, come by; and what a knowledge base reads again."""

from __future__ import annotations

import atexit
import io
import json
import os
import shutil
import tempfile
import uuid
import zipfile
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import fuzz_pictures
import numpy as np
from fakes import ColourEncoder
from fuzz_watch import Target, text_of
from style_pack.retrieval import fetch, filters, pins, read_ahead, stylepack
from style_pack.retrieval.index import read_choice
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.origin import check_name
from style_pack.retrieval.postings import Postings
from style_pack.retrieval.reader import read_source
from style_pack.retrieval.records import SourceFile, StyleRecord
from style_pack.retrieval.store import StyleStore

WORKFLOWS = Path(__file__).parents[2] / "workflows"


def read_picture(data: bytes, folder: Path, suffix: str) -> None:
    """What an ingest does with one file: a picture, or a reason."""
    path = folder / f"picture{suffix}"
    path.write_bytes(data)
    found = read_ahead.read(SourceFile(str(path), "picture", len(data), 0))
    if isinstance(found, ValueError):
        assert str(found)
    else:
        assert found.image
        assert found.image.mode == "RGB"
        assert found.image.size == (found.width, found.height)


def made(make: Callable[..., bytes], *arguments: Any) -> Callable[[bytes, Path], None]:
    """Reads the PNG, or the JPEG, that is made with an input inside."""
    suffix = ".jpg" if "JPEG" in arguments else ".png"
    return lambda data, folder: read_picture(make(data, *arguments), folder, suffix)


def png_saying(keyword: str) -> Callable[[bytes, Path], None]:
    def run(data: bytes, folder: Path) -> None:
        text = data.decode("utf-8", "replace")
        read_picture(fuzz_pictures.with_text(keyword, text), folder, ".png")

    return run


def beside(suffix: str) -> Callable[[bytes, Path], None]:
    def run(data: bytes, folder: Path) -> None:
        (folder / f"picture{suffix}").write_bytes(data)
        read_picture(fuzz_pictures.pictures("PNG")[0], folder, ".png")
        read_source(folder / "picture.png")

    return run


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
    assert report.added + len(report.failed) == 2, report
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


@cache
def postings() -> Postings:
    stamps = {f"/styles/{tag}/a.png": [1, 1_700_000_000_000_000_000, 0] for tag in ("warm", "cool")}
    return Postings.build(
        [StyleRecord(str(n), f"harbour {n}", "a quay", ("warm", "ukiyo-e"), "CC0", 64 * n, 32, stamps) for n in (1, 2)]
    )


def filter_styles(data: bytes, folder: Path) -> None:
    if found := filters.parse_filter(text_of(data)):
        assert postings().passing(found).shape == (2,)


def settings_of(data: bytes, folder: Path) -> None:
    (folder / "settings.json").write_bytes(data)
    hash(read_choice(folder / "settings.json", "mine"))


def list_urls(data: bytes, folder: Path) -> None:
    (folder / "urls.txt").write_bytes(data)
    fetch.read_url_list(folder / "urls.txt")


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
    store = StyleStore(folder / "base")
    store.encodings.keep("adapter", "a" * 64, np.ones((2, 3), np.float32))
    file = next((folder / "base" / "encodings").rglob("*.npy"))
    file.write_bytes(data)
    found = store.encodings.read("adapter", "a" * 64)
    assert found is None or found.dtype == np.float32


@cache
def encodings() -> Sequence[bytes]:
    stream = io.BytesIO()
    np.save(stream, np.ones((2, 3), np.float32))
    return [stream.getvalue()]


def _pictures(format: str) -> Callable[[], Sequence[bytes]]:
    return lambda: fuzz_pictures.pictures(format)


def _graphs() -> Sequence[bytes]:
    return [file.read_bytes() for file in sorted((WORKFLOWS / "api").glob("*.json"))]


_NEVER: tuple[type[BaseException], ...] = ()
_SAID = ("caption", "tags", "license", "licence", "source")
_GRAPH = ("inputs", "positive", "text", "prompt", "seed", "class_type")
_FILTER = (
    *("tag:", "license:", "folder:", "name:", "date:", "size:", "width:", "OR", "AND", "NOT", "-", "(", ")", '"', "'"),
    *("2024", "2024-05-17", "..", ">=", "<", "512", "tag:warm", " ", "date:>=2024-13", "size:1..2"),
)
_PACK = ("format", "encoder", "dimension", "ids", "pack")
_ENGINE = ("engines", "*", "mine", "engine", "url", "chroma", "qdrant", "langchain", "factory", "in_folder", "options")
_URLS = ("http://", "https://", "a.b/c.png", "[::1]", ":80", "@", "#", "\n", "xn--", "ftp://", "%00", "／")

TARGETS: dict[str, Target] = {
    **{
        f"{format} picture": Target(partial(read_picture, suffix=suffix), _pictures(format), _NEVER)
        for format, suffix in {
            "PNG": ".png",
            "JPEG": ".jpg",
            "WEBP": ".webp",
            "TIFF": ".tif",
            "BMP": ".bmp",
            "GIF": ".gif",
            "AVIF": ".avif",
            "HEIF": ".heic",
        }.items()
    },
    "PNG chunks": Target(made(fuzz_pictures.repaired), _pictures("PNG"), _NEVER),
    "EXIF in PNG": Target(made(fuzz_pictures.with_exif, "PNG"), lambda: [fuzz_pictures.exif()], _NEVER),
    "EXIF in JPEG": Target(made(fuzz_pictures.with_exif, "JPEG"), lambda: [fuzz_pictures.exif()], _NEVER),
    "colour profile": Target(made(fuzz_pictures.with_profile, "RGB"), lambda: [fuzz_pictures.profile()], _NEVER),
    "grey's profile": Target(made(fuzz_pictures.with_profile, "L"), lambda: [fuzz_pictures.profile()], _NEVER),
    "graph in PNG": Target(png_saying("prompt"), _graphs, _NEVER, form="json", words=_GRAPH),
    "parameters in PNG": Target(
        png_saying("parameters"),
        lambda: [b"(ink:1.2) <lora:x:1>\nNegative prompt: blur\nSteps: 2"],
        _NEVER,
        form="text",
        words=("(", ")", "[", "]", ":1.2)", "<lora:", ">", "\nSteps: ", "\nNegative prompt: ", "\\("),
    ),
    "sidecar of JSON": Target(
        beside(".json"),
        lambda: [b'{"caption": "red", "tags": ["a"], "license": "CC0", "source": "https://a.b/c"}'],
        _NEVER,
        form="json",
        words=_SAID,
    ),
    "sidecar of text": Target(beside(".txt"), lambda: ["höher, red".encode(), b"\xff\xfered"], _NEVER),
    "one odd file of an ingest": Target(
        one_odd_file,
        lambda: [
            seconds.to_bytes(5, "little", signed=True) + b"a" * 16 + b'{"caption": "red"}'
            for seconds in (1_700_000_000, -1, 2**34, 2**38)
        ],
        _NEVER,
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
        lambda data, folder: import_pack(pack_of(data.decode("utf-8", "replace") or "x"), folder),
        lambda: [b"pictures/warm/red.png"],
        form="text",
        cost=2,
        words=("pictures/", "..", "/", "\\", "C:", "con", ".png", ".json", "a.png/b.png", "/etc/x.png"),
    ),
    "filter": Target(
        filter_styles, lambda: [b"tag:warm (license:CC0 OR date:>=2024) -size:<512"], form="text", words=_FILTER
    ),
    "pins": Target(
        lambda data, folder: pins.read_pins([line for line in text_of(data).splitlines() if line.strip()]),
        lambda: [b"a" * 64 + b" 0.5\n" + b"b" * 64],
        form="text",
        words=("none", "a" * 64, " ", "\n", "0.5", "nan", "-1"),
    ),
    "name": Target(
        lambda data, folder: check_name(text_of(data)),
        lambda: [b"my styles"],
        form="text",
        words=("con", ".", " ", "settings.json", "a", "/", "com1.x"),
    ),
    "list of URLs": Target(list_urls, lambda: [b"https://a.b/c.png\n# more\nhttp://d.e"], form="text", words=_URLS),
    "settings.json": Target(
        settings_of,
        lambda: [b'{"engines": {"*": {"engine": "chroma-server", "url": "http://a:1", "options": {}}}}'],
        form="json",
        words=_ENGINE,
    ),
    "damaged index": Target(search_damaged, derived, _NEVER, cost=100),
    "damaged encoding": Target(read_encoding, encodings, _NEVER, cost=20),
}
