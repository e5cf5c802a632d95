"""Sketch to control picture: white lines on black, at the size that is asked for. Pure functions on arrays."""

from dataclasses import dataclass

import numpy as np

from ..settings import MAX_SIDE, check_size
from .sketch import looks_like_edges, overlay, read_sketch
from .thinning import thin


@dataclass(frozen=True)
class Edges:
    """What `edges_from_sketch` found.

    kind: one of `read_sketch`, `edge map`, or `canny` where nothing was asked.
    lines: (H, W) uint8, white on black.
    report: what was detected and done.
    shown: (H, W, 3) uint8 RGB, the sketch with its lines in red.
    """

    kind: str
    lines: np.ndarray
    report: str
    shown: np.ndarray


def edges_from_sketch(
    picture: np.ndarray,
    mode: str,
    thresholds: tuple[int, int],
    size: tuple[int, int],
    fit: str,
    transparent: bool = False,
) -> Edges:
    """Find the lines of a picture, (H, W, 3) uint8 RGB.

    mode: `canny` is exactly cv2.Canny on the grey picture at the two thresholds (0-255), which no other mode reads;
    `auto` recognises the kind of picture, see `read_sketch`; `lineart` takes it for a drawing; `edge_map` for finished
    edges. size: (width, height) in pixels, 0 = keep. transparent: the picture was laid on a plain ground.
    Raises ValueError when there is no line, or for a size that models cannot work at.
    """
    width, height = _target_size(picture, *size)
    shown = fit_to(picture, width, height, fit)
    if mode == "canny":
        kind, (lines, done) = "canny", _canny(shown, *thresholds)
    elif mode == "edge_map" or (mode == "auto" and not transparent and looks_like_edges(picture)):
        kind, (lines, done) = "edge map", _finished(picture, (width, height), fit)
    else:
        # The paper ends where the picture ends: carried on before looking, what touches the border would become bars.
        inner, way = _inner(picture, width, height, fit)
        sketch = read_sketch(fit_to(picture, *inner, way), transparent, drawn=mode == "lineart")
        kind, lines, done = sketch.kind, _pad(sketch.lines, width, height), sketch.report
    share = np.count_nonzero(lines > 32) / lines.size  # what JPEG leaves around a line is none
    if not share:
        raise ValueError(_nothing_found(mode, thresholds, (width, height)))
    report = f"{width}x{height}. {done} {share:.1%} of the pixels are lines."
    if not any(size) and max(picture.shape[:2]) > MAX_SIDE:
        report += f" The picture has {picture.shape[1]}x{picture.shape[0]}: it was made smaller, to {MAX_SIDE} at most."
    return Edges(kind, lines, report, overlay(shown, lines))


def _canny(picture: np.ndarray, low: int, high: int) -> tuple[np.ndarray, str]:
    import cv2

    return cv2.Canny(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), low, high), f"OpenCV's Canny at {low}/{high}."


def _finished(picture: np.ndarray, size: tuple[int, int], fit: str) -> tuple[np.ndarray, str]:
    """Bring finished edges to another size with their lines whole, and thin lines one pixel wide."""
    import cv2

    lines = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    rows, columns = lines.shape
    done = "Finished edges, white lines on black, taken as they are"
    inner, way = _inner(picture, *size, fit)
    if inner != (columns, rows):
        # The brightest of the pixels that become one: an average would fade a line of one pixel.
        shrink = [columns / inner[0], rows / inner[1]]
        across, down = [min(shrink)] * 2 if way == "crop" else shrink
        lines = cv2.dilate(lines, np.ones((max(1, int(np.ceil(down)) + 1), max(1, int(np.ceil(across)) + 1)), np.uint8))
        lines = fit_to(lines, *inner, way)
        if looks_like_edges(picture):
            lines = thin(lines > 127) * np.uint8(255)
        done += f", brought from {columns}x{rows} with every line kept"
    return _pad(lines, *size), f"{done}."


def _nothing_found(mode: str, thresholds: tuple[int, int], size: tuple[int, int]) -> str:
    sketch = f"no line was found in the {size[0]}x{size[1]} sketch"
    mask = "if the drawing is on a transparent background, link LoadImage's MASK output to mask"
    if mode == "canny":
        return f"{sketch} by Canny at thresholds {thresholds[0]} and {thresholds[1]}: lower them, use auto, or, {mask}."
    return f"{sketch}: it is one even colour, or its marks are as weak as its grain; {mask}."


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


def _inner(picture: np.ndarray, width: int, height: int, fit: str) -> tuple[tuple[int, int], str]:
    """Return the (width, height) that the picture itself takes up, and how to bring it there; `pad` leaves a rest."""
    if fit != "pad":
        return (width, height), fit
    rows, columns = picture.shape[:2]
    scale = min(width / columns, height / rows)
    return (max(1, round(columns * scale)), max(1, round(rows * scale))), "stretch"


def _pad(lines: np.ndarray, width: int, height: int) -> np.ndarray:
    """Put lines, (h, w) uint8, into the middle of a black (height, width)."""
    rows, columns = lines.shape
    top, left = (height - rows) // 2, (width - columns) // 2
    return np.pad(lines, ((top, height - rows - top), (left, width - columns - left)))


def _target_size(picture: np.ndarray, width: int, height: int) -> tuple[int, int]:
    """Fill in what is 0 from the picture's own shape, round to multiples of 8, and check the result.

    A picture that keeps its size is made smaller where models take no side of that length.
    """
    rows, columns = picture.shape[:2]
    if not width and not height and max(rows, columns) > MAX_SIDE:
        scale = MAX_SIDE / max(rows, columns)
        width, height = max(8, columns * scale), max(8, rows * scale)
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
