"""What lies beside the pixels never makes a readable picture damaged, and rare kinds of pixels are read right."""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin
from style_pack.retrieval.pictures.reader import format_of, open_picture, open_with_transparency, read_description

COLOUR = (200, 100, 50)
PICTURE = Image.new("RGB", (64, 48), COLOUR)
LONG = "x" * 2_000_000


def is_read(path: Path, size: tuple[int, int] = (64, 48)) -> bool:
    opened = open_picture(path)
    return opened.size == size and np.abs(np.asarray(opened, dtype=int) - COLOUR).max() <= 3


def exif(*entries: tuple[int, int, int, bytes]) -> bytes:
    """The block of these (tag, type, count, up to 4 or 8 bytes), with orientation 6 among them."""
    table, beside = b"", b""
    entries = tuple(sorted([(0x112, 3, 1, struct.pack("<H", 6)), *entries]))
    for tag, kind, count, value in entries:
        at = struct.pack("<I", 8 + 2 + 12 * len(entries) + 4 + len(beside))
        table += struct.pack("<HHI", tag, kind, count) + (value.ljust(4, b"\0") if len(value) <= 4 else at)
        beside += value if len(value) > 4 else b""
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + table + bytes(4) + beside


@pytest.mark.parametrize("suffix", ["jpg", "webp", "png", "heic"])
@pytest.mark.parametrize(
    "entry",
    [
        (0x11A, 10, 1, struct.pack("<ii", -72, 1)),
        (0x11A, 9, 1, struct.pack("<i", -1)),
        (0x100, 9, 1, struct.pack("<i", -5)),
        (0x111, 4, 1, struct.pack("<I", 0xFFFFFFFF)),
        (0x11B, 12, 1, struct.pack("<d", float("nan"))),
        (0x11B, 5, 1, struct.pack("<II", 1, 0)),
        (0x8769, 4, 1, struct.pack("<I", 0xFFFFFF)),
        (0x8825, 2, 3, b"ab\0"),
        (0x10F, 2, 500, b"cut off"),
    ],
)
def test_impossible_exif_values_are_passed_over_and_the_picture_stands_upright(
    tmp_path: Path, entry: tuple[int, int, int, bytes], suffix: str
) -> None:
    if suffix == "heic":
        import pillow_heif

        pillow_heif.register_heif_opener()
    PICTURE.save(tmp_path / f"a.{suffix}", exif=exif(entry), quality=95)
    assert is_read(tmp_path / f"a.{suffix}", (48, 64))


def test_an_exif_block_that_is_none_is_passed_over(tmp_path: Path) -> None:
    for suffix, start in (
        ("jpg", b"II*\0\x08"),
        ("webp", b"II*\0\x08"),
        ("avif", b"II*\0\x08"),
        ("heic", b"II*\0\x08"),
    ):
        path = tmp_path / f"a.{suffix}"
        PICTURE.save(path, exif=exif((0x10F, 2, 3, b"ab\0")), quality=95)
        whole = path.read_bytes()
        assert start in whole
        path.write_bytes(whole.replace(start, b"none!"))
        assert open_picture(path).size in ((64, 48), (48, 64))


def chunk(kind: bytes, data: bytes, whole: bool = True) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ (not whole))


def png(*beside: bytes) -> bytes:
    """A PNG with chunks between its header and its pixels, and again behind them."""
    plain = io.BytesIO()
    PICTURE.save(plain, "PNG")
    head, pixels, end = plain.getvalue()[:33], plain.getvalue()[33:-12], plain.getvalue()[-12:]
    extra = b"".join(beside)
    return head + extra + pixels + extra + end


def texts() -> Iterator[tuple[str, bytes]]:
    packed = zlib.compress(LONG.encode())
    yield "a large zTXt", chunk(b"zTXt", b"workflow\0\0" + packed)
    yield "a large iTXt", chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + packed)
    yield "large tEXt", b"".join(chunk(b"tEXt", b"workflow\0" + b"y" * 20_000_000) for _ in range(4))
    yield "an unknown packing", chunk(b"zTXt", b"workflow\0\7" + packed)
    yield "a large profile", chunk(b"iCCP", b"icc\0\0" + packed)
    yield "a bomb", chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(300_000_000), 9))
    for kind in (b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"tIME", b"gAMA", b"pHYs", b"iCCP", b"sRGB", b"tRNS", b"ruNk"):
        yield f"a wrong checksum of {kind.decode()}", chunk(kind, b"Comment\0hi", whole=False)
    yield "a cut gAMA", chunk(b"gAMA", b"\0")
    yield "a cut pHYs", chunk(b"pHYs", b"\0\0")
    yield "a cut cHRM", chunk(b"cHRM", b"\6")


