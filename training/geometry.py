"""Shapes, scenes and the few curves they are made of.

Coordinates run from 0 to 1, x to the right and y down. Knows no pixels and no colours.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

Points = np.ndarray


@dataclass(frozen=True)
class Shape:
    """An outline of (N, 2) points with the role that picks its colour; an open one is a stroke."""

    role: str
    points: Points
    shade: float = 0.5
    closed: bool = True


@dataclass(frozen=True)
class Scene:
    """Shapes from back to front; everything behind them is sky."""

    kind: str
    shapes: tuple[Shape, ...]


@dataclass
class Board:
    """Collects shapes while a scene is laid out."""

    rng: np.random.Generator
    shapes: list[Shape] = field(default_factory=list)

    def add(self, role: str, points: Points, shade: float | None = None, closed: bool = True) -> None:
        """Append a shape; without a shade it gets one by chance."""
        chosen = float(self.rng.random()) if shade is None else shade
        self.shapes.append(Shape(role, np.asarray(points, dtype=np.float64), chosen, closed))

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def count(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return int(self.rng.integers(low, high + 1))


def box(left: float, top: float, right: float, bottom: float) -> Points:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def ellipse(x: float, y: float, rx: float, ry: float, start: float = 0.0, end: float = 360.0) -> Points:
    """Points on an ellipse from one angle to another, in degrees clockwise from the right."""
    angles = np.radians(np.linspace(start, end, max(8, int(abs(end - start) / 8)), endpoint=end - start < 360))
    return np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], axis=1)


def blob(rng: np.random.Generator, x: float, y: float, rx: float, ry: float, rough: float = 0.12) -> Points:
    """A closed smooth curve around a centre, more irregular the larger `rough` is."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = np.ones_like(angles)
    for wave in range(2, 6):
        radius += rough * rng.normal() * np.cos(wave * angles + rng.uniform(0, 6.3)) / wave**0.7
    return np.stack([x + rx * radius * np.cos(angles), y + ry * radius * np.sin(angles)], axis=1)


def ridge(rng: np.random.Generator, y: float, height: float, waves: tuple[int, int] = (1, 4)) -> Points:
    """A filled hill line across the whole width, down to the lower border."""
    x = np.linspace(-0.02, 1.02, 40)
    level = np.full_like(x, y)
    for wave in range(waves[0], waves[1]):
        level += height / wave * rng.normal() * 0.5 * np.sin(np.pi * wave * x + rng.uniform(0, 6.3))
    return np.concatenate([np.stack([x, level], axis=1), [(1.02, 1.05), (-0.02, 1.05)]])


def level_of(line: Points, x: float) -> float:
    """Height of a ridge at `x`."""
    top = line[:-2]
    return float(np.interp(x, top[:, 0], top[:, 1]))


def wobble(points: Points, rng: np.random.Generator, amount: float, closed: bool) -> Points:
    """The same line drawn by an unsteady hand: resampled and displaced smoothly by about `amount`."""
    path = np.concatenate([points, points[:1]]) if closed else points
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    dense = np.union1d(along, np.linspace(0, along[-1], max(2, int(along[-1] / 0.02))))
    curve = np.stack([np.interp(dense, along, path[:, axis]) for axis in (0, 1)], axis=1)
    for frequency in (9.0, 21.0, 45.0):
        phase = rng.uniform(0, 6.3, size=2)
        curve = curve + amount * 9 / frequency * rng.normal(size=2) * np.sin(frequency * dense[:, None] + phase)
    return curve
