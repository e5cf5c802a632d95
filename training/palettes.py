"""The colours of each style: one list per role, out of which a shape's shade picks.

`palettes.json` holds them in hexadecimal. Knows names and numbers only.
"""

from __future__ import annotations

import colorsys
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .geometry import Shape

TABLE: dict[str, dict[str, list[str]]] = json.loads(
    (Path(__file__).parent / "palettes.json").read_text(encoding="utf-8")
)
ROLES = tuple(TABLE["noir"])


@dataclass(frozen=True)
class Palette:
    """Colours (K, 3) in 0..1 for every role."""

    colours: dict[str, np.ndarray]

    def of(self, shape: Shape) -> np.ndarray:
        """The colour of one shape."""
        choices = self.colours[shape.role]
        return choices[min(int(shape.shade * len(choices)), len(choices) - 1)]

    def one(self, role: str, index: int = 0) -> np.ndarray:
        """A colour of a role, the last one if there are fewer."""
        return self.colours[role][min(index, len(self.colours[role]) - 1)]


def published_palette(style: str) -> Palette:
    """A style's colours as they are in the table."""
    return Palette(
        {role: np.array([tuple(bytes.fromhex(code)) for code in codes]) / 255 for role, codes in TABLE[style].items()}
    )


def turn_hue(colour: np.ndarray, turn: float, saturation: float, brightness: float) -> np.ndarray:
    """One colour with its hue turned (1 is a full circle), saturation and brightness multiplied."""
    hue, strength, value = colorsys.rgb_to_hsv(*colour)
    return np.array(colorsys.hsv_to_rgb((hue + turn) % 1, min(1, strength * saturation), min(1, value * brightness)))


def vary(palette: Palette, rng: np.random.Generator, amount: float) -> Palette:
    """A sibling of the palette: every role drifts a little, all of them together a little more."""
    shared = rng.normal(size=3) * amount
    varied = {}
    for role, choices in palette.colours.items():
        own = shared + rng.normal(size=3) * amount * 0.5
        moves = (0.05 * own[0], 1 + 0.15 * own[1], 1 + 0.1 * own[2])
        varied[role] = np.array([turn_hue(colour, *moves) for colour in choices])
    return Palette(varied)


def random_palette(rng: np.random.Generator) -> Palette:
    """Any colours at all, around a few hues."""
    hues = rng.random(size=3)
    bright = rng.uniform(0.3, 1.0)
    colours = {}
    for role in ROLES:
        hue = rng.choice(hues) + rng.normal() * 0.03
        value = np.clip(bright + rng.normal() * 0.25, 0.05, 1)
        colours[role] = np.array([colorsys.hsv_to_rgb(hue % 1, rng.uniform(0.1, 0.9), value) for _ in range(2)])
    colours["line"] = np.array([colorsys.hsv_to_rgb(hues[0] % 1, 0.5, 0.1 if bright > 0.5 else 0.95)])
    return Palette(colours)
