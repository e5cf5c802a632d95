"""Opens picture files, also those that Pillow refuses for what lies beside their pixels. Decodes and stores nothing."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from PIL import Image, TiffImagePlugin

from .colours import usual_white

T = TypeVar("T")

HEIC = {".heic", ".heif"}
# Pillow's names of what is in such files. It would open others under any name, and start Ghostscript for some of them.
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "AVIF", "GIF", "BMP", "DIB", "TIFF", "HEIF", "JPEG2000")
# What files begin with, and the ending that they have. Others are told by Pillow, which would look at what lies beside
# the pixels of these, too, and refuse some.
_SIGNATURES = (
    (rb"\x89PNG\r\n\x1a\n", ".png"),
    (rb"II\*\0|MM\0\*", ".tiff"),
    (rb".{4}ftyp(avif|avis)", ".avif"),
    (rb".{4}ftyp(heic|heix|mif1|msf1)", ".heic"),
)
_ENDINGS = {"JPEG": ".jpg", "MPO": ".jpg", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "JPEG2000": ".jp2"}
_UNSIGNED = {".tga": "TGA"}  # formats without a signature, which are only tried for files of that name
DAMAGED = (  # what Pillow's decoders raise on files that are cut off or made up
    OSError, SyntaxError, EOFError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RuntimeError,
    struct.error, zlib.error,
)  # fmt: skip
MAX_PIXELS = 100_000_000  # a larger picture is refused before it is decoded
_MAX_DEEP = 25_000_000  # pixels of those that OpenCV decodes, with up to 16 bytes each
_MAX_REPAIRED = 4 * MAX_PIXELS  # bytes of a file that is read whole to leave something out

_HEAD = 12  # bytes
_PNG, _TIFF = b"\x89PNG\r\n\x1a\n", (b"II*\0", b"MM\0*")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_NEEDED = (b"tRNS", b"eXIf", *_TEXTS)  # beside the critical chunks, which have names in capitals
_MAX_TEXT = 1_000_000  # bytes of a text chunk, unpacked; Pillow refuses packed ones from 2**20
_MAX_TEXTS = 32_000_000  # bytes of all of them; Pillow refuses 2**26
_MAX_PROFILE = 32_000_000  # bytes, unpacked; those of printers have up to 4 million
_WIDTH, _HEIGHT, _ORIENTATION, _PROFILE = 256, 257, 274, 34675  # TIFF 6.0, section 8; ICC.1:2022, B.4


class Refused(Exception):
    """A picture is not opened, with the reason."""


def use_picture(path: Path, use: Callable[[Image.Image], T]) -> T:
    """Return what `use` makes of a picture file that is opened and not decoded yet.

    `use` is called again where what lies beside the pixels has kept Pillow from them. Raises Refused or one of DAMAGED.
    """
    if _is_heic(path):
        _register_heic()
    Image.init()
    formats = [name for name in (*_FORMATS, _UNSIGNED.get(path.suffix.lower())) if name in Image.OPEN]
    try:
        with Image.open(path, formats=formats) as image:
            _require_size(image.size, MAX_PIXELS)
            return use(_deep(path.read_bytes(), image.info) if _has_deep_transparency(image) else image)
    except Image.DecompressionBombError:
        raise Refused(f"it has more than the {MAX_PIXELS:,} pixels allowed") from None
    except DAMAGED as refusal:
        with suppress(*DAMAGED):
            if (repaired := _repaired(path)) is not None:
                with repaired as image:
                    _require_size(image.size, MAX_PIXELS)
                    return use(image)
        raise refusal


def ending_of(file: BinaryIO) -> str:
    """Return the ending that files of a picture's kind have, "" for what is none. Its pixels are not looked at."""
    head = file.read(_HEAD)
    file.seek(0)
    for start, ending in _SIGNATURES:
        if re.match(start, head, re.DOTALL):
            return ending
    Image.init()
    with (
        suppress(Image.DecompressionBombError, *DAMAGED),
        Image.open(file, formats=[name for name in _ENDINGS if name in Image.OPEN]) as image,
    ):
        return _ENDINGS[image.format or ""]
    return ""


def frames_of(path: Path) -> int:
    """Return how many pictures a file shows one after the other, or holds as pages; 1 for what can't be read."""
    with suppress(Refused, *DAMAGED):
        return use_picture(path, lambda image: int(getattr(image, "n_frames", 1)))
    return 1


def _is_heic(path: Path) -> bool:
    if path.suffix:
        return path.suffix.lower() in HEIC
    with path.open("rb") as file:
        return ending_of(file) in HEIC


def _register_heic() -> None:
    """Teach Pillow HEIC, when the package for it is there."""
    try:
        import pillow_heif
    except ImportError:
        raise Refused(
            "HEIC needs the package pillow-heif: run `python -m pip install pillow-heif` with ComfyUI's Python"
        ) from None
    pillow_heif.register_heif_opener()


def _require_size(size: tuple[int, int], most: int) -> None:
    width, height = size
    if width * height > most:
        raise Refused(f"{width}x{height} pixels are more than the {most:,} allowed")


