"""Opens pictures: decoding, orientation, size, captions beside them. Knows no vectors."""

import errno
import hashlib
import json
import math
import re
from collections.abc import Callable, Collection
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

from PIL import Image, UnidentifiedImageError

from .colours import Levels, grey_levels, is_profiled, on_white, to_srgb
from .eagle import METADATA, is_item, read_item
from .own_words import read_own_words
from .picture_file import DAMAGED, HEIC, Refused, ending_of, use_picture
from .text_files import decode_text

T = TypeVar("T")

_JPEG = {".jpg", ".jpeg", ".jpe", ".jif", ".jfif", ".pjpeg", ".pjp"}  # Windows and browsers write them all
SUFFIXES = {".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff", ".jp2", ".tga"} | _JPEG | HEIC
PACK_SUFFIX = ".stylepack"  # a knowledge base in one file, see `stylepack`
DECODING = 2  # raised whenever `open_picture` makes other pixels of some files, which `is_decoded_anew` then knows
LARGE = 25_000_000  # pixels; a photo of 24 million is opened as it is
_STRIP = 1_000_000  # pixels that are converted at once of a larger one
MAX_CAPTION = 2000  # characters; some 400 words, more than any encoder was trained to read
MAX_TAGS, MAX_TAG = 64, 64  # of a picture; characters of each
_MAX_TEXT = 4 * MAX_CAPTION + 4  # bytes of as many characters, whatever they are, and what says the encoding
_KEYS = ("caption", "tags", "license", "licence", "source")  # of the .json beside a picture
MAX_SIDECAR = 1_000_000  # bytes of a .json beside a picture; a larger one is something else
TAGLESS_MARKER = ".tagless"  # the name of a folder that holds a file of this name is no tag of its pictures
_SIZE = "size in file"  # the key in a reduced picture's info
_ORIENTATION = 274  # EXIF 2.32, table 4
_TURNS: dict[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = [_TURNS[orientation] for orientation in (5, 6, 7, 8)]


def open_picture(path: Path, before_decoding: Callable[[int], None] = lambda pixels: None) -> Image.Image:
    """Open any picture as RGB in 8-bit sRGB: first frame, upright as its EXIF says, transparency composited on white.

    One of more than LARGE pixels is opened at a reduced size. before_decoding: is told the number of pixels in the file
    once the header is read. Raises ValueError with the reason when it can't be read.
    """
    return on_white(open_with_transparency(path, before_decoding))


def open_with_transparency(path: Path, before_decoding: Callable[[int], None] = lambda pixels: None) -> Image.Image:
    """Open any picture as `open_picture` does, but as RGBA where it may be transparent."""
    return _used(path, partial(_decode, before_decoding))


def format_of(path: Path) -> str:
    """Return Pillow's name of what is in a picture file, "" for what Pillow alone can't decode. Raises ValueError."""
    return _used(path, lambda image: image.format or "")


def is_decoded_anew(path: Path) -> bool:
    """Tell whether `open_picture` makes other pixels of a file than it did before DECODING; False where it can't."""
    try:
        return _used(path, _differs_from_before)
    except ValueError:
        return False


def _differs_from_before(image: Image.Image) -> bool:
    deep = image.format is None or (grey_levels(image) not in (None, (0.0, 65535.0)) and image.format == "TIFF")
    return deep or is_profiled(image) or _reduction(image.size) > 1


def _used(path: Path, use: Callable[[Image.Image], T]) -> T:
    try:
        return use_picture(path, use)
    except Refused as error:
        raise ValueError(str(error)) from None
    except (FileNotFoundError, PermissionError) as error:
        raise ValueError(why_not_read(error)) from None
    except UnidentifiedImageError:
        if path.suffix.lower() == ".avif" and ".avif" not in Image.registered_extensions():
            raise ValueError("AVIF needs Pillow 11.3 or newer: run `python -m pip install -U pillow`") from None
        raise ValueError("it is not a picture that can be read") from None
    except DAMAGED as error:
        raise ValueError(f"it is damaged: {error}") from error


def size_in_file(image: Image.Image) -> tuple[int, int]:
    """Return (width, height) of an opened picture as its file has it, upright."""
    return image.info.get(_SIZE, image.size)


def _decode(before_decoding: Callable[[int], None], image: Image.Image) -> Image.Image:
    size = image.size
    before_decoding(size[0] * size[1])
    if (factor := _reduction(size)) > 1:
        image.draft(image.mode, (size[0] // factor, size[1] // factor))  # JPEG alone can, by powers of two
    image.load()
    turn = _turn(image)
    levels, factor = grey_levels(image), _reduction(image.size)
    decoded = to_srgb(image, None) if factor == 1 and levels is None else _in_strips(image, factor, levels)
    if turn is not None:
        decoded = decoded.transpose(turn)
    if _reduction(size) > 1:
        decoded.info[_SIZE] = size[::-1] if turn in _SIDEWAYS else size
    return decoded


def _reduction(size: tuple[int, int]) -> int:
    return math.ceil(math.sqrt(size[0] * size[1] / LARGE))


def _in_strips(image: Image.Image, factor: int, levels: Levels | None) -> Image.Image:
    """Return a picture as `to_srgb` does, at 1/factor of its size; no more than a strip of it is converted at once."""
    width, height = image.size
    rows = max(1, _STRIP // width // factor) * factor
    strips = [
        to_srgb(image.crop((0, top, width, min(top + rows, height))), levels).reduce(factor)
        for top in range(0, height, rows)
    ]
    whole = Image.new(strips[0].mode, (strips[0].width, sum(strip.height for strip in strips)))
    for number, strip in enumerate(strips):
        whole.paste(strip, (0, number * (rows // factor)))
    return whole


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Return how a picture is to be turned, as its EXIF says; None where that can't be read."""
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION))
    except DAMAGED:
        return None


def content_id(image: Image.Image) -> str:
    """Return the SHA-256 (hex) of an RGB picture's size and pixels: the same picture has one id under any file name."""
    digest = hashlib.sha256(f"{image.width}x{image.height}".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def may_be_picture(path: Path) -> bool:
    """Tell whether a file has a picture's ending, or none and a picture's content. Raises OSError."""
    if path.suffix:
        return path.suffix.lower() in SUFFIXES
    status = path.stat()
    return _holds_picture(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=100_000)
def _holds_picture(path: Path, size: int, modified: int) -> bool:
    try:
        with path.open("rb") as file:
            return ending_of(file) != ""
    except OSError:
        return False


def read_description(path: Path, passed: Collection[Path] = ()) -> tuple[str, tuple[str, ...], str]:
    """Return (caption, tags, licence): of `<name>.json` or `<name>.txt` beside a picture, else of what it says itself.

    In a library of Eagle's: of the item that the picture is.

    The JSON has the keys `caption`, `tags` (a list, a text, objects with a name, or tag -> score) and `license` or
    `licence`; the text file, also `<name>.caption` and `<file name>.txt`, is the caption. The name of the picture's
    folder is a tag. What is longer than MAX_CAPTION, MAX_TAGS and MAX_TAG allow is cut off.
    passed: files beside it that are passed over. Raises ValueError or OSError where the first other one can't be read.
    """
    sidecar = next((file for file in sidecars_of(path) if file not in passed), None)
    of_eagle = is_item(path.parent)
    if sidecar and of_eagle:
        (caption, tags), licence = read_item(path.parent), ""
    elif sidecar and sidecar.suffix.lower() == ".json":
        caption, tags, licence = _read_json(sidecar)
    elif sidecar:
        with sidecar.open("rb") as text:
            content = text.read(_MAX_TEXT)
        caption, tags, licence = _decoded(sidecar, content, cut=len(content) == _MAX_TEXT), [], ""
    else:
        caption, tags, licence = read_own_words(path) if path.suffix.lower() not in HEIC else ("", [], "")
    folder = "" if of_eagle or (path.parent / TAGLESS_MARKER).is_file() else path.parent.name
    clean = dict.fromkeys(to_unicode(tag).strip().lower()[:MAX_TAG] for tag in [folder, *tags] if tag.strip())
    return to_unicode(caption).strip()[:MAX_CAPTION], tuple(clean)[:MAX_TAGS], to_unicode(licence).strip()[:MAX_TAG]


def to_unicode(text: str) -> str:
    """Return a text that can be stored: halves of surrogate pairs, which JSON can spell alone, become `?`."""
    return text.encode("utf-8", "replace").decode()


def read_source(path: Path) -> str:
    """Return the URL that a picture came from, as the `.json` beside it says; empty where it does not."""
    sidecar = next((file for file in sidecars_of(path) if file.suffix.lower() == ".json"), None)
    if not sidecar or sidecar.stat().st_size > MAX_SIDECAR:
        return ""
    try:
        sidecar_json = json.loads(sidecar.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        return ""
    source = sidecar_json.get("source") if isinstance(sidecar_json, dict) else None
    return to_unicode(source[:MAX_CAPTION]) if isinstance(source, str) else ""


def _read_json(sidecar: Path) -> tuple[str, list[str], str]:
    if sidecar.stat().st_size > MAX_SIDECAR:
        raise ValueError(f"its {sidecar.name} is larger than the {MAX_SIDECAR:,} bytes allowed")
    content = _decoded(sidecar, sidecar.read_bytes())
    try:
        described = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its {sidecar.name} is not valid JSON: {error}") from error
    if not isinstance(described, dict):
        raise ValueError(f"its {sidecar.name} must be an object with caption, tags (a list) and license")
    if described.keys().isdisjoint(_KEYS):
        raise ValueError(f"its {sidecar.name} is another program's: it has none of {', '.join(_KEYS)}")
    return (
        str(described.get("caption") or ""),
        _tags_of(described.get("tags")),
        str(described.get("license") or described.get("licence") or ""),
    )


def _tags_of(tags: object) -> list[str]:
    """Return tags as programs write them: a list, one text, tag -> score, or objects with a name."""
    if isinstance(tags, str):  # booru's: by commas, or by spaces with underscores inside a tag
        return re.split(r"[,;\n]", tags) if re.search(r"[,;\n]", tags) else tags.split()
    if isinstance(tags, dict):
        return list(map(str, tags))
    if not isinstance(tags, list):
        return []
    named = [tag.get("name") or tag.get("tag") or tag.get("label") if isinstance(tag, dict) else tag for tag in tags]
    return [str(tag) for tag in named if isinstance(tag, str | int | float)]


def _decoded(sidecar: Path, content: bytes, cut: bool = False) -> str:
    """Return a text in any encoding. cut: whether its end may be missing."""
    try:
        return decode_text(content, cut)
    except ValueError:
        raise ValueError(f"its {sidecar.name} is no text in any known encoding: save it as UTF-8") from None


def why_not_read(error: OSError) -> str:
    """Return the reason for a report."""
    return "the file is gone" if error.errno == errno.ENOENT else f"it can't be read: {error.strerror or error}"


def words_beside(path: Path) -> tuple[Path, ...]:
    """Return the files that may describe a picture, the one that is read first in front."""
    names = [path.stem + suffix for suffix in (".json", ".txt", ".caption")] + [path.name + ".txt"]  # Hydrus' last
    own = (METADATA,) if is_item(path.parent) else ()
    return tuple(path.with_name(name) for name in (*own, *names, path.stem + ".TXT", path.stem + ".JSON"))


def sidecars_of(path: Path) -> list[Path]:
    """Return the files beside a picture that are there to describe it, the one that is read first in front."""
    try:
        there = [beside for beside in words_beside(path) if beside.is_file()]
        return list({file.name.lower(): file for file in reversed(there)}.values())[::-1]  # Windows finds .TXT as .txt
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # a suffix that is longer than the picture's: no such file can be
            return []
        raise
