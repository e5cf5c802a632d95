"""How sharp a picture is, whether its lines are whole, and which parts of the drawing it has. Functions on arrays.

F1 at 2 pixels flatters: a texture has edges of its own, and pictures of a soft painter have exceeded the real renders'.
"""

from __future__ import annotations

import cv2
import numpy as np
from pack import import_pack

import_pack()
from training.geometry import Scene  # noqa: E402
from training.raster import SUBPIXEL_BITS, fill, to_pixels  # noqa: E402

NEAR = 3  # pixels from a control's pixel to the edge that stands for it
SHORTEST_BREAK = 4
# A part is there when that share of its visible outline has an edge within 2 pixels.
SMALLEST_PART, PART_NEAR, PART_SHARE = 6, 2, 0.7


def mean_gradient(picture: np.ndarray) -> float:
    """Mean length of the brightness gradient, brightness 0..1 a pixel, of (H, W, 3) uint8."""
    light = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64) / 255
    down, right = np.gradient(light)
    return float(np.hypot(down, right).mean())


def edge_distance(picture: np.ndarray) -> np.ndarray:
    """Pixels from everywhere to the nearest Canny edge (50, 150), (H, W)."""
    edges = cv2.Canny(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), 50, 150)
    return cv2.distanceTransform(255 - edges, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def lines_found(picture: np.ndarray, control: np.ndarray) -> tuple[float, int]:
    """Share of the control's pixels (H, W, white on black) near an edge of the picture; how many breaks there are."""
    wanted = control > 127
    missed = wanted & (edge_distance(picture) > NEAR)
    _, _, stats, _ = cv2.connectedComponentsWithStats(missed.astype(np.uint8), connectivity=8)
    breaks = int((stats[1:, cv2.CC_STAT_AREA] >= SHORTEST_BREAK).sum())
    return 1 - float(missed.sum()) / max(1, int(wanted.sum())), breaks


def parts_found(picture: np.ndarray, scene: Scene) -> tuple[int, int]:
    """How many of the drawing's parts are in the picture, and how many there are: closed shapes of 6 px and more."""
    size = picture.shape[0]
    owner = np.full((size, size), -1, np.int32)
    for number, shape in enumerate(scene.shapes):
        if shape.closed:
            inside = np.zeros((size, size), np.uint8)
            fill(inside, shape, 255)
            owner[inside > 127] = -1
        line = np.zeros((size, size), np.uint8)
        cv2.polylines(line, [to_pixels(shape.points, size)], shape.closed, 255, 1, cv2.LINE_8, SUBPIXEL_BITS)
        owner[line > 0] = number
    near, found, parts = edge_distance(picture) <= PART_NEAR, 0, 0
    for number, shape in enumerate(scene.shapes):
        outline = owner == number
        sides = (shape.points.max(axis=0) - shape.points.min(axis=0)) * size
        if shape.closed and sides.min() >= SMALLEST_PART and outline.sum() >= 2 * SMALLEST_PART:
            parts += 1
            found += bool(near[outline].mean() >= PART_SHARE)
    return found, parts
