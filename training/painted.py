"""Renderers of styles that live on paint, light and weather.

Each takes a brush and gives a picture, (S, S, 3) RGB floats near 0..1.
"""

from __future__ import annotations

import cv2
import numpy as np

from .brush import Brush
from .raster import number_shapes, paint_outlines
from .textures import PERIOD, Picture, blur, borders, grey, mix, noise, rays, stripes, unit, vignette, voronoi


def cyberpunk_neon(brush: Brush) -> Picture:
    """Dark fills under glowing tubes."""
    base = brush.fills()
    colours = []
    for index, shape in enumerate(brush.scene.shapes):
        lit = shape.role in ("window", "sun", "door")
        colours.append(brush.palette.of(shape) if lit else brush.line(index % 3))
    tubes = paint_outlines(brush.scene, colours, brush.size, 2 * unit(brush.size))
    glow = blur(tubes, 2.5) * 1.1 + blur(tubes, 9) * 1.3
    lit = base + blur(base, 6) * 0.35 + glow
    hot = np.clip(tubes * 1.15 + 0.25 * tubes.max(axis=2, keepdims=True), 0, 1)
    return mix(lit, hot, tubes.max(axis=2))


def pastel_anime(brush: Brush) -> Picture:
    """Soft flat colours, a veil of clouds, thin brown lines."""
    clouds = np.clip(noise(brush.rng, brush.size, 70, 3) * 1.6 - 0.2, 0, 1)
    sky = mix(brush.sky(), np.ones(3), clouds * 0.75)
    base = brush.fills(sky)
    numbers = number_shapes(brush.scene, brush.size)
    shift = round(5 * unit(brush.size))
    shadow = (np.roll(numbers, (-shift, -shift), axis=(0, 1)) != numbers) & (numbers > 0)
    base = mix(base, base * np.array([0.84, 0.82, 0.94]), blur(shadow.astype(np.float32), 0.6))
    base = mix(base, brush.line(), brush.outlines(1.8) * 0.75)
    return base + 0.12 * blur(base, 6) * blur(base, 6)


