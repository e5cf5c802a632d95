"""The styles by name, and the one function that renders a scene in a style."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import drawn, painted
from .brush import Brush
from .geometry import Scene
from .palettes import Palette, published_palette, random_palette, vary
from .textures import Picture

RENDERERS: dict[str, Callable[[Brush], Picture]] = {
    "cyberpunk-neon": painted.cyberpunk_neon,
    "pastel-anime": painted.pastel_anime,
    "industrial-rust": painted.industrial_rust,
    "pencil-sketch": drawn.pencil_sketch,
    "blueprint": drawn.blueprint,
    "watercolour": painted.watercolour,
    "ukiyo-e": drawn.ukiyo_e,
    "stained-glass": painted.stained_glass,
    "pixel-art": drawn.pixel_art,
    "noir": painted.noir,
    "art-deco": painted.art_deco,
    "pop-art": drawn.pop_art,
    "impasto": painted.impasto,
    "paper-cut": drawn.paper_cut,
    "flat": drawn.flat,
}
STYLES = tuple(name for name in RENDERERS if name != "flat")


def pick_palette(style: str, rng: np.random.Generator, amount: float) -> Palette:
    """The style's palette varied by `amount` (0 is the published one); any palette for `flat`."""
    return random_palette(rng) if style == "flat" else vary(published_palette(style), rng, amount)


def render(scene: Scene, style: str, palette: Palette, size: int, rng: np.random.Generator) -> np.ndarray:
    """The scene in a style, (size, size, 3) uint8 RGB."""
    picture = RENDERERS[style](Brush(scene, palette, size, rng))
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
