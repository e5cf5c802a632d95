"""The two kinds of bridges, added to a board from back to front. Knows no colours."""

from __future__ import annotations

import numpy as np

from .geometry import Board, box, ellipse


def suspension_bridge(board: Board, water: float) -> None:
    """Two pylons, a hanging cable and its ropes."""
    deck, top = water - board.between(0.08, 0.14), board.between(0.25, 0.36)
    first, second = board.between(0.2, 0.28), board.between(0.72, 0.8)
    for x in (first, second):
        board.add("stone", box(x - 0.025, top, x + 0.025, water + 0.06))
    part = np.linspace(-1, 1, 21)
    cable = np.stack(
        [(first + second) / 2 + part * (second - first) / 2, deck - 0.03 - (deck - 0.03 - top) * part**2], axis=1
    )
    for x, y in cable[2:-2:2]:
        board.add("line", np.array([(x, y), (x, deck)]), closed=False)
    for line in (cable, np.array([(first, top), (-0.02, deck - 0.02)]), np.array([(second, top), (1.02, deck - 0.02)])):
        board.add("line", line, closed=False)
    board.add("wall", box(-0.02, deck, 1.02, deck + 0.045))


def arch_bridge(board: Board, water: float) -> None:
    """A stone bridge on two or three arches."""
    arches, deck = board.count(2, 3), board.between(0.48, 0.56)
    step = 1.0 / arches
    outline = [(-0.02, deck), (1.02, deck), (1.02, water + 0.05)]
    for index in reversed(range(arches)):
        radius = step * 0.36
        arch = ellipse((index + 0.5) * step, water + 0.05, radius, min(radius, water - deck), 0, -180)
        outline += [tuple(point) for point in arch]
    board.add("stone", np.array([*outline, (-0.02, water + 0.05)]))
    board.add("wall", box(-0.02, deck - 0.03, 1.02, deck + 0.02))