def industrial_rust(brush: Brush) -> Picture:
    """Worn metal: stains, streaks and scratches under dark lines."""
    base = brush.fills() * (1 + 0.12 * noise(brush.rng, brush.size, 28, 2))[..., None]
    stain = np.clip(noise(brush.rng, brush.size, 36, 2) * 2.2, 0, 1)
    rust = mix(
        np.array([0.42, 0.18, 0.07]),
        np.array([0.78, 0.38, 0.12]),
        np.clip(noise(brush.rng, brush.size, PERIOD) * 1.5 + 0.4, 0, 1),
    )
    base = mix(base, rust, stain * 0.75)
    streak = cv2.resize(noise(brush.rng, brush.size, 10)[:: max(1, brush.size // 16)], (brush.size, brush.size))
    base = base * (1 - 0.2 * np.clip(streak, 0, 1))[..., None]
    return mix(base, brush.line(), brush.outlines(2.2) * 0.9)


def watercolour(brush: Brush) -> Picture:
    """Pigment that pools at the edges, on grained paper with a bare margin."""
    base = brush.fills(mix(brush.sky(), np.ones(3), np.clip(noise(brush.rng, brush.size, 80, 3) + 0.3, 0, 0.8)))
    numbers = number_shapes(brush.scene, brush.size)
    pool = blur(borders(numbers, 2.5), 1.2)
    flow = noise(brush.rng, brush.size, 40, 2)
    base = 1 - (1 - base) * np.clip(0.9 + 0.4 * flow + 0.55 * pool, 0.2, 1.7)[..., None]
    soft = mix(blur(base, 1.2), base, 0.4)
    paper = np.array([0.985, 0.975, 0.95]) * (1 + 0.02 * noise(brush.rng, brush.size, PERIOD))[..., None]
    edge = np.minimum.reduce(np.meshgrid(*[np.minimum(np.arange(brush.size), np.arange(brush.size)[::-1])] * 2))
    margin = np.clip((edge / unit(brush.size) - 7 + 5 * noise(brush.rng, brush.size, 16, 2)) / 3, 0, 1)
    painted = mix(soft, brush.line(), brush.outlines(1.4) * 0.5)
    return mix(paper, painted, margin * 0.96)


def stained_glass(brush: Brush) -> Picture:
    """Bright panes between black leads."""
    numbers = number_shapes(brush.scene, brush.size)
    cells = voronoi(brush.rng, brush.size, 70)
    pane = numbers.astype(np.int64) * 1000 + cells
    light = brush.rng.uniform(0.72, 1.25, size=1000)[pane % 997]
    base = brush.fills() * light[..., None]
    base = base * (1 + 0.1 * noise(brush.rng, brush.size, PERIOD))[..., None] + 0.08 * blur(base, 8)
    leads = borders(cells, 1.6) * (numbers < 1) + borders(cells, 1.2) * (numbers > 0) * 0.6
    return mix(base, brush.line(), np.maximum(np.clip(leads, 0, 1), brush.outlines(4)))


def noir(brush: Brush) -> Picture:
    """Greys with hard light, lit windows and rain."""
    base = brush.fills()
    x, y = brush.sun_place()
    rows, columns = np.mgrid[: brush.size, : brush.size] / brush.size
    halo = np.exp(-np.hypot(columns - x, rows - y) * 5)
    base = base * (0.95 + 0.75 * halo)[..., None] + 0.14 * halo[..., None]
    base = mix(base, brush.line(), brush.outlines(2.2) * 0.95)
    bright = np.clip(grey(base) - 0.72, 0, 1)[..., None]
    base = base + 2.2 * blur(np.repeat(bright, 3, axis=2), 4)
    # A slope of 4, so that the rain repeats every PERIOD units from left to right.
    rain = stripes(brush.size, PERIOD * 4 / np.sqrt(17), np.degrees(np.arctan(4)), 1.8)
    base = base + 0.2 * (rain * np.clip(noise(brush.rng, brush.size, 40) * 1.5 + 0.3, 0, 1))[..., None]
    return base * vignette(brush.size, 0.55)[..., None]


def art_deco(brush: Brush) -> Picture:
    """Rays, gold lines beside dark ones, shaded facets."""
    x, y = brush.sun_place()
    sky = brush.sky()
    fan = rays(brush.size, x, y, 14)
    sky = mix(sky, brush.palette.one("sun"), fan * 0.26)
    base = brush.fills(sky)
    numbers = number_shapes(brush.scene, brush.size)
    shade = np.linspace(1.14, 0.82, brush.size)[:, None] * np.where(numbers > 0, 1, 1.0)
    base = base * shade[..., None]
    gold = brush.line() * (1 + 0.12 * noise(brush.rng, brush.size, 24))[..., None]
    base = mix(base, np.array([0.05, 0.08, 0.13]), brush.outlines(4.2) * 0.8)
    return mix(base, gold, brush.outlines(2.0))


def impasto(brush: Brush) -> Picture:
    """Many short strokes along a swirling field, lit from the side."""
    size, scale = brush.size, unit(brush.size)
    colours = (np.clip(brush.fills(), 0, 1) * 255).astype(np.uint8)
    count = 900
    places = brush.rng.integers(0, size, size=(count, 2))
    angles = (noise(brush.rng, size, 90) * 2.4)[places[:, 0], places[:, 1]]
    reach = brush.rng.uniform(5, 9, size=(count, 1)) * scale
    steps = np.stack([np.cos(angles), np.sin(angles)], axis=1) * reach
    starts = np.round(places[:, ::-1] - steps).astype(int).tolist()
    ends = np.round(places[:, ::-1] + steps).astype(int).tolist()
    tints = brush.rng.normal(size=(count, 1)) * 14
    paints = np.clip(colours[places[:, 0], places[:, 1]] + tints, 0, 255).tolist()
    canvas = colours.copy()
    width = round(5 * scale)
    for start, end, paint in zip(starts, ends, paints, strict=True):
        cv2.line(canvas, start, end, paint, width, cv2.LINE_AA)
    painted = mix(canvas.astype(np.float32) / 255, brush.line(), brush.outlines(2.4) * 0.8)
    relief = grey(painted)
    light = relief - np.roll(relief, (round(scale), round(scale)), axis=(0, 1))
    return painted + 0.5 * light[..., None]
