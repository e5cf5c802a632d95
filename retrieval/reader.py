"""Finds pictures and opens them: decoding, orientation, transparency, captions beside them. Knows no vectors."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .records import SourceFile

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff"}
MAX_PIXELS = 100_000_000  # 300 MB once decoded; a larger picture is refused before it is decoded
SKIP_MARKER = ".nomedia"  # a folder that holds a file of this name is not looked into, as on Android


def find_pictures(sources: Iterable[Path]) -> Iterator[SourceFile]:
    """Yield the picture files in folders (recursive, sorted) and the files named, each once.

    Raises FileNotFoundError or ValueError for a source that is missing, holds no picture, or is no picture.
    """
    seen: set[Path] = set()
    for source in sources:
        files = list(_walk(source)) if source.is_dir() else [source]
        if not source.exists():
            raise FileNotFoundError(f"source {source} does not exist: correct the path in sources.")
        if source.is_dir() and not files:
            raise ValueError(
                f"source folder {source} holds no picture ({', '.join(sorted(SUFFIXES))}): add some or name another "
                f"folder."
            )
        if source.is_file() and source.suffix.lower() not in SUFFIXES:
            raise ValueError(
                f"source {source.name} is not a picture file: name a folder or one of {', '.join(sorted(SUFFIXES))}."
            )
        for file in files:
            if file not in seen:
                seen.add(file)
                yield _source_file(file, source if source.is_dir() else file.parent)


def open_picture(path: Path) -> Image.Image:
    """Open any picture as RGB: first frame, EXIF rotation applied, transparency composited on white, 16 bit to 8.

    Raises ValueError with the reason when it can't be read.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width}x{image.height} pixels are more than the {MAX_PIXELS:,} allowed")
            image.load()
            return to_rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise ValueError("the file is gone") from None
    except UnidentifiedImageError:
        raise ValueError("it is not a picture that can be read") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"it is damaged: {error}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any Pillow mode to RGB; what is transparent becomes white."""
    if image.mode.startswith("I") or image.mode == "F":  # 16 and 32 bit grey; Pillow's own conversion would clip
        grey = np.asarray(image, dtype=np.float64)
        ceiling = 65535.0 if grey.max(initial=0) > 255 else 255.0
        image = Image.fromarray((np.clip(grey / ceiling, 0, 1) * 255).round().astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def content_id(image: Image.Image) -> str:
    """Return the SHA-256 (hex) of an RGB picture's size and pixels: the same picture has one id under any file name."""
    digest = hashlib.sha256(f"{image.width}x{image.height}".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def read_description(path: Path) -> tuple[str, tuple[str, ...], str]:
    """Return (caption, tags, licence) from `<name>.json` or `<name>.txt` beside a picture, and its folder's name as a
    tag.

    The JSON has the keys `caption`, `tags` (list) and `license` or `licence`; the text file is the caption.
    """
    caption, tags, licence = "", [path.parent.name], ""
    sidecar = _sidecar(path)
    if sidecar and sidecar.suffix == ".json":
        try:
            found = json.loads(sidecar.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"its {sidecar.name} is not valid JSON: {error}") from error
        if not isinstance(found, dict) or not isinstance(found.get("tags", []), list):
            raise ValueError(f"its {sidecar.name} must be an object with caption, tags (a list) and license")
        caption = str(found.get("caption", ""))
        tags += [str(tag) for tag in found.get("tags", [])]
        licence = str(found.get("license", found.get("licence", "")))
    elif sidecar:
        caption = sidecar.read_text(encoding="utf-8", errors="replace").strip()
    return caption, tuple(dict.fromkeys(tag.strip().lower() for tag in tags if tag.strip())), licence


def _walk(folder: Path) -> Iterator[Path]:
    if (folder / SKIP_MARKER).exists():
        return
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if not entry.is_symlink():  # a link can lead out of the folder, or round in a circle
                yield from _walk(entry)
        elif entry.suffix.lower() in SUFFIXES and entry.is_file():
            yield entry


def _source_file(path: Path, root: Path) -> SourceFile:
    status = path.stat()
    sidecar = _sidecar(path)
    modified = sidecar.stat().st_mtime_ns if sidecar else 0
    return SourceFile(
        str(path), path.relative_to(root).with_suffix("").as_posix(), status.st_size, status.st_mtime_ns, modified
    )


def _sidecar(path: Path) -> Path | None:
    return next((beside for suffix in (".json", ".txt") if (beside := path.with_suffix(suffix)).is_file()), None)
