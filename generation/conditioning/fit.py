"""How a reference that is not square becomes what the image encoder sees, which is a square. Knows no model."""

from __future__ import annotations

import math

from PIL import Image

# CLIP's mean colour, RGB: after its normalisation a border of it is 0, and says as little as a border can.
PAPER = (123, 117, 104)
MOST_CROPS = 6  # of a panorama; each goes through the image encoder


def effective_fit(picture: Image.Image, fit: str) -> str:
    """Return the fit that a picture really gets: a square one is what it is with each of them."""
    return "crop" if picture.width == picture.height else fit


def squares(picture: Image.Image, fit: str, side: int) -> list[Image.Image]:
    """Return what is encoded of an RGB picture, several for `crops`, which are averaged then.

    `crop` returns the picture as it is: the encoder's own preprocessing takes the square in the middle. `stretch`
    scales to the encoder's `side` in pixels, so that nothing is scaled twice.
    """
    fit = effective_fit(picture, fit)
    if fit == "pad":
        longer = max(picture.size)
        padded = Image.new("RGB", (longer, longer), PAPER)
        padded.paste(picture, ((longer - picture.width) // 2, (longer - picture.height) // 2))
        return [padded]
    if fit == "stretch":
        return [picture.resize((side, side), Image.Resampling.BICUBIC)]
    return _crops(picture) if fit == "crops" else [picture]


def _crops(picture: Image.Image) -> list[Image.Image]:
    """Return squares of the shorter side from one end to the other, as many as it takes to leave nothing out."""
    shorter, longer = sorted(picture.size)
    count = min(math.ceil(longer / shorter), MOST_CROPS)
    starts = [round(n * (longer - shorter) / (count - 1)) for n in range(count)]
    wide = picture.width > picture.height
    corners = [(start, 0) if wide else (0, start) for start in starts]
    return [picture.crop((left, top, left + shorter, top + shorter)) for left, top in corners]
