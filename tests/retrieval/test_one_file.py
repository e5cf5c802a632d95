"""No file ends an ingest, whatever is in it, beside it, or in its name and date: it is named, the rest is stored."""

import io
import json
import os
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from fakes import ColourEncoder, paint
from PIL import Image, PngImagePlugin
from places import ROOT
from style_pack.retrieval.encoders.encoder import StyleEncoder
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.pictures import read_ahead
from style_pack.retrieval.pictures.finder import look_at
from style_pack.retrieval.pictures.read_ahead import Reading, read
from style_pack.retrieval.pictures.reader import open_picture
from style_pack.retrieval.records import StyleRecord
from style_pack.retrieval.store.store import StyleStore
from style_pack.retrieval.view.filters import numbers, parse_filter

MUTATED = 240  # pictures; thousands were tried by hand
KINDS = [
    ValueError("odd"), OSError(5, "Input/output error"), RuntimeError("Failed to decode frame 0: Truncated data"),
    SyntaxError("not a TIFF file"), OverflowError("too large"), ZeroDivisionError("division by zero"), MemoryError(),
    struct.error("unpack requires 4 bytes"), zlib.error("Error -3"), KeyError("exif"), IndexError("out of range"),
    TypeError("NoneType"), AttributeError("tag_v2"), AssertionError(), EOFError(), RecursionError("too deep"),
    NotImplementedError("mode"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), SystemError("tile"),
    BufferError("memoryview"), Image.DecompressionBombError("bomb"), Image.DecompressionBombWarning("bomb"),
]  # fmt: skip


@pytest.mark.parametrize("error", KINDS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("stage", ["open_picture", "content_id", "read_description"])
def test_what_a_decoder_raises_is_the_files_reason(
    store: StyleStore, folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, stage: str
) -> None:
    real = getattr(read_ahead, stage)
    bad = Path(paint(folder / "cool" / "odd.png", "lime"))

    def reading(what: object, *others: object) -> object:
        if what == bad or (isinstance(what, Image.Image) and what.getpixel((0, 0)) == (0, 255, 0)):
            raise error
        return real(what, *others)

    monkeypatch.setattr(read_ahead, stage, reading)
    report = ingest(store, ColourEncoder(), [folder], "sync")
    [failed] = report.failed
    assert failed["file"] == str(bad)
    assert failed["reason"]
    assert report.total == (6 if stage == "read_description" else 5)


def avif(seed: int) -> bytes:
    """An AVIF with a few bytes of its coded picture changed; many of them make its decoder raise RuntimeError."""
    chance, made = random.Random(seed), io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 255, (24, 31, 3), dtype=np.uint8)
    Image.fromarray(noise).save(made, "AVIF")
    content = bytearray(made.getvalue())
    start = content.index(b"mdat") + 4
    for _ in range(20):
        content[chance.randrange(start, len(content))] = chance.randrange(256)
    return bytes(content)


def test_damaged_avifs_are_named_on_every_way_in(store: StyleStore, folder: Path) -> None:
    for seed in range(30):
        (folder / "cool" / f"{seed:02}.avif").write_bytes(avif(seed))
    report = ingest(store, ColourEncoder(), [folder], "sync")
    assert report.total + len(report.failed) == 35
    assert {"cool/blue", "warm/red"} <= {record.name for record in store.records().values()}
    reasons = [failed["reason"] for failed in report.failed]
    assert any(reason.startswith("it is damaged: Failed to decode frame 0") for reason in reasons)
    for failed in report.failed:
        with pytest.raises(ValueError, match=r"."):
            open_picture(Path(failed["file"]))


def test_dates_that_64_bits_of_nanoseconds_do_not_hold(store: StyleStore, folder: Path) -> None:
    late = folder / "warm" / "red.png"
    moment = 10_413_792_000 * 10**9  # the year 2300
    os.utime(late, ns=(moment, moment))
    assert late.stat().st_mtime_ns == moment
    assert ingest(store, ColourEncoder(), [folder], "sync").total == 5
    for opened in (store, StyleStore(store.folder)):
        with opened.reading() as view:
            [id] = view.ids(view.passing(parse_filter("date:>=2200")))
        assert opened.records([id])[id].name == "warm/red"
    assert ingest(store, ColourEncoder(), [folder], "sync").unchanged == 5


@pytest.mark.parametrize("modified", [10**30, 2**63, -(10**30), -(2**63) - 1, -1, 0])
def test_any_date_has_its_place_in_the_index(modified: int) -> None:
    record = StyleRecord("0" * 64, "n", "", (), "", 8, 8, {"/n.png": [1, modified, 0]})
    assert np.array([numbers(record)], dtype=np.int64)[0, 0] == min(max(modified, -(2**63)), 2**63 - 2)


SIDECARS = {
    "[]": b"[]", "null": b"null", "text": b'"a"', "cut": b'{"caption": "a', "empty": b"", "binary": bytes(range(256)),
    "deep": b"[" * 100_000, "long number": b'{"a": 1' + b"0" * 6000 + b"}", "picture": b"\x89PNG\r\n\x1a\n\xff\xd8" * 9,
    "large": b'{"caption": "' + b"a" * 1_000_000 + b'"}',
}  # fmt: skip


@pytest.mark.parametrize("content", SIDECARS.values(), ids=SIDECARS)
def test_a_json_that_is_no_description_is_named_and_the_picture_is_stored(
    store: StyleStore, folder: Path, content: bytes
) -> None:
    sidecar = folder / "warm" / "orange.json"
    sidecar.write_bytes(content)
    report = ingest(store, ColourEncoder(), [folder], "sync")
    [failed] = report.failed
    assert (failed["file"], report.total) == (str(sidecar.with_suffix(".png")), 5)
    assert failed["reason"].startswith("its orange.json ")
    assert failed["reason"].endswith("; the picture is stored without those words")
    record = next(record for record in store.records().values() if record.name == "warm/orange")
    assert (record.caption, record.tags) == ("", ("warm",))


