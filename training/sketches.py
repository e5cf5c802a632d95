"""Draws the bundled sketches: one scene each, on many kinds of page.

Pages are (H, W, 3) or, with transparency, (H, W, 4) uint8 RGB. Knows nothing of styles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from .dataset import line_art
from .figures import FIGURES, draw_figure
from .geometry import Scene
from .raster import draw_outlines, redraw_by_hand
from .scenes import lay_out
from .textures import grain, noise

# Layout seeds that neither training nor the starter styles use.
SKETCH_SEED = 2_000_000


def clean(scene: Scene, size: int) -> np.ndarray:
    """Even black lines on white."""
    return np.repeat(line_art(scene, size, size / 128)[..., None], 3, axis=2)


def ink(scene: Scene, size: int) -> np.ndarray:
    """An unsteady thick pen."""
    return np.repeat(line_art(by_hand(scene), size, size / 95)[..., None], 3, axis=2)


def by_hand(scene: Scene) -> Scene:
    """The scene as the unsteady pen follows it."""
    return redraw_by_hand(scene, np.random.default_rng(4), 0.003)


def chalk(scene: Scene, size: int) -> np.ndarray:
    """White lines on black."""
    return 255 - clean(scene, size)


def transparent(scene: Scene, size: int) -> np.ndarray:
    """Black lines on nothing at all."""
    alpha = 255 - line_art(scene, size, size / 120)
    return np.dstack([np.zeros((size, size, 3), np.uint8), alpha])


def pencil(scene: Scene, size: int) -> np.ndarray:
    """Grey doubled lines on rough paper."""
    rng = np.random.default_rng(5)
    marks = np.zeros((size, size), np.float32)
    for _ in range(3):
        marks = np.maximum(marks, draw_outlines(redraw_by_hand(scene, rng, 0.0018), size, size / 220))
    marks = cv2.GaussianBlur(marks, (0, 0), size / 640) * np.clip(0.8 + 0.25 * grain(rng, size), 0.3, 1)
    page = 246 + 2 * grain(rng, size) - marks * 165
    return np.repeat(np.clip(page, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def photographed(scene: Scene, size: int) -> np.ndarray:
    """A page on a desk, seen at an angle in uneven light, (0.75 size, size, 3)."""
    rng = np.random.default_rng(6)
    height = size * 3 // 4
    page = cv2.cvtColor(pencil(scene, size), cv2.COLOR_RGB2GRAY).astype(np.float32)
    matrix = angle(size)
    sheet = cv2.warpPerspective(page, matrix, (size, height), flags=cv2.INTER_AREA)
    mask = cv2.warpPerspective(np.full_like(page, 1), matrix, (size, height))[..., None]
    desk = np.array([128, 92, 62]) * (1 + 0.16 * noise(rng, size, 5)[:height] * np.ones((1, size)))[..., None]
    picture = desk * (1 - mask) + sheet[..., None] * np.array([1.0, 0.975, 0.92]) * mask
    light = np.linspace(1.05, 0.68, size)[None] * np.linspace(1.03, 0.88, height)[:, None]
    picture = cv2.GaussianBlur(picture * light[..., None], (0, 0), 0.8) + 2.5 * rng.normal(size=(height, size, 1))
    return np.clip(picture, 0, 255).astype(np.uint8)


def angle(size: int) -> np.ndarray:
    """Where a sheet's pixels lie in the photograph, a perspective (3, 3)."""
    source = np.array([(0, 0), (size, 0), (size, size), (0, size)], np.float32)
    corners = np.array([(0.19, 0.06), (0.83, 0.03), (0.9, 0.97), (0.11, 0.94)]) * (size, size * 3 // 4)
    return cv2.getPerspectiveTransform(source, corners.astype(np.float32))


@dataclass(frozen=True)
class Sketch:
    """One bundled file; `rows` cuts a wide page out of the square, `number` picks the layout."""

    file: str
    kind: str
    page: Callable[[Scene, int], np.ndarray]
    size: int
    number: int = 0
    rows: tuple[float, float] = (0.0, 1.0)
    columns: tuple[float, float] = (0.0, 1.0)

    def draw(self) -> np.ndarray:
        scene = draw_figure(self.kind) if self.kind in FIGURES else lay_out(self.kind, SKETCH_SEED + self.number)
        page = self.page(scene, self.size)
        (top, bottom), (left, right) = [
            (round(cut[0] * side), round(cut[1] * side))
            for cut, side in zip((self.rows, self.columns), page.shape, strict=False)
        ]
        return page[top:bottom, left:right]


SKETCHES = (
    Sketch("house_lineart.png", "house", clean, 512),
    Sketch("castle_pencil.png", "castle", pencil, 640),
    Sketch("harbour_transparent.png", "harbour", transparent, 512),
    Sketch("city_white_on_black.png", "city", chalk, 768, rows=(0.1, 0.95)),
    Sketch("bridge_photo.jpg", "bridge", photographed, 960),
    Sketch("lighthouse_ink.png", "lighthouse", ink, 640, columns=(0.15, 0.95)),
    Sketch("factory_lineart.png", "factory", clean, 768, rows=(0.1, 0.95)),
    Sketch("forest_pencil.png", "forest", pencil, 512),
    Sketch("mountains_ink.png", "mountains", ink, 720, rows=(0.05, 0.95)),
    Sketch("village_photo.jpg", "village", photographed, 1024),
    Sketch("windmill_small.png", "windmill", clean, 256),
    Sketch("pagoda_transparent.png", "pagoda", transparent, 640),
    Sketch("car_ink.png", "car", ink, 640, rows=(0.2, 0.95)),
    Sketch("cat_lineart.png", "cat", clean, 512),
    Sketch("face_pencil.png", "face", pencil, 600),
)
