"""Turns scenes into pixels: flat fills, outlines and masks, all square.

Colours are RGB floats in 0..1. Knows nothing of styles.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .geometry import Scene, Shape, wobble

Picture = np.ndarray
SUBPIXEL_BITS = 4


def to_pixels(points: np.ndarray, size: int) -> np.ndarray:
    """Unit coordinates to OpenCV's fixed-point ones, shape (N, 1, 2) int32."""
    return np.round(points * size * 2**SUBPIXEL_BITS).astype(np.int32)[:, None]


def fill(picture: Picture, shape: Shape, colour: Sequence[float] | float) -> None:
    """Fill a closed shape in place."""
    size = picture.shape[0]
    cv2.fillPoly(picture, [to_pixels(shape.points, size)], colour, cv2.LINE_AA, SUBPIXEL_BITS)


def stroke(picture: Picture, shape: Shape, colour: Sequence[float] | float, width: float) -> None:
    """Draw a shape's outline in place; `width` in pixels, at least 1."""
    pixels = to_pixels(shape.points, picture.shape[0])
    thickness = max(1, round(width))
    cv2.polylines(picture, [pixels], shape.closed, colour, thickness, cv2.LINE_AA, SUBPIXEL_BITS)


def paint_fills(scene: Scene, colours: Sequence[np.ndarray], sky: Picture) -> Picture:
    """`sky` (S, S, 3) with every closed shape filled in its colour."""
    canvas = (np.clip(sky, 0, 1) * 255).astype(np.uint8)
    for shape, colour in zip(scene.shapes, colours, strict=True):
        if shape.closed:
            fill(canvas, shape, [float(value) * 255 for value in colour])
    return canvas.astype(np.float32) / 255


def number_shapes(scene: Scene, size: int) -> np.ndarray:
    """(S, S) int32: 0 for sky, else one more than the index of the shape on top."""
    numbers = np.zeros((size, size), np.int32)
    for index, shape in enumerate(scene.shapes):
        if shape.closed:
            cv2.fillPoly(numbers, [to_pixels(shape.points, size)], index + 1, cv2.LINE_8, SUBPIXEL_BITS)
    return numbers


def draw_outlines(scene: Scene, size: int, width: float) -> Picture:
    """(S, S) float, 1 on the visible outlines: what lies in front hides what lies behind."""
    canvas = np.zeros((size, size), np.uint8)
    for shape in scene.shapes:
        if shape.closed:
            fill(canvas, shape, 0)
        stroke(canvas, shape, 255, width)
    return canvas.astype(np.float32) / 255


def paint_outlines(scene: Scene, colours: Sequence[np.ndarray], size: int, width: float) -> Picture:
    """(S, S, 3) outlines on black, each in its shape's colour."""
    canvas = np.zeros((size, size, 3), np.uint8)
    for shape, colour in zip(scene.shapes, colours, strict=True):
        if shape.closed:
            fill(canvas, shape, (0, 0, 0))
        stroke(canvas, shape, [float(value) * 255 for value in colour], width)
    return canvas.astype(np.float32) / 255


def redraw_by_hand(scene: Scene, rng: np.random.Generator, amount: float) -> Scene:
    """The same scene with unsteady lines; `amount` in picture widths."""
    redrawn = [Shape(s.role, wobble(s.points, rng, amount, s.closed), s.shade, s.closed) for s in scene.shapes]
    return Scene(scene.kind, tuple(redrawn))