def test_a_picture_that_has_words_keeps_them_when_its_sidecar_is_damaged(
    filled: StyleStore, encoder: ColourEncoder, folder: Path
) -> None:
    (folder / "warm" / "red.json").write_bytes(b'{"caption": "a red')
    report = ingest(filled, encoder, [folder], "sync")
    assert report.failed[0]["reason"].startswith("its red.json is not valid JSON")
    record = next(record for record in filled.records().values() if record.name == "warm/red")
    assert (record.caption, record.tags, record.licence) == ("a red wall", ("warm", "brick", "photo"), "CC0-1.0")


def test_texts_say_in_which_unicode_they_are_or_are_named(store: StyleStore, folder: Path) -> None:
    for name, content in {
        "red": json.dumps({"caption": "浮世絵", "tags": ["波"]}, ensure_ascii=False).encode("utf-16"),
        "orange": b"\xef\xbb\xbfcaf\xc3\xa9",
    }.items():
        (folder / "warm" / f"{name}.{'json' if name == 'red' else 'txt'}").write_bytes(content)
    (folder / "cool" / "teal.txt").write_bytes("é".encode() * 4000)  # is cut in the midst of a letter's bytes
    (folder / "cool" / "blue.txt").write_bytes("café".encode("cp1252"))
    (folder / "plain" / "grey.txt").write_bytes(bytes(range(128, 256)))
    report = ingest(store, ColourEncoder(), [folder], "sync")
    captions = {record.name: record.caption for record in store.records().values()}
    names = ("warm/red", "warm/orange", "cool/blue", "plain/grey")
    assert [captions[name] for name in names] == ["浮世絵", "café", "café", ""]
    assert captions["cool/teal"] == "é" * 2000
    [failed] = report.failed
    assert failed["reason"] == (
        "its grey.txt is no text in any known encoding: save it as UTF-8; the picture is stored without those words"
    )


def test_names_that_leave_no_room_for_a_sidecar_and_that_are_no_unicode(store: StyleStore, folder: Path) -> None:
    paint(folder / "cool" / ("n" * 251 + ".png"), "navy")
    odd = Path(os.fsdecode(os.fsencode(folder) + b"/b\xff"))
    paint(odd / "c.png", "lime")
    report = ingest(store, ColourEncoder(), [folder, odd], "add")
    assert report.total == 6
    assert {failed["reason"] for failed in report.failed} == {
        "it can't be read: its name or its folder's is not valid Unicode, rename it"
    }
    assert store.said.sources() == [str(folder)]


def test_a_strip_takes_no_gigabytes(tmp_path: Path) -> None:
    model = ROOT / "models" / "clip-tiny"
    encoder = StyleEncoder("tiny", model, model)
    strip = Image.new("RGB", (100_000, 3), "red")
    strip.paste("blue", (0, 0, 49_000, 3))
    strip.paste("blue", (51_000, 0, 100_000, 3))
    upright, middle = strip.transpose(Image.Transpose.ROTATE_90), Image.new("RGB", (300, 3), "red")
    vectors = encoder.encode_images([strip, upright, middle])
    assert np.allclose(vectors @ vectors.T, 1, atol=1e-4)


def samples() -> dict[str, bytes]:
    """A small picture in every format that can be written here, with EXIF, a profile and text where it takes them."""
    noise = np.random.default_rng(0)
    image = Image.fromarray(noise.integers(0, 255, (24, 31, 3), dtype=np.uint8))
    exif, info = Image.Exif(), PngImagePlugin.PngInfo()
    exif[274], exif[271] = 6, "x" * 20
    info.add_text("Description", "abc")
    info.add_itxt("parameters", "ä" * 40, zip=True)
    formats = {
        "a.png": ("PNG", {"pnginfo": info, "exif": exif}), "a.jpg": ("JPEG", {"exif": exif}), "a.gif": ("GIF", {}),
        "a.webp": ("WEBP", {"exif": exif}), "a.bmp": ("BMP", {}), "a.tif": ("TIFF", {"exif": exif}),
        "lzw.tif": ("TIFF", {"compression": "tiff_lzw"}), "j.tif": ("TIFF", {"compression": "jpeg"}),
        "a.avif": ("AVIF", {"exif": exif}),
    }  # fmt: skip
    made: dict[str, bytes] = {}
    for name, (kind, options) in formats.items():
        stream = io.BytesIO()
        image.save(stream, kind, **options)
        made[name] = stream.getvalue()
    return made


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of each thing that it leaves out
def test_mutated_pictures_of_every_format_are_read_or_named(tmp_path: Path) -> None:
    chance, pictures = random.Random(0), samples()
    read_or_named = [0, 0]
    for n in range(MUTATED):
        name = list(pictures)[n % len(pictures)]
        content = bytearray(pictures[name])
        for _ in range(chance.choice((1, 1, 2, 5, 20))):
            content[chance.randrange(len(content))] = chance.choice((0, 255, 127, 128, chance.randrange(256)))
        if chance.random() < 0.15:
            del content[chance.randrange(len(content)) :]
        file = tmp_path / f"{n}{Path(name).suffix}"
        file.write_bytes(content)
        found = read(look_at(file, "n", ""))
        read_or_named[isinstance(found, Reading)] += 1
        assert isinstance(found, Reading) or str(found)
    assert min(read_or_named) > MUTATED // 10
