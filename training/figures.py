"""Drawings of kinds that training never shows: a car, a cat, a face, and ten more.

They show what the models do with a sketch of something unknown. Knows no pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .geometry import Board, Points, Scene, box, ellipse

Corner = tuple[float, float]


def curve(*points: Corner) -> Points:
    """A smooth open line through the points (Catmull-Rom)."""
    path = np.array([points[0], *points, points[-1]])
    pieces = []
    for before, start, end, after in zip(path, path[1:], path[2:], path[3:], strict=False):
        t = np.linspace(0, 1, 9)[:-1, None]
        bend = 2 * before - 5 * start + 4 * end - after
        pieces.append(
            0.5 * (2 * start + (end - before) * t + bend * t**2 + (3 * start - before - 3 * end + after) * t**3)
        )
    return np.concatenate([*pieces, path[-1:]])


def car(board: Board) -> None:
    board.add("path", box(-0.02, 0.76, 1.02, 1.05))
    body = [
        (0.08, 0.7),
        (0.08, 0.58),
        (0.16, 0.54),
        (0.27, 0.53),
        (0.37, 0.38),
        (0.63, 0.38),
        (0.75, 0.53),
        (0.88, 0.56),
        (0.93, 0.62),
        (0.93, 0.7),
    ]
    board.add("boat", np.array(body))
    board.add("window", np.array([(0.33, 0.53), (0.4, 0.42), (0.49, 0.42), (0.49, 0.53)]))
    board.add("window", np.array([(0.53, 0.53), (0.53, 0.42), (0.61, 0.42), (0.69, 0.53)]))
    for line in ([(0.51, 0.38), (0.51, 0.7)], [(0.56, 0.58), (0.61, 0.58)], [(0.08, 0.63), (0.14, 0.63)]):
        board.add("line", np.array(line), closed=False)
    board.add("sun", ellipse(0.905, 0.605, 0.018, 0.025))
    for x in (0.27, 0.75):
        board.add("stone", ellipse(x, 0.71, 0.09, 0.09))
        board.add("window", ellipse(x, 0.71, 0.042, 0.042))


def cat(board: Board) -> None:
    board.add("line", np.array([(0.0, 0.9), (1.0, 0.9)]), closed=False)
    board.add(
        "wall",
        np.concatenate(
            [
                curve((0.62, 0.86), (0.8, 0.84), (0.86, 0.7), (0.8, 0.56)),
                curve((0.84, 0.54), (0.92, 0.7), (0.84, 0.88), (0.62, 0.92)),
            ]
        ),
    )
    board.add(
        "wall",
        curve(
            (0.5, 0.48), (0.64, 0.58), (0.71, 0.78), (0.66, 0.91), (0.34, 0.91), (0.29, 0.78), (0.36, 0.58), (0.5, 0.48)
        ),
    )
    for x in (0.43, 0.57):
        board.add("cloud", ellipse(x, 0.89, 0.055, 0.035))
    for side in (-1, 1):
        ear = [(0.5 + side * 0.19, 0.36), (0.5 + side * 0.18, 0.13), (0.5 + side * 0.05, 0.25)]
        board.add("wall", np.array(ear))
    board.add("wall", ellipse(0.5, 0.38, 0.2, 0.165))
    for side in (-1, 1):
        board.add("window", ellipse(0.5 + side * 0.08, 0.36, 0.035, 0.045))
        board.add("line", ellipse(0.5 + side * 0.08, 0.36, 0.008, 0.03), closed=False)
        for tilt in (-0.02, 0.02):
            board.add(
                "line",
                np.array([(0.5 + side * 0.07, 0.44 + tilt / 2), (0.5 + side * 0.27, 0.43 + tilt * 2)]),
                closed=False,
            )
        board.add("line", curve((0.5, 0.455), (0.5 + side * 0.025, 0.485), (0.5 + side * 0.06, 0.475)), closed=False)
    board.add("roof", np.array([(0.475, 0.425), (0.525, 0.425), (0.5, 0.455)]))


def face(board: Board) -> None:
    board.add("roof", curve((0.12, 1.03), (0.18, 0.88), (0.4, 0.8), (0.6, 0.8), (0.82, 0.88), (0.88, 1.03)))
    board.add(
        "trunk",
        curve(
            (0.24, 0.74), (0.2, 0.4), (0.32, 0.14), (0.52, 0.08), (0.72, 0.16), (0.8, 0.42), (0.76, 0.74), (0.24, 0.74)
        ),
    )
    board.add("wall", box(0.42, 0.7, 0.58, 0.86))
    board.add(
        "wall",
        curve(
            (0.28, 0.42),
            (0.3, 0.6),
            (0.4, 0.74),
            (0.5, 0.78),
            (0.6, 0.74),
            (0.7, 0.6),
            (0.72, 0.42),
            (0.66, 0.28),
            (0.5, 0.3),
            (0.34, 0.36),
            (0.28, 0.42),
        ),
    )
    for side in (-1, 1):
        x = 0.5 + side * 0.1
        board.add(
            "cloud",
            np.concatenate(
                [
                    curve((x - 0.055, 0.46), (x, 0.43), (x + 0.055, 0.46)),
                    curve((x + 0.055, 0.46), (x, 0.485), (x - 0.055, 0.46)),
                ]
            ),
        )
        board.add("trunk", ellipse(x, 0.458, 0.02, 0.024))
        board.add("line", curve((x - 0.065, 0.405), (x, 0.385), (x + 0.065, 0.405)), closed=False)
    board.add("line", curve((0.5, 0.47), (0.475, 0.57), (0.505, 0.58)), closed=False)
    board.add(
        "boat",
        np.concatenate(
            [
                curve((0.43, 0.655), (0.47, 0.64), (0.5, 0.65), (0.53, 0.64), (0.57, 0.655)),
                curve((0.57, 0.655), (0.5, 0.69), (0.43, 0.655)),
            ]
        ),
    )


def fish(board: Board) -> None:
    board.add("water", box(-0.02, 0.1, 1.02, 1.05))
    board.add("roof", curve((0.68, 0.52), (0.9, 0.34), (0.84, 0.52), (0.9, 0.7), (0.68, 0.52)))
    board.add("roof", curve((0.36, 0.4), (0.46, 0.24), (0.62, 0.28), (0.6, 0.4)))
    board.add(
        "wall", curve((0.1, 0.52), (0.28, 0.38), (0.52, 0.36), (0.74, 0.52), (0.52, 0.7), (0.28, 0.66), (0.1, 0.52))
    )
    board.add("line", curve((0.32, 0.4), (0.38, 0.53), (0.32, 0.65)), closed=False)
    board.add("window", ellipse(0.22, 0.48, 0.03, 0.03))
    for x, y in ((0.12, 0.36), (0.08, 0.28), (0.14, 0.21)):
        board.add("cloud", ellipse(x, y, 0.022, 0.022))


def bird(board: Board) -> None:
    board.add("trunk", box(-0.02, 0.78, 1.02, 0.84))
    board.add("roof", np.array([(0.7, 0.56), (0.95, 0.62), (0.94, 0.72), (0.68, 0.68)]))
    board.add(
        "wall",
        curve((0.3, 0.44), (0.44, 0.5), (0.68, 0.54), (0.76, 0.66), (0.6, 0.76), (0.4, 0.76), (0.26, 0.6), (0.3, 0.44)),
    )
    board.add("wall", ellipse(0.3, 0.38, 0.13, 0.13))
    board.add("roof", np.array([(0.18, 0.35), (0.05, 0.4), (0.18, 0.43)]))
    board.add("leaf", curve((0.42, 0.56), (0.58, 0.54), (0.72, 0.62), (0.58, 0.7), (0.42, 0.56)))
    board.add("window", ellipse(0.27, 0.35, 0.024, 0.024))
    for x in (0.44, 0.54):
        board.add("line", np.array([(x, 0.76), (x, 0.8)]), closed=False)


def teapot(board: Board) -> None:
    board.add("wall", box(-0.02, 0.8, 1.02, 1.05))
    board.add("roof", curve((0.7, 0.44), (0.92, 0.42), (0.9, 0.66), (0.68, 0.7)))
    board.add("sky", curve((0.72, 0.5), (0.84, 0.49), (0.82, 0.61), (0.7, 0.64)))
    board.add("roof", np.array([(0.3, 0.58), (0.12, 0.38), (0.06, 0.4), (0.24, 0.72)]))
    board.add(
        "roof", curve((0.3, 0.42), (0.24, 0.62), (0.34, 0.8), (0.66, 0.8), (0.76, 0.62), (0.7, 0.42), (0.3, 0.42))
    )
    board.add("window", curve((0.32, 0.42), (0.4, 0.32), (0.6, 0.32), (0.68, 0.42)))
    board.add("sun", ellipse(0.5, 0.28, 0.045, 0.045))
    board.add("line", curve((0.26, 0.6), (0.5, 0.66), (0.74, 0.6)), closed=False)


def chair(board: Board) -> None:
    board.add("ground", box(-0.02, 0.78, 1.02, 1.05))
    for x in (0.34, 0.66):
        board.add("trunk", box(x - 0.025, 0.52, x + 0.025, 0.84))
    for x in (0.28, 0.72):
        board.add("trunk", box(x - 0.03, 0.56, x + 0.03, 0.92))
    board.add("trunk", box(0.3, 0.12, 0.7, 0.5))
    for y in (0.2, 0.32):
        board.add("wall", box(0.36, y, 0.64, y + 0.07))
    board.add("roof", np.array([(0.3, 0.48), (0.7, 0.48), (0.78, 0.6), (0.22, 0.6)]))


def guitar(board: Board) -> None:
    board.add("trunk", box(0.46, 0.08, 0.54, 0.5))
    board.add("roof", box(0.43, 0.04, 0.57, 0.14))
    body = [(0.5, 0.44), (0.64, 0.46), (0.66, 0.58), (0.62, 0.64), (0.72, 0.78), (0.62, 0.94), (0.5, 0.95)]
    mirrored = [(1 - x, y) for x, y in body[::-1]]
    board.add("wall", curve(*body, *mirrored[1:]))
    board.add("window", ellipse(0.5, 0.64, 0.07, 0.07))
    board.add("trunk", box(0.42, 0.82, 0.58, 0.86))
    for x in (0.48, 0.52):
        board.add("line", np.array([(x, 0.14), (x, 0.82)]), closed=False)


def rocket(board: Board) -> None:
    for side in (-1, 1):
        fin = [(0.5 + side * 0.12, 0.58), (0.5 + side * 0.28, 0.8), (0.5 + side * 0.1, 0.76)]
        board.add("roof", np.array(fin))
    board.add("sun", curve((0.44, 0.76), (0.42, 0.88), (0.5, 0.98), (0.58, 0.88), (0.56, 0.76)))
    board.add(
        "wall",
        curve(
            (0.5, 0.06), (0.62, 0.26), (0.64, 0.56), (0.58, 0.78), (0.42, 0.78), (0.36, 0.56), (0.38, 0.26), (0.5, 0.06)
        ),
    )
    board.add("window", ellipse(0.5, 0.38, 0.07, 0.07))
    board.add("cloud", ellipse(0.5, 0.38, 0.04, 0.04))
    board.add("line", np.array([(0.375, 0.26), (0.625, 0.26)]), closed=False)
    for x, y in ((0.14, 0.2), (0.84, 0.16), (0.2, 0.55), (0.86, 0.46)):
        board.add("sun", ellipse(x, y, 0.02, 0.02))


def butterfly(board: Board) -> None:
    for side in (-1, 1):
        x = 0.5 + side * 0.02
        upper = [
            (x, 0.46),
            (x + side * 0.14, 0.2),
            (x + side * 0.38, 0.16),
            (x + side * 0.4, 0.4),
            (x + side * 0.2, 0.54),
            (x, 0.5),
        ]
        lower = [
            (x, 0.52),
            (x + side * 0.2, 0.56),
            (x + side * 0.3, 0.7),
            (x + side * 0.2, 0.84),
            (x + side * 0.06, 0.74),
            (x, 0.58),
        ]
        board.add("roof", curve(*upper))
        board.add("leaf", curve(*lower))
        board.add("cloud", ellipse(0.5 + side * 0.28, 0.32, 0.06, 0.06))
        board.add("sun", ellipse(0.5 + side * 0.19, 0.68, 0.04, 0.04))
        board.add("line", curve((0.5, 0.36), (0.5 + side * 0.05, 0.24), (0.5 + side * 0.12, 0.2)), closed=False)
    board.add("trunk", ellipse(0.5, 0.54, 0.03, 0.2))


def umbrella(board: Board) -> None:
    board.add("line", np.array([(0.5, 0.3), (0.5, 0.82)]), closed=False)
    board.add("line", curve((0.5, 0.82), (0.49, 0.9), (0.42, 0.91), (0.39, 0.84)), closed=False)
    board.add("roof", curve((0.08, 0.52), (0.16, 0.3), (0.36, 0.16), (0.64, 0.16), (0.84, 0.3), (0.92, 0.52)))
    for x in (0.29, 0.5, 0.71):
        board.add("line", curve((0.5, 0.14), ((0.5 + x) / 2 + (x - 0.5) * 0.3, 0.3), (x, 0.52)), closed=False)
    for x, y in ((0.2, 0.66), (0.72, 0.7), (0.84, 0.84), (0.28, 0.86)):
        board.add("water", ellipse(x, y, 0.014, 0.03))


def bicycle(board: Board) -> None:
    board.add("path", box(-0.02, 0.8, 1.02, 1.05))
    for x in (0.24, 0.76):
        board.add("stone", ellipse(x, 0.64, 0.17, 0.17))
        board.add("sky", ellipse(x, 0.64, 0.13, 0.13))
        board.add("sun", ellipse(x, 0.64, 0.03, 0.03))
    frame = [(0.24, 0.64), (0.38, 0.4), (0.66, 0.4), (0.46, 0.66), (0.24, 0.64)]
    for start, end in zip(frame, frame[1:], strict=False):
        board.add("line", np.array([start, end]), closed=False)
    for line in ([(0.46, 0.66), (0.35, 0.33)], [(0.76, 0.64), (0.63, 0.28)], [(0.63, 0.28), (0.74, 0.26)]):
        board.add("line", np.array(line), closed=False)
    board.add("roof", box(0.28, 0.29, 0.42, 0.34))
    board.add("stone", ellipse(0.46, 0.66, 0.045, 0.045))


def train(board: Board) -> None:
    board.add("ground", box(-0.02, 0.82, 1.02, 1.05))
    board.add("line", np.array([(0.0, 0.82), (1.0, 0.82)]), closed=False)
    board.add("roof", box(0.56, 0.26, 0.92, 0.34))
    board.add("wall", box(0.6, 0.34, 0.88, 0.7))
    board.add("window", box(0.66, 0.4, 0.82, 0.52))
    board.add("boat", box(0.14, 0.46, 0.6, 0.7))
    board.add("stone", box(0.22, 0.28, 0.32, 0.46))
    board.add("roof", np.array([(0.19, 0.28), (0.22, 0.22), (0.32, 0.22), (0.35, 0.28)]))
    board.add("sun", ellipse(0.14, 0.54, 0.035, 0.05))
    board.add("stone", np.array([(0.1, 0.82), (0.16, 0.7), (0.24, 0.7), (0.2, 0.82)]))
    for x, radius in ((0.32, 0.07), (0.5, 0.07), (0.74, 0.1)):
        board.add("trunk", ellipse(x, 0.82 - radius, radius, radius))
        board.add("sun", ellipse(x, 0.82 - radius, radius * 0.35, radius * 0.35))
    for x, y, radius in ((0.3, 0.14, 0.05), (0.4, 0.09, 0.07)):
        board.add("cloud", ellipse(x, y, radius, radius * 0.7))


DRAWN = (car, cat, face, fish, bird, teapot, chair, guitar, rocket, butterfly, umbrella, bicycle, train)
FIGURES: dict[str, Callable[[Board], None]] = {figure.__name__: figure for figure in DRAWN}


def draw_figure(name: str) -> Scene:
    """One of them, always the same."""
    board = Board(np.random.default_rng(0))
    FIGURES[name](board)
    return Scene(name, tuple(board.shapes))
