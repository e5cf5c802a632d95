"""What a picture needs before any of transformers' image processors may have it. Knows no model."""

from PIL import Image

_SMALLEST = 4  # pixels a side: transformers 4 takes a height of 1 or 3 for the colours


def large_enough(picture: Image.Image) -> Image.Image:
    """Return a picture that preprocessing can't misread: a tiny one has its pixels repeated."""
    size = max(picture.width, _SMALLEST), max(picture.height, _SMALLEST)
    return picture if size == picture.size else picture.resize(size, Image.Resampling.NEAREST)
