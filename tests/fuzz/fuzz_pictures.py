"""Pictures that the fuzzer starts from: small, of every accepted format, and in the odd modes of each."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

SIDES = (24, 17)
# Pillow's format -> the modes of a file, and how it is saved.
_SAVED: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "PNG": [(mode, {}) for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16")],
    "JPEG": [("RGB", {}), ("L", {}), ("CMYK", {}), ("RGB", {"progressive": True})],
    "WEBP": [("RGB", {}), ("RGBA", {"lossless": True}), ("RGB", {"save_all": True})],
    "TIFF": [
        *((mode, {}) for mode in ("RGB", "RGBA", "L", "1", "I;16", "F", "CMYK", "LAB", "P")),
        *(("RGB", {"compression": name}) for name in ("tiff_lzw", "jpeg", "packbits", "tiff_adobe_deflate")),
    ],
    "BMP": [("RGB", {}), ("L", {}), ("1", {}), ("P", {})],
    "GIF": [("P", {}), ("L", {}), ("P", {"save_all": True}), ("P", {"transparency": 3})],
    "AVIF": [("RGB", {}), ("RGBA", {})],
    "HEIF": [("RGB", {}), ("RGBA", {})],
}


@cache
def pictures(format: str) -> tuple[bytes, ...]:
    """Files of one format."""
    if format == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    files = [_saved(format, drawn(mode), options) for mode, options in _SAVED[format]]
    if format in ("PNG", "JPEG", "WEBP", "TIFF", "AVIF", "HEIF"):
        beside = {"exif": exif(), "icc_profile": profile()}
        files.append(_saved(format, drawn("RGB"), beside))
    if format == "PNG":
        said = PngImagePlugin.PngInfo()
        said.add_text("Description", "a harbour")
        said.add_itxt("Title", "höher", "de", "höher")
        said.add_text("parameters", "ink\nNegative prompt: blur\nSteps: 20", zip=True)
        files.append(_saved("PNG", drawn("P"), {"pnginfo": said, "transparency": 2, "gamma": 0.45}))
    return tuple(files)


def drawn(mode: str) -> Image.Image:
    """A picture in which no two columns are the same."""
    width, height = SIDES
    ramp = np.linspace(0, 255, width * height).reshape(height, width)
    if mode == "F":
        return Image.fromarray((ramp / 255).astype(np.float32))
    if mode == "I;16":
        return Image.fromarray((ramp * 257).astype(np.uint16))
    colours = Image.fromarray(np.stack([ramp, ramp[::-1], ramp[:, ::-1]], -1).astype(np.uint8))
    if mode == "LAB":
        to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
        found = ImageCms.applyTransform(colours, to_lab)
        assert found is not None
        return found
    return colours.convert("RGBA").convert("LA") if mode == "LA" else colours.convert(mode)


def _saved(format: str, picture: Image.Image, options: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    if options.get("save_all"):
        options = options | {"append_images": [picture.rotate(180), picture]}
    picture.save(stream, format, **options)
    return stream.getvalue()


@cache
def exif() -> bytes:
    """Orientation, dates, a place: what cameras write."""
    tags = Image.Exif()
    tags[0x0112], tags[0x010E], tags[0x0132] = 6, "a harbour", "2024:05:17 12:00:00"
    tags.get_ifd(0x8769).update({0x9003: "2024:05:17 12:00:00", 0x829A: (1, 60), 0x9286: b"ASCII\0\0\0ink"})
    tags.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0)})
    return tags.tobytes()


@cache
def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def with_exif(data: bytes, format: str) -> bytes:
    return _saved(format, drawn("RGB"), {"exif": data[:60_000]})


def with_profile(data: bytes, mode: str) -> bytes:
    return _saved("PNG", drawn(mode), {"icc_profile": data})


def with_text(keyword: str, text: str) -> bytes:
    said = PngImagePlugin.PngInfo()
    said.add_itxt(keyword, text)
    return _saved("PNG", drawn("L"), {"pnginfo": said})


def repaired(data: bytes) -> bytes:
    """The bytes as a PNG whose chunks have the checksums that belong to them: else few changes get past those."""
    whole, at = bytearray(data), 8
    while at + 12 <= len(whole):
        (length,) = struct.unpack_from(">I", whole, at)
        end = at + 8 + length
        if end + 4 > len(whole):
            break
        struct.pack_into(">I", whole, end, zlib.crc32(whole[at + 4 : end]))
        at = end + 4
    return bytes(whole)
