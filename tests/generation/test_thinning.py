"""Thinning against lines and shapes whose centre lines can be worked out by hand."""

import cv2
import numpy as np
import pytest
from style_pack.generation.edges.thinning import prune, thin


def parts(mask: np.ndarray) -> tuple[int, int]:
    """How many connected pieces a mask has, and how many its background."""
    return (
        cv2.connectedComponents(mask.astype(np.uint8))[0] - 1,
        cv2.connectedComponents((~mask).astype(np.uint8), connectivity=4)[0] - 1,
    )


@pytest.mark.parametrize("width", range(1, 17))
@pytest.mark.parametrize("upright", [False, True])
def test_a_stroke_becomes_its_middle(width: int, upright: bool) -> None:
    mask = np.zeros((64, 64), bool)
    mask[20 : 20 + width, 8:56] = True
    lines = thin(mask.T if upright else mask)
    rows, columns = np.nonzero(lines.T if upright else lines)
    inner = (columns > 8 + width) & (columns < 55 - width)
    assert np.abs(rows[inner] - (20 + (width - 1) / 2)).max() <= 1
    assert np.array_equal(np.unique(columns[inner]), np.sort(columns[inner]))  # one pixel for each column


def test_closed_shapes_stay_closed_and_nothing_falls_apart() -> None:
    mask = np.zeros((256, 256), np.uint8)
    rng = np.random.default_rng(3)
    for width in rng.integers(1, 12, 25):
        start, end = rng.integers(16, 240, (2, 2)).tolist()
        cv2.line(mask, start, end, 1, int(width))
    assert parts(thin(mask > 0)) == parts(mask > 0)


def test_lines_of_one_pixel_are_left_alone() -> None:
    line = np.eye(40, dtype=bool)
    assert np.array_equal(thin(line), line)


def test_spurs_go_and_free_ends_stay() -> None:
    lines = np.zeros((40, 60), bool)
    lines[20, 5:55] = True
    spur = lines.copy()
    spur[16:20, 30] = True
    assert np.array_equal(prune(spur, np.full(lines.shape, 8.0)), lines)
    assert np.array_equal(prune(spur, np.full(lines.shape, 1.0)), spur)
    short = np.zeros((40, 60), bool)
    short[10, 10:14] = True
    assert np.array_equal(prune(short, np.full(lines.shape, 8.0)), short)
