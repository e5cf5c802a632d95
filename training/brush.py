"""What every renderer gets: a scene, its colours, a size and a source of chance.

Knows no style. Pictures are (S, S, 3) RGB floats in 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .geometry import Scene
from .palettes import Palette
from .raster import draw_outlines, paint_fills
from .textures import Field, Picture, unit, vertical


@dataclass(frozen=True)
class Brush:
    """What a renderer needs: the scene, its colours, the size in pixels and a source of chance."""

    scene: Scene
    palette: Palette
    size: int
    rng: np.random.Generator

    def fills(self, sky: Picture | None = None) -> Picture:
        """All shapes flat, on a sky from the palette."""
        background = self.sky() if sky is None else sky
        return paint_fills(self.scene, [self.palette.of(shape) for shape in self.scene.shapes], background)

    def sky(self) -> Picture:
        return vertical(self.size, self.palette.one("sky", 0), self.palette.one("sky", 1))

    def outlines(self, width: float) -> Field:
        """Outlines `width` 256ths wide."""
        return draw_outlines(self.scene, self.size, width * unit(self.size))

    def line(self, index: int = 0) -> np.ndarray:
        return self.palette.one("line", index)

    def sun_place(self) -> tuple[float, float]:
        """Middle of the sun, or a place on the horizon when there is none."""
        suns = [shape.points.mean(axis=0) for shape in self.scene.shapes if shape.role == "sun"]
        return (float(suns[0][0]), float(suns[0][1])) if suns else (0.5, 0.62)
