"""Parts of scenes that people build: houses, towers, boats, bridges.

Every function adds shapes to a board, from back to front. Knows no colours.
"""

from __future__ import annotations

import numpy as np

from .geometry import Board, box, ellipse


def windows(board: Board, left: float, top: float, right: float, bottom: float, columns: int, rows: int) -> None:
    """A grid of windows that fills a wall."""
    width, height = (right - left) / columns, (bottom - top) / rows
    for column in range(columns):
        for row in range(rows):
            x, y = left + (column + 0.5) * width, top + (row + 0.5) * height
            board.add("window", box(x - width * 0.28, y - height * 0.3, x + width * 0.28, y + height * 0.3))


def cross_window(board: Board, x: float, y: float, size: float) -> None:
    """One large window with its bars."""
    board.add("window", box(x - size, y - size, x + size, y + size))
    board.add("line", np.array([(x, y - size), (x, y + size)]), closed=False)
    board.add("line", np.array([(x - size, y), (x + size, y)]), closed=False)


def door(board: Board, x: float, bottom: float, width: float, height: float) -> None:
    """A plain or a round-headed door."""
    if board.chance(0.5):
        board.add("door", box(x - width / 2, bottom - height, x + width / 2, bottom))
        return
    arch = ellipse(x, bottom - height + width / 2, width / 2, width / 2, 180, 360)
    board.add("door", np.concatenate([arch, [(x + width / 2, bottom), (x - width / 2, bottom)]]))


def house(board: Board, x: float, bottom: float, width: float, detailed: bool = True) -> None:
    """A house with a gable or a hipped roof; `x` is its middle."""
    height = width * board.between(0.5, 0.85)
    left, right, top = x - width / 2, x + width / 2, bottom - height
    peak = top - width * board.between(0.3, 0.5)
    eave = width * 0.08
    if board.chance(0.5):
        chimney = x + width * board.between(0.15, 0.3)
        board.add("wall", box(chimney, peak, chimney + width * 0.1, top))
    board.add("wall", box(left, top, right, bottom))
    inset = 0.0 if board.chance(0.4) else width * board.between(0.15, 0.3)
    ridge = [(x - inset, peak), (x + inset, peak)] if inset else [(x, peak)]
    board.add("roof", np.array([(left - eave, top), *ridge, (right + eave, top)]))
    side = 1 if board.chance(0.5) else -1
    door(board, x + side * width * 0.22, bottom, width * 0.2, height * 0.62)
    if detailed:
        cross_window(board, x - side * width * 0.22, top + height * 0.4, width * 0.11)
    else:
        size = width * 0.1
        board.add(
            "window",
            box(x - side * width * 0.22 - size, top + height * 0.3, x - side * width * 0.22 + size, top + height * 0.6),
        )


def skyscraper(board: Board, left: float, right: float, top: float, bottom: float) -> None:
    """A tall building with windows and one of several crowns."""
    middle, width = (left + right) / 2, right - left
    crown = board.count(0, 4)
    if crown == 0:
        board.add("roof", np.array([(left, top), (middle, top - width * 0.5), (right, top)]))
    elif crown == 1:
        board.add("wall", box(left + width * 0.2, top - width * 0.25, right - width * 0.2, top))
    elif crown == 2:
        board.add("line", np.array([(middle, top - width * 0.7), (middle, top)]), closed=False)
    elif crown == 3:
        board.add("roof", ellipse(middle, top, width * 0.4, width * 0.35, 180, 360))
    board.add("wall", box(left, top, right, bottom))
    columns = max(1, min(3, int(width / 0.07)))
    rows = max(2, int((bottom - top) / 0.115))
    windows(board, left + width * 0.06, top + 0.015, right - width * 0.06, bottom - 0.015, columns, rows)


def castle_tower(board: Board, x: float, bottom: float, width: float, top: float) -> None:
    """A round tower with a cone or with battlements."""
    left, right = x - width / 2, x + width / 2
    board.add("stone", box(left, top, right, bottom))
    if board.chance(0.65):
        peak = top - width * board.between(0.9, 1.5)
        board.add("roof", np.array([(left - width * 0.15, top), (x, peak), (right + width * 0.15, top)]))
        if board.chance(0.5):
            flag = [(x, peak - width * 0.5), (x + width * 0.5, peak - width * 0.35), (x, peak - width * 0.2)]
            board.add("sail", np.array(flag))
            board.add("line", np.array([(x, peak - width * 0.5), (x, peak)]), closed=False)
    else:
        battlements(board, left - width * 0.1, right + width * 0.1, top, 3)
    arch_window(board, x, top + (bottom - top) * 0.25, width * 0.3)


def battlements(board: Board, left: float, right: float, top: float, teeth: int) -> None:
    """A crenellated band on top of a wall, as one outline."""
    step = (right - left) / (2 * teeth - 1)
    outline = [(left, top + step)]
    for index in range(2 * teeth - 1):
        y = top - step if index % 2 == 0 else top
        outline += [(left + index * step, y), (left + (index + 1) * step, y)]
    board.add("stone", np.array([*outline, (right, top + step)]))


def arch_window(board: Board, x: float, y: float, width: float) -> None:
    """A narrow window with a round head."""
    arch = ellipse(x, y, width / 2, width / 2, 180, 360)
    board.add("window", np.concatenate([arch, [(x + width / 2, y + width), (x - width / 2, y + width)]]))


