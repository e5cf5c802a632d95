"""Opens pictures: decoding, orientation, transparency, captions beside them. Knows no vectors."""

import codecs
import errno
import hashlib
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .png_text import read_png_text

_HEIC = {".heic", ".heif"}
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff"} | _HEIC
PACK_SUFFIX = ".stylepack"  # a knowledge base in one file, see `stylepack`
# Pillow's names of what is in such files. It would open others under any name, and start Ghostscript for some of them.
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "AVIF", "GIF", "BMP", "DIB", "TIFF", "HEIF")
MAX_PIXELS = 100_000_000  # 300 MB once decoded; a larger picture is refused before it is decoded
MAX_CAPTION = 2000  # characters; some 400 words, more than any encoder was trained to read
MAX_TAGS, MAX_TAG = 64, 64  # of a picture; characters of each
_MAX_TEXT = 4 * MAX_CAPTION + 4  # bytes of as many characters, whatever they are, and what says the encoding
MAX_SIDECAR = 1_000_000  # bytes of a .json beside a picture; a larger one is something else
_DAMAGED = (  # what Pillow's decoders raise on files that are cut off or made up
    OSError, SyntaxError, EOFError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, struct.error,
    zlib.error,
)  # fmt: skip
TAGLESS_MARKER = ".tagless"  # the name of a folder that holds a file of this name is no tag of its pictures


def open_picture(path: Path, before_decoding: Callable[[int], None] = lambda pixels: None) -> Image.Image:
    """Open any picture as RGB: first frame, EXIF rotation applied, transparency composited on white, 16 bit to 8.

    before_decoding: is told the number of pixels once the header is read. Raises ValueError with the reason when it
    can't be read.
    """
    if path.suffix.lower() in _HEIC:
        _register_heic()
    try:
        with Image.open(path, formats=_known_formats()) as image:
            pixels = image.width * image.height
            if pixels <= MAX_PIXELS:
                before_decoding(pixels)
                image.load()
                upright = ImageOps.exif_transpose(image)
                upright.format = image.format  # which says what its white is, and the copy does not have
                return to_rgb(upright)
    except (FileNotFoundError, PermissionError) as error:
        raise ValueError(why_not_read(error)) from None
    except UnidentifiedImageError:
        if path.suffix.lower() == ".avif" and ".avif" not in Image.registered_extensions():
            raise ValueError("AVIF needs Pillow 11.3 or newer: run `python -m pip install -U pillow`") from None
        raise ValueError("it is not a picture that can be read") from None
    except Image.DecompressionBombError:
        raise ValueError(f"it has more than the {MAX_PIXELS:,} pixels allowed") from None
    except _DAMAGED as error:
        raise ValueError(f"it is damaged: {error}") from error
    raise ValueError(f"{image.width}x{image.height} pixels are more than the {MAX_PIXELS:,} allowed")


