"""Parts of scenes that grow, float or rise: trees, clouds, mountains, water.

Every function adds shapes to a board, from back to front. Knows no colours.
"""

from __future__ import annotations

import numpy as np

from .geometry import Board, blob, box, ellipse, ridge


def sun(board: Board, highest: float = 0.1, lowest: float = 0.3) -> None:
    """A disc in the sky."""
    size = board.between(0.05, 0.1)
    board.add("sun", ellipse(board.between(0.12, 0.88), board.between(highest, lowest), size, size))


def cloud(board: Board, x: float, y: float, size: float, role: str = "cloud") -> None:
    """One outline around a few puffs on a flat base."""
    puffs = board.count(3, 4)
    centres = np.linspace(-0.7, 0.7, puffs)
    outline: list[np.ndarray] = []
    for index, centre in enumerate(centres):
        radius = size * (0.5 if 0 < index < puffs - 1 else 0.36) * board.between(0.9, 1.15)
        start = 180 if index == 0 else 215
        end = 360 if index == puffs - 1 else 325
        outline.append(ellipse(x + centre * size, y, radius, radius, start, end))
    board.add(role, np.concatenate(outline))


def sky(board: Board) -> None:
    """Sun and clouds, either or both or neither."""
    if board.chance(0.6):
        sun(board)
    for _ in range(board.count(0, 2) if board.chance(0.6) else 0):
        cloud(board, board.between(0.1, 0.9), board.between(0.12, 0.3), board.between(0.1, 0.17))


def hills(board: Board, y: float, height: float = 0.08) -> None:
    """A far line of hills."""
    board.add("far", ridge(board.rng, y, height))


def mountains(board: Board, base: float, peaks: int, height: float, snow: bool = True) -> None:
    """Overlapping peaks, some with snow caps."""
    for x in board.rng.permutation(np.linspace(0.08, 0.92, peaks)):
        top = base - height * board.between(0.65, 1.1)
        half = (base - top) * board.between(0.6, 0.95)
        peak = np.array([x + board.between(-0.05, 0.05), top])
        left, right = np.array([peak[0] - half, base]), np.array([peak[0] + half, base])
        board.add("far", np.array([left, peak, right]))
        if snow and board.chance(0.75):
            part = board.between(0.22, 0.34)
            a, b = peak + (left - peak) * part, peak + (right - peak) * part
            jag = [
                b + (a - b) * step + (0, 0.03 if index % 2 else -0.012) for index, step in enumerate((0.25, 0.5, 0.75))
            ]
            board.add("cloud", np.array([a, peak, b, *jag]))


def round_tree(board: Board, x: float, bottom: float, height: float) -> None:
    """A trunk under a leafy blob."""
    width = height * 0.12
    board.add(
        "trunk",
        np.array(
            [
                (x - width * 0.45, bottom - height * 0.5),
                (x + width * 0.45, bottom - height * 0.5),
                (x + width * 0.6, bottom),
                (x - width * 0.6, bottom),
            ]
        ),
    )
    board.add("leaf", blob(board.rng, x, bottom - height * 0.66, height * 0.3, height * 0.34))


def pine(board: Board, x: float, bottom: float, height: float) -> None:
    """Three tiers of branches on a short trunk, as one outline."""
    width = height * board.between(0.2, 0.28)
    trunk = height * 0.05
    board.add("trunk", box(x - trunk, bottom - height * 0.2, x + trunk, bottom))
    right = [(0.0, 0.0), (0.5, 0.3), (0.25, 0.3), (0.75, 0.58), (0.4, 0.58), (1.0, 0.86)]
    top = bottom - height
    outline = [(x + width * dx, top + height * dy) for dx, dy in right]
    outline += [(x - width * dx, top + height * dy) for dx, dy in reversed(right[1:])]
    board.add("leaf", np.array(outline))


def tree(board: Board, x: float, bottom: float, height: float) -> None:
    """A tree of either kind."""
    (pine if board.chance(0.5) else round_tree)(board, x, bottom, height)


def ripples(board: Board, top: float, count: int) -> None:
    """Short strokes on water."""
    for _ in range(count):
        x, y, size = board.between(0.05, 0.95), board.between(top + 0.04, 0.97), board.between(0.03, 0.08)
        curve = np.linspace(-1, 1, 9)
        board.add("line", np.stack([x + size * curve, y + size * 0.18 * np.cos(curve * 3.1)], axis=1), closed=False)


def path(board: Board, x: float, top: float, width: float) -> None:
    """A way that widens towards the viewer."""
    drift = board.between(-0.2, 0.2)
    left = [(x - width / 2, top), (x + drift * 0.4 - width, (top + 1) / 2), (x + drift - width * 2, 1.03)]
    right = [(x + drift + width * 2, 1.03), (x + drift * 0.4 + width, (top + 1) / 2), (x + width / 2, top)]
    board.add("path", np.array(left + right))


def bush(board: Board, x: float, bottom: float, size: float) -> None:
    """A low leafy mound."""
    outline = blob(board.rng, x, bottom, size, size * 0.7, 0.08)
    board.add("leaf", np.stack([outline[:, 0], np.minimum(outline[:, 1], bottom)], axis=1))
