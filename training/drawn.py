"""Renderers of styles that are drawn, printed or cut: flat areas, lines and regular patterns.

Each takes a brush and gives a picture, (S, S, 3) RGB floats near 0..1.
"""

from __future__ import annotations

import cv2
import numpy as np

from .brush import Brush
from .raster import draw_outlines, number_shapes, redraw_by_hand
from .textures import (
    DIAGONAL,
    PERIOD,
    Field,
    Picture,
    blur,
    borders,
    dots,
    grey,
    grid,
    mix,
    noise,
    stripes,
    unit,
    vertical,
)


def pencil_sketch(brush: Brush) -> Picture:
    """Graphite on paper: doubled lines, hatching denser in the dark."""
    dark = 1 - grey(brush.fills())
    marks = np.zeros((brush.size, brush.size), np.float32)
    for angle, threshold in ((45, 0.04), (-45, 0.2), (0, 0.36)):
        hatch = stripes(brush.size, DIAGONAL if angle else PERIOD, angle, 2.2) * np.clip(
            0.85 + 0.4 * noise(brush.rng, brush.size, 24), 0, 1
        )
        marks = np.maximum(marks, hatch * np.clip((dark - threshold) * 9, 0, 1) * 0.7)
    for _ in range(2):
        loose = redraw_by_hand(brush.scene, brush.rng, 0.0022)
        marks = np.maximum(marks, draw_outlines(loose, brush.size, 1.8 * unit(brush.size)) * 0.9)
    paper = brush.palette.one("sky", 1) * (1 + 0.02 * noise(brush.rng, brush.size, PERIOD))[..., None]
    return mix(paper, brush.line(), marks)


def blueprint(brush: Brush) -> Picture:
    """White lines and a grid on blue."""
    base = brush.fills(mix(brush.sky(), brush.palette.one("sky", 0), 0.6))
    base = base * (1 + 0.05 * noise(brush.rng, brush.size, 60, 3))[..., None]
    lines = np.maximum(grid(brush.size, PERIOD, 1.4) * 0.22, grid(brush.size, 4 * PERIOD, 1.6) * 0.45)
    roofs = [shape.role in ("roof", "leaf", "boat") for shape in brush.scene.shapes]
    hatched = np.array([False, *roofs])[number_shapes(brush.scene, brush.size)]
    lines = np.maximum(lines, hatched * stripes(brush.size, DIAGONAL, 45, 1.8) * 0.5)
    return mix(base, brush.line(), np.maximum(lines, brush.outlines(2.2)))


def ukiyo_e(brush: Brush) -> Picture:
    """Flat muted colours, a graded sky, wood grain and indigo lines."""
    top, paper = brush.palette.one("sky", 0), brush.palette.one("sky", 1)
    base = brush.fills(vertical(brush.size, top, mix(top, paper, 0.8), paper, paper, paper))
    fibre = cv2.resize(noise(brush.rng, brush.size, 10)[:, :: max(1, brush.size // 6)], (brush.size, brush.size))
    base = base * (1 + 0.07 * fibre)[..., None]
    base = mix(base, paper, np.clip(noise(brush.rng, brush.size, 30, 3) * 0.25, 0, 0.25))
    return mix(base, brush.line(), brush.outlines(2.0) * 0.95)


def pixel_art(brush: Brush) -> Picture:
    """A 64 by 64 picture of few colours, enlarged without smoothing; four of its pixels share a dither value."""
    side = 64
    fine = Brush(brush.scene, brush.palette, side * 4, brush.rng)
    base = mix(fine.fills(), fine.line(), fine.outlines(4))
    small = cv2.resize(base.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    bayer = np.kron(np.array([[0, 2], [3, 1]]) / 4 - 0.375, np.ones((2, 2)))
    levels = 5
    dithered = np.round(small * levels + np.tile(bayer, (side // 4, side // 4))[..., None] * 0.9) / levels
    return cv2.resize(dithered.astype(np.float32), (brush.size, brush.size), interpolation=cv2.INTER_NEAREST)


def pop_art(brush: Brush) -> Picture:
    """Loud flat colours, halftone dots, thick black lines."""
    base = brush.fills(np.full((brush.size, brush.size, 3), brush.palette.one("sky", 0), np.float32))
    numbers = number_shapes(brush.scene, brush.size)
    fall = np.linspace(0.05, 0.85, brush.size, dtype=np.float32)[:, None] * np.ones((1, brush.size), np.float32)
    screen = dots(brush.size, fall)
    base = mix(base, np.ones(3), screen * (numbers == 0) * 0.9)
    dotted = np.array([False, *[shape.role in ("far", "ground", "stone", "leaf") for shape in brush.scene.shapes]])[
        numbers
    ]
    base = mix(base, base * 0.62, dots(brush.size, 0.62) * dotted)
    return mix(base, brush.line(), brush.outlines(3.4))


def paper_cut(brush: Brush) -> Picture:
    """Sheets of coloured paper, each with its shadow on the one behind."""
    canvas = brush.sky()
    numbers = number_shapes(brush.scene, brush.size)
    base = brush.fills()
    lifted = np.zeros((brush.size, brush.size), np.float32)
    for offset in (2, 4):
        shift = round(offset * unit(brush.size))
        above = np.roll(numbers, (shift, shift), axis=(0, 1))
        lifted = np.maximum(lifted, (above > numbers).astype(np.float32))
    shadow = blur(lifted, 1.6)
    canvas = mix(base, base * 0.5, shadow * 0.85)
    shift = max(1, round(unit(brush.size)))
    rim = (np.roll(numbers, (shift, shift), axis=(0, 1)) < numbers).astype(np.float32)
    canvas = mix(canvas, np.ones(3), rim * 0.35)
    return (
        mix(canvas, brush.line(), draw_open(brush, 2.2)) * (1 + 0.035 * noise(brush.rng, brush.size, PERIOD))[..., None]
    )


def draw_open(brush: Brush, width: float) -> Field:
    """Only the strokes of the scene, not the outlines of its shapes."""
    return brush.outlines(width) * (1 - borders_of(brush, width + 2))


def borders_of(brush: Brush, width: float) -> Field:
    """1 around the edges of the closed shapes."""
    return borders(number_shapes(brush.scene, brush.size), width)


def flat(brush: Brush) -> Picture:
    """Plain colours, with or without lines; teaches palettes of any kind."""
    base = brush.fills()
    width = (0.0, 1.5, 2.5)[int(brush.rng.integers(3))]
    base = base * (1 + 0.04 * noise(brush.rng, brush.size, 50, 2))[..., None]
    return mix(base, brush.line(), brush.outlines(width)) if width else base
