"""Three drawings of kinds that training never shows: a car, a cat, a face.

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


FIGURES: dict[str, Callable[[Board], None]] = {"car": car, "cat": cat, "face": face}


def draw_figure(name: str) -> Scene:
    """One of the three, always the same."""
    board = Board(np.random.default_rng(0))
    FIGURES[name](board)
    return Scene(name, tuple(board.shapes))