def _known_formats() -> list[str]:
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any Pillow mode to RGB; what is transparent becomes white."""
    if image.mode.startswith("I") or image.mode == "F":  # 16 and 32 bit grey; Pillow's own conversion would clip
        grey = np.nan_to_num(np.asarray(image, dtype=np.float64))
        grey = np.clip(grey / _white(image, float(grey.max(initial=0))), 0, 1)
        image = Image.fromarray((grey * 255).round().astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _white(image: Image.Image, highest: float) -> float:
    """Return the value that means white: known of 16 bit; of 32 bit and float the least usual one that none exceeds."""
    if image.mode.startswith("I;16") or image.format == "PNG":
        return 65535.0
    usual = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    return next((white for white in usual if highest <= white), highest)


def _register_heic() -> None:
    """Teach Pillow HEIC, when the package for it is there."""
    try:
        import pillow_heif
    except ImportError:
        raise ValueError(
            "HEIC needs the package pillow-heif: run `python -m pip install pillow-heif` with ComfyUI's Python"
        ) from None
    pillow_heif.register_heif_opener()


def content_id(image: Image.Image) -> str:
    """Return the SHA-256 (hex) of an RGB picture's size and pixels: the same picture has one id under any file name."""
    digest = hashlib.sha256(f"{image.width}x{image.height}".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def read_description(path: Path, beside: bool = True) -> tuple[str, tuple[str, ...], str]:
    """Return (caption, tags, licence): of `<name>.json` or `<name>.txt` beside a picture, else of a PNG's own text.

    The JSON has the keys `caption`, `tags` (list) and `license` or `licence`; the text file is the caption. The name of
    the picture's folder is a tag. What is longer than MAX_CAPTION, MAX_TAGS and MAX_TAG allow is cut off.
    beside: whether what lies beside is read. Raises ValueError or OSError when it can't be.
    """
    sidecar = sidecar_of(path) if beside else None
    if sidecar and sidecar.suffix == ".json":
        caption, tags, licence = _read_json(sidecar)
    elif sidecar:
        with sidecar.open("rb") as text:
            content = text.read(_MAX_TEXT)
        caption, tags, licence = _decoded(sidecar, content, cut=len(content) == _MAX_TEXT), [], ""
    else:
        caption, tags, licence = read_png_text(path) if path.suffix.lower() == ".png" else ("", [], "")
    folder = "" if (path.parent / TAGLESS_MARKER).is_file() else path.parent.name
    clean = dict.fromkeys(to_unicode(tag).strip().lower()[:MAX_TAG] for tag in [folder, *tags] if tag.strip())
    return to_unicode(caption).strip()[:MAX_CAPTION], tuple(clean)[:MAX_TAGS], to_unicode(licence).strip()[:MAX_TAG]


def to_unicode(text: str) -> str:
    """Return a text that can be stored: halves of surrogate pairs, which JSON can spell alone, become `?`."""
    return text.encode("utf-8", "replace").decode()


def read_source(path: Path) -> str:
    """Return the URL that a picture came from, as the `.json` beside it says; empty where it does not."""
    sidecar = sidecar_of(path)
    if not sidecar or sidecar.suffix != ".json" or sidecar.stat().st_size > MAX_SIDECAR:
        return ""
    try:
        found = json.loads(sidecar.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        return ""
    source = found.get("source") if isinstance(found, dict) else None
    return to_unicode(source[:MAX_CAPTION]) if isinstance(source, str) else ""


def _read_json(sidecar: Path) -> tuple[str, list[str], str]:
    if sidecar.stat().st_size > MAX_SIDECAR:
        raise ValueError(f"its {sidecar.name} is larger than the {MAX_SIDECAR:,} bytes allowed")
    content = _decoded(sidecar, sidecar.read_bytes())
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its {sidecar.name} is not valid JSON: {error}") from error
    tags = found.get("tags") or [] if isinstance(found, dict) else None
    if not isinstance(tags, list) or any(isinstance(tag, (dict, list)) for tag in tags):
        raise ValueError(f"its {sidecar.name} must be an object with caption, tags (a list) and license")
    return (
        str(found.get("caption") or ""),
        list(map(str, tags)),
        str(found.get("license") or found.get("licence") or ""),
    )


def _decoded(sidecar: Path, content: bytes, cut: bool = False) -> str:
    """Return a text in UTF-8, or in UTF-16 that says so. cut: whether its end may be missing."""
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return codecs.getincrementaldecoder(encoding)().decode(content, final=not cut)
    except UnicodeDecodeError:
        raise ValueError(f"its {sidecar.name} is not UTF-8 text: save it as that") from None


def why_not_read(error: OSError) -> str:
    """Return the reason for a report."""
    return "the file is gone" if error.errno == errno.ENOENT else f"it can't be read: {error.strerror or error}"


def words_beside(path: Path) -> tuple[Path, ...]:
    """Return the files that may describe a picture, the one that is read first in front."""
    return tuple(path.with_suffix(suffix) for suffix in (".json", ".txt"))


def sidecar_of(path: Path) -> Path | None:
    """Return the file that does describe a picture, if there is one."""
    try:
        return next((beside for beside in words_beside(path) if beside.is_file()), None)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # a suffix that is longer than the picture's: no such file can be
            return None
        raise
