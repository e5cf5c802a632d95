import cv2
import numpy as np
import pytest
from style_pack.generation.edges.canny import Edges, edges_from_sketch, fit_to

KEEP = (0, 0)
THRESHOLDS = (50, 150)


def drawing(width: int = 128, height: int = 96, ink: int = 0, paper: int = 255) -> np.ndarray:
    picture = np.full((height, width, 3), paper, np.uint8)
    cv2.rectangle(picture, (20, 20), (width - 30, height - 20), (ink, ink, ink), 3)
    return picture


def edge_map(width: int = 128, height: int = 96) -> np.ndarray:
    return np.repeat(cv2.Canny(drawing(width, height)[..., 0], 50, 150)[..., None], 3, axis=2)


def find(picture: np.ndarray, mode: str = "auto", size: tuple[int, int] = KEEP, fit: str = "pad") -> Edges:
    return edges_from_sketch(picture, mode, THRESHOLDS, size, fit)


@pytest.mark.parametrize(("low", "high"), [(50, 150), (10, 20), (200, 255)])
def test_mode_canny_is_opencvs_canny_on_the_grey_picture(low: int, high: int) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    edges = edges_from_sketch(colours, "canny", (low, high), KEEP, "pad")
    assert np.array_equal(edges.lines, cv2.Canny(cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY), low, high))
    assert f"Canny at {low}/{high}" in edges.report


def test_auto_finds_pencil_that_plain_canny_loses() -> None:
    with pytest.raises(ValueError, match="no line was found in the 128x96 sketch by Canny at thresholds 50 and 150"):
        find(drawing(ink=230), "canny")
    faint = find(drawing(ink=230))
    assert faint.kind == "pencil"
    assert np.array_equal(faint.lines, find(drawing()).lines)


@pytest.mark.parametrize("mode", ["auto", "edge_map"])
def test_finished_edges_are_taken_as_they_are(mode: str) -> None:
    edges = find(edge_map(), mode)
    assert np.array_equal(edges.lines, edge_map()[..., 0])
    assert edges.kind == "edge map"
    assert "taken as they are" in edges.report


@pytest.mark.parametrize("size", [(96, 0), (104, 0), (320, 0), (1024, 0)])
def test_finished_edges_keep_their_lines_at_another_size(size: tuple[int, int]) -> None:
    lines = find(edge_map(), size=size).lines
    number, labels = cv2.connectedComponents((lines > 0).astype(np.uint8))
    holes = cv2.connectedComponents((lines == 0).astype(np.uint8), connectivity=4)[0] - 1
    # The frame stays closed: inside and outside, and the gap of the doubled line where there is room for it.
    assert holes >= 2
    assert number >= 2
    assert set(np.unique(lines)) == {0, 255}
    solid = cv2.erode((lines > 0).astype(np.uint8), np.ones((2, 2), np.uint8))
    assert solid.sum() < 0.1 * (lines > 0).sum()


def test_a_soft_edge_map_keeps_its_greys_when_it_is_taken_by_hand() -> None:
    soft = cv2.GaussianBlur(edge_map(), (0, 0), 2)
    assert np.array_equal(find(soft, "edge_map").lines, soft[..., 0])


@pytest.mark.parametrize(
    ("asked", "expected"), [((0, 0), (128, 96)), ((256, 0), (256, 192)), ((0, 192), (256, 192)), ((131, 70), (128, 72))]
)
@pytest.mark.parametrize("mode", ["auto", "canny", "edge_map"])
def test_size_follows_the_widgets_then_the_sketch(asked: tuple[int, int], expected: tuple[int, int], mode: str) -> None:
    edges = find(drawing(), mode, asked)
    assert edges.lines.shape[::-1] == expected
    assert edges.shown.shape == (*edges.lines.shape, 3)
    assert edges.report.startswith(f"{expected[0]}x{expected[1]}.")


def test_what_touches_the_border_is_not_carried_into_the_padding() -> None:
    horizon = np.full((64, 128, 3), 255, np.uint8)
    horizon[:, 60:63] = 0
    lines = find(horizon, size=(128, 128)).lines
    assert lines[:32].sum() == lines[96:].sum() == 0
    assert (lines[34:94, 61] == 255).all()


@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_lines_lie_where_the_fitted_drawing_has_them(fit: str) -> None:
    lines = find(drawing(192, 96), size=(96, 96), fit=fit).lines
    fitted = fit_to(drawing(192, 96), 96, 96, fit)[..., 0]
    assert (fitted[lines > 0] < 160).all()


def test_pad_keeps_the_drawing_whole_and_carries_the_paper_on() -> None:
    fitted = fit_to(drawing(128, 64), 128, 128, "pad")
    assert fitted.shape == (128, 128, 3)
    assert np.array_equal(fitted[32:96], drawing(128, 64))
    assert (fitted[:32] == 255).all()
    assert (fitted[96:] == 255).all()


def test_crop_cuts_the_middle_out() -> None:
    wide = np.zeros((64, 128, 3), np.uint8)
    wide[:, 32:96] = 200
    assert np.array_equal(fit_to(wide, 64, 64, "crop"), np.full((64, 64, 3), 200, np.uint8))


def test_stretch_bends() -> None:
    half = np.zeros((64, 128, 3), np.uint8)
    half[:, 64:] = 255
    squeezed = fit_to(half, 64, 64, "stretch")
    assert (squeezed[:, :31] == 0).all()
    assert (squeezed[:, 33:] == 255).all()


@pytest.mark.parametrize(("side", "size"), [(1, KEEP), (8, KEEP), (56, KEEP), (128, (8192, 8192)), (8192, (0, 4096))])
def test_impossible_sizes_are_refused(side: int, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="can't be made: each side must be 64 to 2048"):
        find(np.zeros((side, side, 3), np.uint8), size=size)


@pytest.mark.parametrize(
    ("mode", "value"), [(m, v) for m in ("auto", "canny", "lineart") for v in (0, 128, 255)] + [("edge_map", 0)]
)
def test_an_empty_page_says_what_may_be_wrong(mode: str, value: int) -> None:
    with pytest.raises(ValueError, match="link LoadImage's MASK output to mask"):
        find(np.full((64, 64, 3), value, np.uint8), mode)


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (8000, 200), (200, 8000), (3, 3)])
def test_odd_shapes_are_fitted_or_refused_in_a_sentence(shape: tuple[int, int]) -> None:
    page = np.full((*shape, 3), 255, np.uint8)
    page[shape[0] // 2, :] = 0
    for mode in ("auto", "lineart", "edge_map"):
        try:
            assert find(page, mode, (128, 128)).lines.shape == (128, 128)
        except ValueError as error:
            assert "no line was found in the 128x128 sketch" in str(error)


@pytest.mark.parametrize(("width", "height", "fitted"), [(4032, 3024, (2048, 1536)), (1200, 4000, (616, 2048))])
def test_a_photo_of_a_phone_is_made_smaller_and_says_so(width: int, height: int, fitted: tuple[int, int]) -> None:
    page = cv2.rectangle(np.full((height, width, 3), 255, np.uint8), (300, 300), (900, 2400), (0, 0, 0), 30)
    found = find(page, "canny")
    assert found.lines.shape == fitted[::-1]
    assert f"The picture has {width}x{height}: it was made smaller, to 2048 at most." in found.report
    assert "made smaller" not in find(drawing()).report
