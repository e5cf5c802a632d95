"""Draws pages of every kind on layouts that nothing else uses, each with the centre lines that it was drawn from.

Pages are (H, W, 3) or, with transparency, (H, W, 4) uint8 RGB; centre lines (H, W) bool.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np

from training import sketches
from training.geometry import Scene, Shape
from training.raster import draw_outlines, number_shapes, paint_outlines, redraw_by_hand, stroke
from training.scenes import LAYOUTS, lay_out
from training.textures import grain, noise

SIZE = 768
LAYOUT_SEED = 5_000_000
SCENES = [kind for kind in LAYOUTS if kind != "shapes"]
Drawn = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Page:
    """One page: `kind` groups the scores, `found` is what the Sketch Doctor should call it."""

    name: str
    kind: str
    found: str
    picture: np.ndarray
    lines: np.ndarray


def centre_lines(scene: Scene, size: int = SIZE) -> np.ndarray:
    """The visible outlines, (size, size) bool, one or two pixels wide."""
    return draw_outlines(scene, size, 1) > 0.5


def on_paper(marks: np.ndarray, ink: float = 0.0, paper: float = 255.0) -> np.ndarray:
    """Marks (S, S) of 0..1 as grey `ink` on `paper`, (S, S, 3)."""
    page = paper + (ink - paper) * marks
    return np.repeat(np.clip(page, 0, 255).round().astype(np.uint8)[..., None], 3, axis=2)


def as_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    """The picture after a JPEG file of this quality."""
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    read = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert read is not None
    return np.ascontiguousarray(read[..., ::-1])


def pen(scene: Scene, rng: np.random.Generator, width: float) -> Drawn:
    hand = redraw_by_hand(scene, rng, 0.001)
    return on_paper(draw_outlines(hand, SIZE, width)), centre_lines(hand)


def pencil(scene: Scene, rng: np.random.Generator, grey: float) -> Drawn:
    """Soft strokes on rough paper, gone over three times."""
    marks = np.zeros((SIZE, SIZE), np.float32)
    for _ in range(3):
        marks = np.maximum(marks, draw_outlines(redraw_by_hand(scene, rng, 0.0012), SIZE, 3))
    marks = cv2.GaussianBlur(marks, (0, 0), 1.0) * np.clip(0.85 + 0.25 * grain(rng, SIZE), 0.3, 1)
    page = 250 + 1.5 * rng.normal(size=(SIZE, SIZE)) - marks * (250 - grey)
    return np.repeat(np.clip(page, 0, 255).astype(np.uint8)[..., None], 3, axis=2), centre_lines(scene)


def white_on_black(scene: Scene, rng: np.random.Generator, width: float) -> Drawn:
    page, lines = pen(scene, rng, width)
    return 255 - page, lines


def transparent(scene: Scene, rng: np.random.Generator, colour: tuple[int, int, int]) -> Drawn:
    marks = draw_outlines(scene, SIZE, rng.integers(3, 9))
    colours = np.full((SIZE, SIZE, 3), colour, np.uint8)
    return np.dstack([colours, (marks * 255).astype(np.uint8)]), centre_lines(scene)


def photographed(scene: Scene, rng: np.random.Generator, desk: bool) -> Drawn:
    """Pen or pencil under a lamp, at an angle, blurred, noisy, as JPEG; with or without the desk around the sheet."""
    reach = 0.16 if desk else -0.03
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) + reach * rng.uniform(0.3, 1, (4, 2)) * [
        (1, 1),
        (-1, 1),
        (-1, -1),
        (1, -1),
    ]
    matrix = cv2.getPerspectiveTransform(
        np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32), corners.astype(np.float32)
    )
    seen = through(scene, matrix)
    sheet = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(sheet, [np.round(corners * SIZE).astype(np.int32)], 255, cv2.LINE_AA)
    marks = cv2.GaussianBlur(draw_outlines(seen, SIZE, rng.integers(2, 6)), (0, 0), rng.uniform(0.8, 1.4))
    paper = 235 - (235 - rng.uniform(40, 130)) * marks
    wood = 90 * (1 + 0.2 * noise(rng, SIZE, 6, 2))
    cover = sheet.astype(np.float32) / 255
    x, y = np.meshgrid(np.linspace(-1, 1, SIZE), np.linspace(-1, 1, SIZE))
    lamp = rng.uniform(-1, 1, 2)
    light = 1.05 - 0.3 * np.hypot(x - lamp[0], y - lamp[1]) / 1.5
    tint = np.array([1.0, 0.96, 0.88]) * cover[..., None] + np.array([1.0, 0.72, 0.5]) * (1 - cover[..., None])
    picture = ((paper * cover + wood * (1 - cover)) * light)[..., None] * tint + 4 * rng.normal(size=(SIZE, SIZE, 1))
    page = as_jpeg(np.clip(picture, 0, 255).astype(np.uint8), int(rng.integers(70, 92)))
    return page, centre_lines(seen) & (sheet > 127)


def through(scene: Scene, matrix: np.ndarray) -> Scene:
    """The scene seen at an angle; `matrix` (3, 3) maps unit coordinates."""
    shapes = [
        replace(shape, points=cv2.perspectiveTransform(shape.points[None].astype(np.float64), matrix)[0])
        for shape in scene.shapes
    ]
    return Scene(scene.kind, tuple(shapes))


def marker(scene: Scene, rng: np.random.Generator, width: float) -> Drawn:
    """Felt pens of many colours, yellow among them, each shape its own, with streaks in the ink."""
    inks = np.array([(0.95, 0.8, 0.1), (0.1, 0.5, 0.85), (0.85, 0.15, 0.2), (0.1, 0.6, 0.3), (0.95, 0.5, 0.6)])
    ink = paint_outlines(scene, [1 - inks[rng.integers(len(inks))] for _ in scene.shapes], SIZE, width)
    page = 252 * (1 - ink * np.clip(0.85 + 0.1 * noise(rng, SIZE, 3), 0, 1)[..., None])
    return np.clip(page, 0, 255).astype(np.uint8), centre_lines(scene)


def hatching(scene: Scene, rng: np.random.Generator, spacing: float) -> Drawn:
    """Ink lines, with every third shape hatched in thinner ones; the hatches count as lines."""
    numbers = number_shapes(scene, SIZE)
    chosen = [n + 1 for n, shape in enumerate(scene.shapes) if shape.closed and rng.random() < 0.33]
    hatch, centres = np.zeros((SIZE, SIZE), np.uint8), np.zeros((SIZE, SIZE), np.uint8)
    for start in np.arange(-1, 1, spacing / SIZE):
        mark = Shape("line", np.array([(start, 0.0), (start + 1, 1.0)]), closed=False)
        stroke(hatch, mark, 255, 2)
        stroke(centres, mark, 255, 1)
    where = np.isin(numbers, chosen)
    marks = np.maximum(draw_outlines(scene, SIZE, 4), hatch / 255 * where)
    return on_paper(marks, 20), centre_lines(scene) | ((centres > 127) & where)


def edge_map(scene: Scene, rng: np.random.Generator, made: str) -> Drawn:
    """What another tool made: Canny of a drawing, one-pixel lines, or these as JPEG."""
    lines = centre_lines(scene)
    if made == "canny":
        lines = cv2.Canny(on_paper(draw_outlines(scene, SIZE, 6))[..., 0], 50, 150) > 0
    picture = np.repeat((lines * np.uint8(255))[..., None], 3, axis=2)
    return (as_jpeg(picture, 90) if made == "jpeg" else picture), lines


def coloured(scene: Scene, rng: np.random.Generator, rough: float) -> Drawn:
    """Shapes filled with colours of their own, in uneven light, with noise; the lines are where two colours meet."""
    numbers = number_shapes(scene, SIZE)
    colours = rng.uniform(30, 235, (len(scene.shapes) + 1, 3))
    light = 1 + 0.1 * noise(rng, SIZE, 120)
    picture = cv2.GaussianBlur(colours[numbers] * light[..., None], (0, 0), 0.8)
    picture = picture + rough * rng.normal(size=(SIZE, SIZE, 3))
    meet = np.zeros((SIZE, SIZE), bool)
    meet[:, 1:] |= numbers[:, 1:] != numbers[:, :-1]
    meet[1:] |= numbers[1:] != numbers[:-1]
    return np.clip(picture, 0, 255).astype(np.uint8), meet


KINDS = {
    "pen": ("drawing", pen, (1, 2, 3, 5, 8, 12, 16)),
    "pencil": ("pencil", pencil, (150, 175, 200, 220, 230, 235)),
    "white on black": ("white on black", white_on_black, (3, 5, 8, 12)),
    "transparent": ("transparent", transparent, ((0, 0, 0), (255, 255, 255), (200, 60, 30), (0, 0, 0))),
    "photographed": ("photographed", photographed, (False, True, False, True, True, False)),
    "marker": ("drawing", marker, (5, 8, 12, 6)),
    "hatching": ("drawing", hatching, (12, 16, 24, 20)),
    "edge map": ("edge map", edge_map, ("canny", "lines", "jpeg")),
    "coloured picture": ("picture", coloured, (0, 3, 6, 10)),
}


def generated(layouts: int = 1) -> Iterator[Page]:
    """Every kind with each of its settings, `layouts` times."""
    number = 0
    for kind, (found, draw, settings) in KINDS.items():
        for setting in settings * layouts:
            number += 1
            scene = lay_out(SCENES[number % len(SCENES)], LAYOUT_SEED + number)
            picture, lines = draw(scene, np.random.default_rng((LAYOUT_SEED, number)), setting)
            yield Page(f"{kind} {setting}, {scene.kind}", kind, found, picture, lines)


BUNDLED = {
    sketches.clean: "drawing",
    sketches.ink: "drawing",
    sketches.chalk: "white on black",
    sketches.transparent: "transparent",
    sketches.pencil: "pencil",
    sketches.photographed: "photographed",
}


def bundled() -> Iterator[Page]:
    """The sketches in styles/sketches, drawn anew, with their centre lines."""
    for sketch in sketches.SKETCHES:
        lines = replace(sketch, page=partial(bundled_lines, sketch.page)).draw()
        yield Page(sketch.file, f"bundled {BUNDLED[sketch.page]}", BUNDLED[sketch.page], sketch.draw(), lines)


def bundled_lines(page: object, scene: Scene, size: int) -> np.ndarray:
    if page is sketches.ink:
        return centre_lines(sketches.by_hand(scene), size)
    if page is not sketches.photographed:
        return centre_lines(scene, size)
    matrix = sketches.angle(size)
    unit = np.diag([1 / size, 1 / size, 1]) @ matrix @ np.diag([size, size, 1])
    inside = cv2.warpPerspective(np.ones((size, size), np.uint8), matrix, (size, size * 3 // 4)) > 0
    return centre_lines(through(scene, unit), size)[: size * 3 // 4] & inside
