"""The ways into the pack that pictures, and what is said of them, come by; and what a knowledge base reads again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import fuzz_pictures
from fuzz_watch import NEVER, Target, text_of
from style_pack.retrieval.pictures import fetch, read_ahead
from style_pack.retrieval.pictures.reader import read_source
from style_pack.retrieval.ranking import pins
from style_pack.retrieval.records import SourceFile, StyleRecord
from style_pack.retrieval.store.origin import plain_name
from style_pack.retrieval.view import filters
from style_pack.retrieval.view.postings import Postings

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


@cache
def postings() -> Postings:
    stamps = {f"/styles/{tag}/a.png": [1, 1_700_000_000_000_000_000, 0] for tag in ("warm", "cool")}
    return Postings.build(
        [StyleRecord(str(n), f"harbour {n}", "a quay", ("warm", "ukiyo-e"), "CC0", 64 * n, 32, stamps) for n in (1, 2)]
    )


def filter_styles(data: bytes, folder: Path) -> None:
    if found := filters.parse_filter(text_of(data)):
        assert postings().passing(found).shape == (2,)


def list_urls(data: bytes, folder: Path) -> None:
    (folder / "urls.txt").write_bytes(data)
    fetch.read_url_list(folder / "urls.txt")


def _pictures(format: str) -> Callable[[], Sequence[bytes]]:
    return lambda: fuzz_pictures.pictures(format)


def _graphs() -> Sequence[bytes]:
    return [file.read_bytes() for file in sorted((WORKFLOWS / "api").glob("*.json"))]


_SAID = ("caption", "tags", "license", "licence", "source")
_GRAPH = ("inputs", "positive", "text", "prompt", "seed", "class_type")
_FILTER = (
    *("tag:", "license:", "folder:", "name:", "date:", "size:", "width:", "OR", "AND", "NOT", "-", "(", ")", '"', "'"),
    *("2024", "2024-05-17", "..", ">=", "<", "512", "tag:warm", " ", "date:>=2024-13", "size:1..2"),
)
_URLS = ("http://", "https://", "a.b/c.png", "[::1]", ":80", "@", "#", "\n", "xn--", "ftp://", "%00", "／")

TARGETS: dict[str, Target] = {
    **{
        f"{format} picture": Target(partial(read_picture, suffix=suffix), _pictures(format), NEVER)
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
    "PNG chunks": Target(made(fuzz_pictures.repaired), _pictures("PNG"), NEVER),
    "EXIF in PNG": Target(made(fuzz_pictures.with_exif, "PNG"), lambda: [fuzz_pictures.exif()], NEVER),
    "EXIF in JPEG": Target(made(fuzz_pictures.with_exif, "JPEG"), lambda: [fuzz_pictures.exif()], NEVER),
    "colour profile": Target(made(fuzz_pictures.with_profile, "RGB"), lambda: [fuzz_pictures.profile()], NEVER),
    "grey's profile": Target(made(fuzz_pictures.with_profile, "L"), lambda: [fuzz_pictures.profile()], NEVER),
    "graph in PNG": Target(png_saying("prompt"), _graphs, NEVER, form="json", words=_GRAPH),
    "parameters in PNG": Target(
        png_saying("parameters"),
        lambda: [b"(ink:1.2) <lora:x:1>\nNegative prompt: blur\nSteps: 2"],
        NEVER,
        form="text",
        words=("(", ")", "[", "]", ":1.2)", "<lora:", ">", "\nSteps: ", "\nNegative prompt: ", "\\("),
    ),
    "sidecar of JSON": Target(
        beside(".json"),
        lambda: [b'{"caption": "red", "tags": ["a"], "license": "CC0", "source": "https://a.b/c"}'],
        NEVER,
        form="json",
        words=_SAID,
    ),
    "sidecar of text": Target(beside(".txt"), lambda: ["höher, red".encode(), b"\xff\xfered"], NEVER),
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
        lambda data, folder: plain_name(text_of(data)),
        lambda: [b"my styles"],
        form="text",
        words=("con", ".", " ", "settings.json", "a", "/", "com1.x"),
    ),
    "list of URLs": Target(list_urls, lambda: [b"https://a.b/c.png\n# more\nhttp://d.e"], form="text", words=_URLS),
}