@pytest.mark.parametrize("beside", [pytest.param(data, id=name) for name, data in texts()])
def test_chunks_beside_the_pixels_do_not_damage_a_png(tmp_path: Path, beside: bytes) -> None:
    path = tmp_path / "sea" / "a.png"
    path.parent.mkdir()
    path.write_bytes(png(chunk(b"tEXt", b"Description\0the great wave"), beside))
    assert is_read(path)
    assert format_of(path) == "PNG"
    assert read_description(path) == ("the great wave", ("sea",), "")


def test_a_wrong_checksum_of_the_pixels_is_damage_still(tmp_path: Path) -> None:
    whole = png()
    at = whole.index(b"IDAT") + 20
    (tmp_path / "a.png").write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    with pytest.raises(ValueError, match="it is damaged"):
        open_picture(tmp_path / "a.png")


def png_of(colour_type: int, rows: np.ndarray, transparent: tuple[int, ...]) -> bytes:
    """A PNG of 16 bit with a transparent colour. rows: (H, W, C)."""
    height, width = rows.shape[:2]
    pixels = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    named = struct.pack(f">{len(transparent)}H", *transparent)
    chunks = (b"IHDR", head), (b"tRNS", named), (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def test_of_16_bit_the_one_transparent_colour_is_transparent_and_its_neighbour_is_not(tmp_path: Path) -> None:
    grey = np.array([[[30_000], [30_001], [60_000]]])
    (tmp_path / "grey.png").write_bytes(png_of(0, grey, (30_000,)))
    colour = np.array([[[51_300, 25_650, 12_816], [51_301, 25_650, 12_816], [4_386, 13_124, 21_862]]])
    (tmp_path / "colour.png").write_bytes(png_of(2, colour, (51_300, 25_650, 12_816)))
    assert np.asarray(open_picture(tmp_path / "grey.png"))[0, :, 0].tolist() == [255, 117, 233]
    assert np.asarray(open_picture(tmp_path / "colour.png")).tolist() == [[[255] * 3, [200, 100, 50], [17, 51, 85]]]
    assert open_with_transparency(tmp_path / "colour.png").getchannel("A").tobytes() == b"\0\xff\xff"


def tiff(values: np.ndarray, photometric: int, **tags: Any) -> bytes:
    """A TIFF of one strip, whose place Pillow fills in. values: (H, W) or (H, W, C)."""
    height, width, samples = (*values.shape, 1)[:3]
    bits, number = values.dtype.itemsize * 8, {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    table = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\x08\0\0\0")
    for tag, value in {256: width, 257: height, 258: (bits,) * samples, 259: 1, 262: photometric, 273: 0,
                       277: samples, 278: height, 279: values.nbytes, 339: (number,) * samples}.items():  # fmt: skip
        table[tag] = value
    for tag, value in tags.items():
        table[int(tag[1:])] = value
    return b"II*\0\x08\0\0\0" + table.tobytes(8) + values.tobytes()


def test_grey_of_16_bit_where_white_is_zero_is_no_negative(tmp_path: Path) -> None:
    values = np.array([[0, 200 * 257, 65535]], dtype=np.uint16)
    for photometric, seen in ((0, [255, 55, 0]), (1, [0, 200, 255])):
        (tmp_path / "a.tif").write_bytes(tiff(values, photometric))
        assert np.asarray(open_picture(tmp_path / "a.tif"))[0, :, 0].tolist() == seen


def test_grey_of_floats_is_read_either_way_round(tmp_path: Path) -> None:
    values = np.array([[0.0, 0.25, 1.0]], dtype=np.float32)
    for photometric, seen in ((0, [255, 191, 0]), (1, [0, 64, 255])):
        (tmp_path / "a.tif").write_bytes(tiff(values, photometric))
        assert np.asarray(open_picture(tmp_path / "a.tif"))[0, :, 0].tolist() == seen


@pytest.mark.parametrize("white", [1.0, 255.0])
def test_colours_of_floats_are_read_and_stand_upright(tmp_path: Path, white: float) -> None:
    values = np.array([[[0.0, 0.5, 1.0], [1.0, 0.2, 0.0]]], dtype=np.float32) * np.float32(white)
    (tmp_path / "a.tif").write_bytes(tiff(values, 2))
    assert np.asarray(open_picture(tmp_path / "a.tif")).tolist() == [[[0, 128, 255], [255, 51, 0]]]
    (tmp_path / "a.tif").write_bytes(tiff(values, 2, _274=6))
    assert np.asarray(open_picture(tmp_path / "a.tif")).tolist() == [[[0, 128, 255]], [[255, 51, 0]]]


def test_a_tiff_of_floats_that_is_cut_off_says_so(tmp_path: Path) -> None:
    whole = tiff(np.ones((40, 40, 3), dtype=np.float32), 2)
    for kept in range(0, len(whole) - 400, 500):
        (tmp_path / "a.tif").write_bytes(whole[:kept])
        with pytest.raises(ValueError, match=r"it is damaged|not a picture that can be read"):
            open_picture(tmp_path / "a.tif")
