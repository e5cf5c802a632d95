"""Sketch to control picture: white lines on black. Pure functions on arrays."""

import numpy as np

from .settings import check_size

# A picture counts as finished edges when it is nearly all black and nearly all of the rest is nearly white.
_EDGE_MAP_MIN_BLACK = 0.6
_EDGE_MAP_MAX_GREY = 0.12


def edges_from_sketch(
    picture: np.ndarray, mode: str, low_threshold: int, high_threshold: int, size: tuple[int, int], fit: str
) -> tuple[np.ndarray, str]:
    """Return the edges, (H, W) uint8 with 0 = black, and one sentence that says what was done.

    picture: (H, W, 3) uint8 RGB. size: (width, height) in pixels, 0 = keep. mode: `canny` is exactly cv2.Canny on the
    grey picture at the two thresholds (0-255); `edge_map` takes the picture as finished edges; `auto` takes finished
    edges as they are, and stretches the contrast of anything else before Canny, so that faint pencil is found.
    """
    import cv2

    grey = cv2.cvtColor(fit_to(picture, *_target_size(picture, *size), fit), cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    if mode == "edge_map" or (mode == "auto" and looks_like_edges(grey)):
        return grey, f"{width}x{height}: taken as finished edges, white lines on black."
    note = ""
    if mode == "auto":
        dark, light = np.percentile(grey, (0.5, 99.5))
        if 8 <= light - dark < 200:
            grey = np.clip((grey - dark) * (255.0 / (light - dark)), 0, 255).astype(np.uint8)
            note = f" after stretching grey values {dark:.0f}-{light:.0f} to 0-255"
    edges = cv2.Canny(grey, low_threshold, high_threshold)
    share = np.count_nonzero(edges) / edges.size
    if not share:
        raise ValueError(
            f"no edge was found in the {width}x{height} sketch at thresholds {low_threshold} and {high_threshold}: "
            "lower them, or, if the drawing is on a transparent background, link LoadImage's MASK output to mask."
        )
    return (
        edges,
        f"{width}x{height}: Canny {low_threshold}/{high_threshold}{note}; {share:.1%} of the pixels are edges.",
    )


def looks_like_edges(grey: np.ndarray) -> bool:
    """Tell finished edges, thin white lines on black, from a drawing. grey: (H, W) uint8."""
    black = np.mean(grey < 32)
    light = np.mean(grey > 224)
    return bool(black >= _EDGE_MAP_MIN_BLACK and light > 0 and (1 - black - light) <= _EDGE_MAP_MAX_GREY)


def fit_to(picture: np.ndarray, width: int, height: int, fit: str) -> np.ndarray:
    """Bring (H, W, C) uint8 to (height, width, C): `stretch`, `crop` (centre) or `pad` (border colour carried on)."""
    import cv2

    rows, columns = picture.shape[:2]
    if (columns, rows) == (width, height):
        return picture
    if fit == "stretch":
        return _resize(picture, width, height)
    choose = min if fit == "pad" else max
    scale = choose(width / columns, height / rows)
    scaled = _resize(picture, max(1, round(columns * scale)), max(1, round(rows * scale)))
    rows, columns = scaled.shape[:2]
    top, left = (height - rows) // 2, (width - columns) // 2
    if fit == "crop":
        return scaled[-top : height - top, -left : width - left]
    return cv2.copyMakeBorder(scaled, top, height - rows - top, left, width - columns - left, cv2.BORDER_REPLICATE)


def _target_size(picture: np.ndarray, width: int, height: int) -> tuple[int, int]:
    """Fill in what is 0 from the picture's own shape, round to multiples of 8, and check the result."""
    rows, columns = picture.shape[:2]
    if width and not height:
        height = rows * width / columns
    elif height and not width:
        width = columns * height / rows
    sides = round((width or columns) / 8) * 8, round((height or rows) / 8) * 8
    check_size(*sides)
    return sides


def _resize(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    import cv2

    shrinks = width * height < picture.shape[0] * picture.shape[1]
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