def _repaired(path: Path) -> Image.Image | None:
    """Open a file without what Pillow can't read beside its pixels; None where there is no such thing."""
    if path.stat().st_size > _MAX_REPAIRED:
        return None
    with path.open("rb") as file:
        head = file.read(12)
        if head.startswith(_PNG):
            return _png_without_faults(file)
        if head.startswith(_TIFF):
            return _deep_tiff(path)
        if head[4:12] in (b"ftypavif", b"ftypavis"):  # ISO/IEC 23008-12: an item of the type Exif
            file.seek(0)
            unread = re.sub(rb"(infe.{8})Exif", rb"\1none", file.read(), flags=re.DOTALL)
            return Image.open(io.BytesIO(unread), formats=["AVIF"])
    return None


def _png_without_faults(file: BinaryIO) -> Image.Image:
    """Open a PNG without chunks that are neither needed nor whole, as libpng does, and without what is too large.

    file: behind the signature. A profile may be larger than Pillow reads.
    """
    file.seek(len(_PNG))
    kept, profile, room = [_PNG], None, _MAX_TEXTS
    for kind, data, chunk in _png_chunks(file):
        whole = chunk[-4:] == struct.pack(">I", zlib.crc32(kind + data))
        text = _unpacked(kind, data, _MAX_TEXT + 1) if kind in _TEXTS else b""
        if kind == b"iCCP" and whole:
            profile = _unpacked(kind, data, _MAX_PROFILE)
        elif kind.isupper() or (kind in _NEEDED and whole and text is not None and len(text) <= min(_MAX_TEXT, room)):
            kept.append(chunk)
            room -= len(text or b"")
    image = Image.open(io.BytesIO(b"".join(kept)), formats=["PNG"])
    if profile:
        image.info["icc_profile"] = profile
    return image


def _png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield (type, data, the whole chunk) as far as the file goes."""
    while len(head := file.read(8)) == 8:
        size, kind = struct.unpack(">I4s", head)
        rest = file.read(min(size, _MAX_REPAIRED) + 4)
        yield kind, rest[:size], head + rest


def _unpacked(kind: bytes, data: bytes, most: int) -> bytes | None:
    """Return what a chunk holds after its keyword, up to `most` bytes of it; None where that can't be unpacked."""
    rest = data.partition(b"\0")[2]
    if kind == b"tEXt" or (kind == b"iTXt" and rest[:1] == b"\0"):
        return rest[:most]
    method, packed = (rest[1:2], rest[2:].split(b"\0", 2)[-1]) if kind == b"iTXt" else (rest[:1], rest[1:])
    try:
        return zlib.decompressobj().decompress(packed, most) if method == b"\0" else None
    except zlib.error:
        return None


def _has_deep_transparency(image: Image.Image) -> bool:
    """Tell whether a colour of 16 bit is transparent, which Pillow looks for after it has cut pixels to 8 bit."""
    return (
        image.format == "PNG"
        and isinstance(image.info.get("transparency"), tuple)
        and "16B" in str(getattr(image, "tile", ""))
    )


def _deep_tiff(path: Path) -> Image.Image:
    """Open a TIFF whose numbers Pillow has no mode for, such as float RGB."""
    data = bytearray(path.read_bytes())
    tags = TiffImagePlugin.ImageFileDirectory_v2(bytes(data[:8]))
    table, order = tags.next, "<" if data[:2] == b"II" else ">"
    file = io.BytesIO(data)
    file.seek(table)
    tags.load(file)
    _require_size((tags[_WIDTH], tags[_HEIGHT]), _MAX_DEEP)
    exif = Image.Exif()
    exif[_ORIENTATION] = tags.get(_ORIENTATION, 1)
    for entry in range(table + 2, table + 2 + 12 * struct.unpack_from(f"{order}H", data, table)[0], 12):
        if struct.unpack_from(f"{order}H", data, entry)[0] == _ORIENTATION:
            struct.pack_into(f"{order}H", data, entry + 8, 1)  # OpenCV would turn it half of the way
    return _deep(bytes(data), {"icc_profile": tags.get(_PROFILE), "exif": exif.tobytes()})


def _deep(data: bytes, info: dict[str, Any]) -> Image.Image:
    """Read a picture of 16 bit or more, in colour, with OpenCV, and return it in 8 bit with what Pillow knows of it."""
    import cv2

    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ValueError(error.err) from None
    if decoded is None or decoded.shape[2:] not in ((), (3,), (4,)):
        raise ValueError("its pixels can't be decoded")
    values = np.nan_to_num(decoded.astype(np.float32))
    is_float = decoded.dtype.kind == "f"
    white = usual_white(float(values.max(initial=0)), True) if is_float else np.iinfo(decoded.dtype.name).max
    shallow = (np.clip(values / white, 0, 1) * 255).round().astype(np.uint8)
    if shallow.ndim == 3:
        shallow = cv2.cvtColor(shallow, cv2.COLOR_BGR2RGB if shallow.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
    image = Image.fromarray(shallow)
    image.info = {name: value for name, value in info.items() if name != "transparency"}
    return image
