"""The layouts: one function per kind of scene, each a new arrangement for every random seed.

Knows parts and places, not pixels or colours.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import bridges, buildings, nature
from .geometry import Board, Scene, blob, box, ellipse, level_of, ridge


def city(board: Board) -> None:
    nature.sky(board)
    ground = board.between(0.82, 0.9)
    for row, (low, high) in enumerate(((0.2, 0.45), (0.35, 0.62))):
        left = board.between(-0.06, 0.02)
        while left < 0.98:
            width = board.between(0.16, 0.26)
            if row or board.chance(0.75):
                buildings.skyscraper(board, left, left + width, board.between(low, high), ground)
            left += width + board.between(0.0, 0.05 if row else 0.15)
    board.add("ground", box(-0.02, ground, 1.02, 1.05))
    if board.chance(0.5):
        board.add("line", np.array([(0.0, (ground + 1) / 2), (1.0, (ground + 1) / 2)]), closed=False)


def house(board: Board) -> None:
    nature.sky(board)
    if board.chance(0.5):
        nature.hills(board, board.between(0.5, 0.6))
    ground = ridge(board.rng, board.between(0.72, 0.8), 0.03)
    board.add("ground", ground)
    x, width = board.between(0.32, 0.68), board.between(0.34, 0.46)
    bottom = level_of(ground, x) + 0.06
    side = 1 if x < 0.5 else -1
    if board.chance(0.5):
        nature.path(board, x, bottom, 0.08)
    nature.tree(
        board, x + side * board.between(0.34, 0.42), bottom + board.between(-0.03, 0.03), board.between(0.35, 0.5)
    )
    buildings.house(board, x, bottom, width)
    for _ in range(board.count(0, 3)):
        nature.bush(board, board.between(0.05, 0.95), bottom + board.between(0.03, 0.12), board.between(0.03, 0.06))


def harbour(board: Board) -> None:
    nature.sky(board)
    horizon = board.between(0.52, 0.66)
    if board.chance(0.5):
        nature.hills(board, horizon - 0.06)
    board.add("water", box(-0.02, horizon, 1.02, 1.05))
    if board.chance(0.4):
        buildings.boat(board, board.between(0.1, 0.9), horizon + 0.02, board.between(0.05, 0.08))
    nature.ripples(board, horizon, board.count(2, 5))
    buildings.boat(board, board.between(0.3, 0.7), board.between(horizon + 0.1, 0.86), board.between(0.15, 0.24))
    if board.chance(0.4):
        board.add("stone", box(-0.02, 0.88, board.between(0.2, 0.5), 1.05))


def castle(board: Board) -> None:
    nature.sky(board)
    if board.chance(0.6):
        nature.hills(board, board.between(0.58, 0.66))
    ground = ridge(board.rng, board.between(0.74, 0.82), 0.05)
    board.add("ground", ground)
    x, half = board.between(0.42, 0.58), board.between(0.2, 0.28)
    bottom, width = level_of(ground, x) + 0.05, board.between(0.12, 0.16)
    top = bottom - board.between(0.22, 0.3)
    if board.chance(0.6):
        buildings.castle_tower(
            board, x + board.between(-0.08, 0.08), top + 0.03, width * 1.2, top - board.between(0.14, 0.22)
        )
    board.add("stone", box(x - half, top, x + half, bottom))
    buildings.battlements(board, x - half + width / 2, x + half - width / 2, top, board.count(4, 5))
    for side in (-1, 1):
        buildings.castle_tower(board, x + side * half, bottom, width, top - board.between(0.06, 0.16))
    gate = width * 0.9
    arch = ellipse(x, bottom - gate, gate / 2, gate / 2, 180, 360)
    board.add("door", np.concatenate([arch, [(x + gate / 2, bottom), (x - gate / 2, bottom)]]))
    if board.chance(0.5):
        nature.path(board, x, bottom, gate * 0.8)


def bridge(board: Board) -> None:
    nature.sky(board)
    nature.hills(board, board.between(0.45, 0.55), 0.12)
    water = board.between(0.7, 0.78)
    board.add("water", box(-0.02, water, 1.02, 1.05))
    nature.ripples(board, water, board.count(2, 4))
    (bridges.suspension_bridge if board.chance(0.5) else bridges.arch_bridge)(board, water)


def mountains(board: Board) -> None:
    if board.chance(0.7):
        nature.sun(board, 0.08, 0.2)
    base = board.between(0.62, 0.72)
    nature.mountains(board, base + 0.05, board.count(3, 5), board.between(0.35, 0.5))
    lake = board.chance(0.4)
    board.add("water" if lake else "ground", box(-0.02, base, 1.02, 1.05) if lake else ridge(board.rng, base, 0.04))
    if lake:
        nature.ripples(board, base, board.count(1, 4))
    for _ in range(board.count(1, 4)):
        nature.pine(board, board.between(0.05, 0.95), board.between(base + 0.12, 0.97), board.between(0.2, 0.36))


def factory(board: Board) -> None:
    nature.sky(board)
    ground = board.between(0.8, 0.88)
    left, right = board.between(0.05, 0.25), board.between(0.7, 0.95)
    for _ in range(board.count(1, 3)):
        x, top = board.between(left + 0.05, right - 0.05), board.between(0.18, 0.34)
        for puff in range(board.count(0, 3)):
            nature.cloud(board, x + 0.06 + 0.12 * puff, top - 0.03 - 0.05 * puff, 0.06 + 0.015 * puff)
        buildings.chimney(board, x, ground, board.between(0.07, 0.1), top)
    buildings.factory(board, left, right, ground - board.between(0.24, 0.32), ground)
    board.add("ground", box(-0.02, ground, 1.02, 1.05))


def village(board: Board) -> None:
    nature.sky(board)
    hill = ridge(board.rng, board.between(0.45, 0.55), 0.08)
    board.add("far", hill)
    ground = ridge(board.rng, board.between(0.66, 0.74), 0.05)
    if board.chance(0.6):
        x = board.between(0.3, 0.7)
        tower = level_of(ground, x) + 0.04
        board.add("roof", np.array([(x - 0.055, tower - 0.32), (x, tower - 0.5), (x + 0.055, tower - 0.32)]))
        board.add("wall", box(x - 0.045, tower - 0.32, x + 0.045, tower))
        buildings.arch_window(board, x, tower - 0.25, 0.04)
    board.add("ground", ground)
    for row, size in ((0.03, 0.2), (0.17, 0.26)):
        for x in np.arange(board.between(0.05, 0.15), 1.0, size * 1.45):
            if board.chance(0.8):
                bottom = level_of(ground, float(x)) + row + board.between(0, 0.03)
                buildings.house(
                    board, float(x) + board.between(-0.02, 0.02), bottom, size * board.between(0.8, 1.0), False
                )
    if board.chance(0.5):
        nature.tree(board, board.between(0.05, 0.95), 0.97, board.between(0.25, 0.35))


def forest(board: Board) -> None:
    nature.sky(board)
    if board.chance(0.6):
        nature.hills(board, board.between(0.45, 0.55))
    ground = board.between(0.64, 0.72)
    board.add("ground", ridge(board.rng, ground, 0.04))
    if board.chance(0.5):
        nature.path(board, board.between(0.3, 0.7), ground + 0.02, 0.06)
    kind = (nature.pine, nature.round_tree, nature.tree)[board.count(0, 2)]
    for bottom in np.linspace(ground + 0.05, 0.98, board.count(5, 8)):
        size = 0.25 + (bottom - ground) * board.between(0.7, 1.0)
        kind(board, board.between(0.03, 0.97), float(bottom), size)


def lighthouse(board: Board) -> None:
    nature.sky(board)
    horizon = board.between(0.62, 0.72)
    board.add("water", box(-0.02, horizon, 1.02, 1.05))
    nature.ripples(board, horizon, board.count(1, 4))
    if board.chance(0.5):
        buildings.boat(board, board.between(0.1, 0.9), horizon + 0.03, board.between(0.05, 0.08))
    side, reach = (1 if board.chance(0.5) else -1), board.between(0.45, 0.6)
    x = 0.5 + side * board.between(0.12, 0.24)
    edge, top = 0.5 + side * 0.55, horizon - board.between(-0.02, 0.06)
    cliff = [
        (edge, top),
        (x - side * 0.1, top),
        (x - side * 0.16, top + 0.06),
        (x - side * 0.2, top + 0.2),
        (x - side * reach * 0.6, 1.05),
        (edge, 1.05),
    ]
    board.add("ground", np.array(cliff))
    if board.chance(0.5):
        buildings.house(board, x + side * 0.17, top + 0.03, 0.16, False)
    buildings.lighthouse(board, x, top + 0.03, board.between(0.34, 0.44))


def windmill(board: Board) -> None:
    nature.sky(board)
    nature.hills(board, board.between(0.58, 0.66))
    ground = ridge(board.rng, board.between(0.72, 0.8), 0.04)
    board.add("ground", ground)
    for _ in range(board.count(0, 3)):
        y = board.between(0.86, 0.98)
        board.add("line", np.array([(0.0, y), (0.5, y - 0.03), (1.0, y)]), closed=False)
    x = board.between(0.35, 0.65)
    buildings.windmill(board, x, level_of(ground, x) + 0.05, board.between(0.34, 0.42))
    if board.chance(0.7):
        nature.tree(board, x + (0.32 if x < 0.5 else -0.32), level_of(ground, x) + 0.06, board.between(0.22, 0.32))


def pagoda(board: Board) -> None:
    nature.sky(board)
    if board.chance(0.6):
        nature.mountains(board, 0.72, 2, board.between(0.3, 0.42))
    ground = ridge(board.rng, board.between(0.74, 0.8), 0.03)
    board.add("ground", ground)
    x, floors = board.between(0.38, 0.62), board.count(2, 4)
    width = board.between(0.36, 0.46) * (1.1 if floors == 2 else 0.9)
    buildings.pagoda(board, x, level_of(ground, x) + 0.05, width, floors)
    nature.tree(board, x + (0.33 if x < 0.5 else -0.33), level_of(ground, x) + 0.08, board.between(0.28, 0.4))


def shapes(board: Board) -> None:
    """Overlapping outlines of nothing in particular: any sketch may come."""
    if board.chance(0.5):
        board.add("ground", ridge(board.rng, board.between(0.6, 0.85), 0.05))
    roles = ("wall", "roof", "leaf", "sail", "boat", "door", "stone", "window", "sun", "cloud", "trunk")
    for _ in range(board.count(3, 9)):
        x, y, size = board.between(0.15, 0.85), board.between(0.2, 0.8), board.between(0.05, 0.25)
        stretch, turn = board.between(0.5, 1.0), board.between(0, 6.3)
        kind = board.count(0, 4)
        if kind == 0:
            points = ellipse(0, 0, size, size * stretch)
        elif kind == 1:
            points = blob(board.rng, 0, 0, size, size * stretch, 0.3)
        elif kind == 2:
            points = ellipse(0, 0, size, size * stretch)[:: board.count(6, 15)]
        else:
            points = (
                box(-size, -size * stretch, size, size * stretch)
                if kind == 3
                else blob(board.rng, 0, 0, size, size)[:: board.count(4, 9)]
            )
        rotation = np.array([(np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn))])
        board.add(roles[board.count(0, len(roles) - 1)], points @ rotation + (x, y))
        if board.chance(0.4):
            board.add("window", ellipse(x, y, size * 0.3, size * 0.3))
    for _ in range(board.count(0, 4)):
        curve = np.cumsum(board.rng.normal(size=(5, 2)) * 0.08, axis=0) + board.rng.uniform(0.2, 0.8, size=2)
        board.add("line", curve, closed=False)


LAYOUTS: dict[str, Callable[[Board], None]] = {
    layout.__name__: layout
    for layout in (
        city,
        house,
        harbour,
        castle,
        bridge,
        mountains,
        factory,
        village,
        forest,
        lighthouse,
        windmill,
        pagoda,
        shapes,
    )
}


def lay_out(kind: str, seed: int) -> Scene:
    """The scene of this kind that belongs to `seed`."""
    board = Board(np.random.default_rng((seed, sorted(LAYOUTS).index(kind))))
    LAYOUTS[kind](board)
    return Scene(kind, tuple(board.shapes))
