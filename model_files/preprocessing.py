"""What a picture needs before any of transformers' image processors may have it. Knows no model."""

from PIL import Image

_SMALLEST = 4  # pixels a side: transformers 4 takes a height of 1 or 3 for the colours
_LONGEST = 100  # times the other side: most processors make the short side 224 and then cut out the middle square


def large_enough(picture: Image.Image) -> Image.Image:
    """Return a picture that preprocessing can't misread: a tiny one has its pixels repeated.

    Of a strip that would take gigabytes the middle is left, which is what models see of it.
    """
    width, height = max(picture.width, _SMALLEST), max(picture.height, _SMALLEST)
    if (width, height) != picture.size:
        picture = picture.resize((width, height), Image.Resampling.NEAREST)
    left, top = max(width - _LONGEST * height, 0) // 2, max(height - _LONGEST * width, 0) // 2
    return picture.crop((left, top, width - left, height - top)) if left or top else picture
