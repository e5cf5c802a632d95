"""Strokes to lines one pixel wide. Masks are (H, W) bool; knows nothing of pictures."""

from functools import cache

import numpy as np

# Weights that turn a pixel's eight neighbours into one byte: north is bit 0, then clockwise.
_NEIGHBOURS = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], np.float32)


def thin(mask: np.ndarray) -> np.ndarray:
    """Return the centre lines of a mask, (H, W) bool, connected as the mask is.

    Parallel thinning A1 of Z. Guo and R. W. Hall, "Parallel thinning with two-subiteration algorithms",
    Communications of the ACM 32 (1989), by a look-up in the 256 neighbourhoods.
    """
    import cv2

    lines = mask.astype(np.uint8)
    tables = _deletable()
    changed = True
    while changed:
        changed = False
        for table in tables:
            gone = np.asarray(cv2.LUT(neighbourhoods(lines), table), np.uint8) & lines
            if gone.any():
                lines ^= gone
                changed = True
    return lines > 0


def neighbourhoods(mask: np.ndarray) -> np.ndarray:
    """Return each pixel's neighbours in a mask of 0 and 1 as a byte, (H, W) uint8."""
    import cv2

    return cv2.filter2D(mask.view(np.uint8), -1, _NEIGHBOURS, borderType=cv2.BORDER_CONSTANT)


def prune(lines: np.ndarray, shortest: np.ndarray) -> np.ndarray:
    """Return centre lines without the spurs that thinning leaves where a stroke is uneven or ends bluntly.

    A spur is a branch from a crossing to a loose end of at most as many pixels as `shortest`, (H, W) float, says
    at its place. Free-standing lines stay, however short.
    """
    import cv2

    count = cv2.LUT(neighbourhoods(lines), _bit_counts())
    crossings = cv2.dilate((lines & (count > 2)).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    number, components = cv2.connectedComponents((lines & ~crossings).astype(np.uint8), connectivity=8)
    labels = np.asarray(components, np.int32)
    length = np.bincount(labels.ravel(), minlength=number)
    loose = np.bincount(labels[lines & (count == 1)], minlength=number) > 0
    near_crossing = cv2.dilate((lines & crossings).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    attached = np.bincount(labels[near_crossing & lines], minlength=number) > 0
    allowed = np.bincount(labels.ravel(), shortest.ravel().astype(np.float64), number) / np.maximum(length, 1)
    spur = loose & attached & (length <= allowed)
    spur[0] = False
    rest = lines & ~spur[labels]
    for _ in range(3):  # what is left of a spur lies among its crossing's pixels
        stub = rest & (cv2.LUT(neighbourhoods(rest), _bit_counts()) == 1) & (count != 1)
        rest = rest & ~stub
    return thin(rest)


@cache
def _bit_counts() -> np.ndarray:
    return np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1).astype(np.uint8)


@cache
def _deletable() -> tuple[np.ndarray, np.ndarray]:
    """Return what each half of a round deletes, 1 for every neighbourhood that goes."""
    north, north_east, east, south_east, south, south_west, west, north_west = (
        (np.arange(256) >> bit & 1).astype(bool) for bit in range(8)
    )
    crossings = (
        (~north & (north_east | east)).astype(int)
        + (~east & (south_east | south))
        + (~south & (south_west | west))
        + (~west & (north_west | north))
    )
    straight = sum(
        (one | two).astype(int)
        for one, two in zip((north_west, north_east, south_east, south_west), (north, east, south, west), strict=True)
    )
    turned = sum(
        (one | two).astype(int)
        for one, two in zip((north, east, south, west), (north_east, south_east, south_west, north_west), strict=True)
    )
    fewest = np.minimum(straight, turned)
    goes = (crossings == 1) & (fewest >= 2) & (fewest <= 3)
    first = goes & ~((north | north_east | ~south_east) & east)
    second = goes & ~((south | south_west | ~north_west) & west)
    return first.astype(np.uint8), second.astype(np.uint8)
