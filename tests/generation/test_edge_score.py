"""F1 of edges against values that can be worked out by hand."""

import cv2
import numpy as np
import pytest
from style_pack.generation.edges.score import score_edges


def square(size: int = 256, at: int = 64, side: int = 128) -> np.ndarray:
    picture = np.full((size, size, 3), 255, np.uint8)
    picture[at : at + side, at : at + side] = 0
    return picture


def canny(picture: np.ndarray) -> np.ndarray:
    return cv2.Canny(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), 50, 150)


def test_a_picture_keeps_its_own_edges() -> None:
    result = score_edges(square(), canny(square()))
    assert (result.f1, result.precision, result.recall) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(("size", "tolerance"), [(256, 2), (512, 5), (32, 1)])
def test_the_tolerance_is_a_share_of_the_diagonal(size: int, tolerance: int) -> None:
    assert score_edges(square(size, size // 4, size // 2), np.zeros((size, size), np.uint8)).tolerance == tolerance


def test_a_line_within_the_tolerance_counts_and_one_beyond_does_not() -> None:
    edges = np.zeros((256, 256), np.uint8)
    edges[100, 20:236] = 255
    for shift, kept in ((2, 1.0), (8, 0.0)):
        picture = np.full((256, 256, 3), 255, np.uint8)
        picture[100 + shift :, :] = 0  # one edge, from side to side
        result = score_edges(picture, edges)
        assert result.recall == kept


def test_half_of_the_lines_is_recall_of_a_half() -> None:
    edges = np.zeros((256, 256), np.uint8)
    edges[60, :] = edges[200, :] = 255
    picture = np.full((256, 256, 3), 255, np.uint8)
    picture[60:, :] = 0
    result = score_edges(picture, edges)
    assert result.recall == 0.5
    assert result.precision == 1.0
    assert result.f1 == pytest.approx(2 / 3)


def test_without_edges_on_one_side_it_is_nothing_and_on_both_all() -> None:
    blank, none = np.full((64, 64, 3), 128, np.uint8), np.zeros((64, 64), np.uint8)
    assert score_edges(blank, none).f1 == 1.0
    assert score_edges(square(64, 16, 32), none).f1 == 0.0
    assert score_edges(blank, canny(square(64, 16, 32))).f1 == 0.0


def test_a_picture_of_another_size_is_brought_to_the_edges() -> None:
    assert score_edges(square(512, 128, 256), canny(square())).f1 == 1.0
