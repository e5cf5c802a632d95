"""What any Pillow picture looks like in 8-bit sRGB: embedded profile, deep greys, transparency. Opens no file."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

Levels = tuple[float, float]  # the values of a deep grey that mean black and white

_PHOTOMETRIC, _BITS = 262, 258  # TIFF 6.0, section 8
_SPACES = {"RGB": b"RGB ", "L": b"GRAY", "CMYK": b"CMYK", "LAB": b"Lab "}  # Pillow's mode -> ICC.1:2022, table 19
_WHITE = {"RGB": (255, 255, 255), "L": 255, "CMYK": (0, 0, 0, 0), "LAB": (255, 128, 128)}
_BLACK = {"RGB": (0, 0, 0), "L": 0, "CMYK": (255, 255, 255, 255), "LAB": (0, 128, 128)}
_CONTRAST = 128  # of 255, between white and black in each channel; a profile that leaves less is nonsense
_SAME = 2  # of 255: how far sRGB's own profiles, as many makers wrote them, lie from each other


def grey_levels(image: Image.Image) -> Levels | None:
    """Return what black and white are in a grey of more than 8 bit; None of other pictures.

    White is known of whole numbers of up to 16 bit; of 32 bit and float it is the least usual value that none exceeds.
    """
    if not (image.mode.startswith("I") or image.mode == "F"):
        return None
    tags = getattr(image, "tag_v2", {})
    if image.mode.startswith("I;16") or image.format == "PNG":
        white = float(2 ** tags.get(_BITS, (16,))[0] - 1)
    else:
        rows = (image.crop((0, row, image.width, row + 1)) for row in range(image.height))
        white = usual_white(max(float(_numbers(row).max()) for row in rows), image.mode == "F")
    return (white, 0.0) if tags.get(_PHOTOMETRIC) == 0 else (0.0, white)


def usual_white(highest: float, is_float: bool) -> float:
    """Return the least usual value for white that `highest` does not exceed, else `highest`."""
    usual = (1.0, 255.0, 65535.0) if is_float else (255.0, 65535.0)
    return next((white for white in usual if highest <= white), float(highest))


def to_srgb(image: Image.Image, levels: Levels | None) -> Image.Image:
    """Return a picture of any mode as sRGB, as RGB or, where it can be transparent, as RGBA.

    levels: as `grey_levels` gives them of the whole picture. A profile that is broken, or of other colours than the
    picture has, counts as none.
    """
    profile = image.info.get("icc_profile")
    if levels:
        image = _shallow(image, levels)
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        whole = image.convert("RGBA")
        colours = whole.getchannel("R") if image.mode in ("1", "L", "LA", "La") else whole.convert("RGB")
        result = _converted(colours, profile)
        result.putalpha(whole.getchannel("A"))
        return result
    if image.mode == "1":
        image = image.convert("L")
    return _converted(image if image.mode in _SPACES else image.convert("RGB"), profile)


def on_white(image: Image.Image) -> Image.Image:
    """Return RGB or RGBA as RGB; what is transparent becomes white."""
    if image.mode == "RGB":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def is_profiled(image: Image.Image) -> bool:
    """Tell whether `to_srgb` changes a picture's colours by its profile."""
    profile = image.info.get("icc_profile")
    modes = {"CMYK": "CMYK", "LAB": "LAB", "1": "L", "L": "L", "LA": "L"}
    return (
        bool(profile)
        and _transform(profile, modes.get(image.mode, "L" if image.mode[0] in "IF" else "RGB")) is not None
    )


def _numbers(image: Image.Image) -> np.ndarray:
    return np.nan_to_num(np.asarray(image, dtype=np.float64))


def _shallow(image: Image.Image, levels: Levels) -> Image.Image:
    """Return a deep grey in 8 bit; Pillow's own conversion would clip."""
    black, white = levels
    values = _numbers(image)
    grey = Image.fromarray((np.clip((values - black) / (white - black), 0, 1) * 255).round().astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def _converted(image: Image.Image, profile: object) -> Image.Image:
    """image: RGB, L, CMYK or LAB."""
    transform = _transform(profile, image.mode) if isinstance(profile, bytes) and profile else None
    result = image.convert("RGB") if transform is None else ImageCms.applyTransform(image, transform)
    assert result is not None
    result.info = {}  # whose profile would else be written into what is saved of it
    return result


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return what makes sRGB of a mode by a profile; None of one that is sRGB itself, broken, or nonsense."""
    try:
        if profile[16:20] != _SPACES[mode]:
            return None
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        probe = ImageCms.applyTransform(_probe(mode), transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError):  # the last of a Pillow without lcms
        return None
    assert probe is not None
    seen = np.asarray(probe, dtype=np.int16)[0]
    if seen[0].min() - seen[1].max() < _CONTRAST:
        return None
    as_srgb = np.asarray(_probe(mode).convert("RGB"), dtype=np.int16)[0]
    is_srgb = mode in ("RGB", "L") and np.abs(seen - as_srgb).max() <= _SAME
    return None if is_srgb else transform


def _probe(mode: str) -> Image.Image:
    """Return a row of colours: white, black, and what lies between."""
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    between = np.stack(np.meshgrid(*[steps] * 3), axis=-1).reshape(1, -1, 3)
    row = Image.fromarray(between).convert(mode if mode != "LAB" else "RGB")
    whole = Image.new(mode, (row.width + 2, 1))
    whole.putpixel((0, 0), _WHITE[mode])
    whole.putpixel((1, 0), _BLACK[mode])
    if mode != "LAB":
        whole.paste(row, (2, 0))
    return whole
