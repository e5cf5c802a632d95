"""Pages of every kind with a known line: a square of 80 pixels a side around the middle."""

import cv2
import numpy as np
import pytest
from style_pack.generation.edges.sketch import Sketch, looks_like_edges, read_sketch

SIZE = 256
CORNERS = (88, 168)


def square(width: int, ink: float = 0, paper: float = 255) -> np.ndarray:
    page = np.full((SIZE, SIZE), paper, np.float32)
    cv2.rectangle(page, (CORNERS[0],) * 2, (CORNERS[1],) * 2, ink, width)
    return page


def as_rgb(page: np.ndarray) -> np.ndarray:
    page = np.clip(page, 0, 255).astype(np.uint8)
    return page if page.ndim == 3 else np.repeat(page[..., None], 3, axis=2)


def photographed(desk: bool = False) -> np.ndarray:
    x, y = np.meshgrid(np.linspace(0, 1, SIZE), np.linspace(0, 1, SIZE))
    page = cv2.GaussianBlur(square(3, ink=90, paper=235), (0, 0), 0.8)
    if desk:
        page[:24] = page[-24:] = 70
        page[:, :24] = page[:, -24:] = 70
    page = page * (1.05 - 0.4 * x - 0.1 * y)
    return as_rgb(page + np.random.default_rng(0).normal(0, 3, page.shape))


def distance_to_square(lines: np.ndarray) -> tuple[float, float]:
    """The largest distance of a found pixel from the square's line, and the other way round, in pixels."""
    wanted = square(1) == 0
    far = [cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5) for mask in (wanted, lines > 0)]
    return float(far[0][lines > 0].max()), float(far[1][wanted].max())


PAGES = {
    "drawing": [as_rgb(square(width)) for width in (1, 2, 5, 9, 13)],
    "pencil": [as_rgb(square(3, ink=grey)) for grey in (150, 200, 230, 240)],
    "white on black": [255 - as_rgb(square(width)) for width in (4, 8)],
    "photographed": [photographed(), photographed(desk=True)],
    "transparent": [as_rgb(square(4))],
}


@pytest.mark.parametrize(("kind", "number"), [(kind, n) for kind, pages in PAGES.items() for n in range(len(pages))])
def test_every_kind_is_recognised_and_its_strokes_become_one_closed_line(kind: str, number: int) -> None:
    sketch = read_sketch(PAGES[kind][number], transparent=kind == "transparent")
    assert sketch.kind == kind
    found, missed = distance_to_square(sketch.lines)
    assert found <= 3
    # Thinning cuts the corners of wide strokes by up to half a stroke.
    assert missed <= 5
    assert cv2.connectedComponents((sketch.lines > 0).astype(np.uint8))[0] - 1 == 1
    assert cv2.connectedComponents((sketch.lines == 0).astype(np.uint8), connectivity=4)[0] - 1 == 2
    assert np.count_nonzero(sketch.lines) <= 4 * 80


def test_coloured_markers_count_by_their_strongest_channel() -> None:
    page = np.full((SIZE, SIZE, 3), 255, np.uint8)
    cv2.rectangle(page, (CORNERS[0],) * 2, (CORNERS[1],) * 2, (255, 240, 60), 5)
    sketch = read_sketch(page, transparent=False)
    assert sketch.kind == "drawing"
    assert max(distance_to_square(sketch.lines)) <= 3


def test_a_picture_of_colours_gives_the_borders_between_them() -> None:
    page = np.full((SIZE, SIZE, 3), (40, 90, 160), np.uint8)
    page[128:] = (150, 120, 60)
    page[CORNERS[0] : CORNERS[1], CORNERS[0] : CORNERS[1]] = (200, 40, 40)
    sketch = read_sketch(page, transparent=False)
    assert sketch.kind == "picture"
    inside = sketch.lines.copy()
    inside[125:132] = 0
    assert distance_to_square(inside)[0] <= 2
    assert (sketch.lines[126:131, 4:80] > 0).any(axis=0).all()


def test_a_solid_area_gets_its_outline() -> None:
    page = as_rgb(square(3))
    page[110:146, 110:146] = 0
    lines = read_sketch(page, transparent=False).lines[100:156, 100:156] > 0
    rows, columns = np.nonzero(lines)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 45, 10, 45)
    assert not lines[14:42, 14:42].any()


def test_the_desk_and_the_border_of_the_sheet_are_left_out() -> None:
    sketch: Sketch = read_sketch(photographed(desk=True), transparent=False)
    assert "the desk around the sheet left out" in sketch.report
    outside = sketch.lines.copy()
    outside[80:176, 80:176] = 0
    assert not outside.any()


def test_rough_paper_leaves_no_specks() -> None:
    page = square(3, ink=120) + np.random.default_rng(1).normal(-8, 6, (SIZE, SIZE))
    lines = read_sketch(as_rgb(page), transparent=False).lines
    assert distance_to_square(lines)[0] <= 3


def test_thin_lines_on_black_are_finished_edges_and_thick_ones_a_drawing() -> None:
    assert looks_like_edges(as_rgb(cv2.Canny(as_rgb(square(5))[..., 0], 50, 150)))
    assert looks_like_edges(255 - as_rgb(square(1)))
    assert not looks_like_edges(255 - as_rgb(square(5)))
    assert not looks_like_edges(np.full((64, 64, 3), 255, np.uint8))
    assert not looks_like_edges(np.zeros((64, 64, 3), np.uint8))