def boat(board: Board, x: float, water: float, size: float) -> None:
    """A sailing boat; `water` is its waterline."""
    hull = [(-1.0, -0.28), (1.05, -0.28), (0.7, 0.12), (-0.75, 0.12)]
    mast = x + size * board.between(-0.1, 0.1)
    top = water - size * board.between(1.7, 2.3)
    board.add("line", np.array([(mast, top), (mast, water - size * 0.28)]), closed=False)
    board.add(
        "sail",
        np.array(
            [
                (mast + size * 0.06, top + size * 0.1),
                (mast + size * 0.9, water - size * 0.45),
                (mast + size * 0.06, water - size * 0.45),
            ]
        ),
    )
    if board.chance(0.7):
        board.add(
            "sail",
            np.array(
                [
                    (mast - size * 0.06, top + size * 0.35),
                    (mast - size * 0.75, water - size * 0.45),
                    (mast - size * 0.06, water - size * 0.45),
                ]
            ),
        )
    board.add("boat", np.array([(x + size * dx, water + size * dy) for dx, dy in hull]))


def lighthouse(board: Board, x: float, bottom: float, height: float) -> None:
    """A striped tower with a lantern and a gallery."""
    half, top = height * board.between(0.13, 0.17), bottom - height
    narrow = half * 0.62
    board.add("wall", np.array([(x - narrow, top), (x + narrow, top), (x + half, bottom), (x - half, bottom)]), 0.95)
    bands = board.count(2, 3)
    for band in range(bands):
        upper, lower = (band * 2 + 1) / (bands * 2 + 1), (band * 2 + 2) / (bands * 2 + 1)
        wide = [narrow + (half - narrow) * part for part in (upper, lower)]
        ys = [top + height * part for part in (upper, lower)]
        board.add(
            "roof", np.array([(x - wide[0], ys[0]), (x + wide[0], ys[0]), (x + wide[1], ys[1]), (x - wide[1], ys[1])])
        )
    lamp = height * 0.16
    board.add("window", box(x - narrow * 0.7, top - lamp, x + narrow * 0.7, top))
    board.add("stone", box(x - narrow * 1.35, top - lamp * 0.15, x + narrow * 1.35, top + lamp * 0.2))
    board.add("roof", np.array([(x - narrow, top - lamp), (x, top - lamp * 2.0), (x + narrow, top - lamp)]))


def windmill(board: Board, x: float, bottom: float, height: float) -> None:
    """A tower mill with four sails."""
    half, top = height * 0.24, bottom - height
    board.add("wall", np.array([(x - half * 0.6, top), (x + half * 0.6, top), (x + half, bottom), (x - half, bottom)]))
    board.add("roof", ellipse(x, top, half * 0.68, half * 0.7, 180, 360))
    door(board, x, bottom, half * 0.6, height * 0.25)
    arch_window(board, x, top + height * 0.38, half * 0.4)
    turn = board.between(0, 90)
    for arm in range(4):
        angle = np.radians(turn + 90 * arm)
        along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        hub = np.array([x, top])
        start, end, wide = hub + along * height * 0.12, hub + along * height * 0.62, across * height * 0.13
        board.add("line", np.array([hub, end]), closed=False)
        board.add("sail", np.array([start, end, end + wide, start + wide]))


def pagoda(board: Board, x: float, bottom: float, width: float, floors: int) -> None:
    """Storeys that shrink upwards, each under a curved roof."""
    storey = width * 0.42
    for floor in range(floors):
        half = width / 2 * (1 - 0.17 * floor)
        base = bottom - floor * storey
        board.add("wall", box(x - half * 0.62, base - storey * 0.62, x + half * 0.62, base))
        if floor == 0:
            door(board, x, base, half * 0.4, storey * 0.5)
        else:
            for side in (-1, 1):
                board.add(
                    "window",
                    box(
                        x + side * half * 0.3 - half * 0.11,
                        base - storey * 0.45,
                        x + side * half * 0.3 + half * 0.11,
                        base - storey * 0.15,
                    ),
                )
        eave, peak = base - storey * 0.55, base - storey * 1.0
        curve = np.linspace(-1, 1, 15)
        under = np.stack([x + half * curve, eave - storey * 0.14 * np.abs(curve) ** 3], axis=1)
        board.add("roof", np.concatenate([under, [(x + half * 0.5, peak), (x - half * 0.5, peak)]]))
    top = bottom - floors * storey
    board.add("line", np.array([(x, top - storey * 0.6), (x, top)]), closed=False)


def factory(board: Board, left: float, right: float, top: float, bottom: float) -> None:
    """A hall with a saw-tooth roof, a row of windows and a gate."""
    teeth = board.count(2, 4)
    step, rise = (right - left) / teeth, (bottom - top) * 0.4
    outline = [(left, top)]
    for tooth in range(teeth):
        outline += [(left + tooth * step, top - rise), (left + (tooth + 1) * step, top)]
    board.add("roof", np.array(outline))
    board.add("wall", box(left, top, right, bottom))
    windows(board, left + 0.01, top + (bottom - top) * 0.1, right - 0.01, top + (bottom - top) * 0.55, teeth * 2, 1)
    door(board, left + (right - left) * board.between(0.3, 0.7), bottom, (right - left) * 0.16, (bottom - top) * 0.38)


def chimney(board: Board, x: float, bottom: float, width: float, top: float) -> None:
    """A tall stack with a rim and drifting smoke."""
    board.add(
        "wall",
        np.array([(x - width * 0.35, top), (x + width * 0.35, top), (x + width / 2, bottom), (x - width / 2, bottom)]),
    )
    board.add("stone", box(x - width * 0.48, top - width * 0.15, x + width * 0.48, top + width * 0.25))
