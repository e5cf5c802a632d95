import cv2
import numpy as np
import pytest
from style_pack.generation.canny import edges_from_sketch, fit_to, looks_like_edges

KEEP = (0, 0)


def drawing(width: int = 128, height: int = 96, ink: int = 0, paper: int = 255) -> np.ndarray:
    picture = np.full((height, width, 3), paper, np.uint8)
    cv2.rectangle(picture, (20, 20), (width - 30, height - 20), (ink, ink, ink), 3)
    return picture


@pytest.mark.parametrize(("low", "high"), [(50, 150), (10, 20), (200, 255)])
def test_mode_canny_is_opencvs_canny_on_the_grey_picture(low: int, high: int) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    edges, _ = edges_from_sketch(colours, "canny", low, high, KEEP, "pad")
    expected = cv2.Canny(cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY), low, high)
    assert np.array_equal(edges, expected)


def test_auto_finds_pencil_that_plain_canny_loses() -> None:
    pencil = drawing(ink=230)
    with pytest.raises(ValueError, match="no edge was found"):
        edges_from_sketch(pencil, "canny", 50, 150, KEEP, "pad")
    faint, report = edges_from_sketch(pencil, "auto", 50, 150, KEEP, "pad")
    assert np.array_equal(faint, edges_from_sketch(drawing(), "canny", 50, 150, KEEP, "pad")[0])
    assert "stretching grey values 230-255" in report


def test_auto_takes_finished_edges_as_they_are() -> None:
    finished = np.repeat(cv2.Canny(drawing()[..., 0], 50, 150)[..., None], 3, axis=2)
    edges, report = edges_from_sketch(finished, "auto", 50, 150, KEEP, "pad")
    assert np.array_equal(edges, finished[..., 0])
    assert "finished edges" in report


def test_a_white_drawing_on_black_with_thick_strokes_is_still_a_drawing() -> None:
    assert not looks_like_edges(np.full((64, 64), 255, np.uint8))
    assert not looks_like_edges(np.zeros((64, 64), np.uint8))


@pytest.mark.parametrize(
    ("asked", "expected"), [((0, 0), (128, 96)), ((256, 0), (256, 192)), ((0, 192), (256, 192)), ((131, 70), (128, 72))]
)
def test_size_follows_the_widgets_then_the_sketch(asked: tuple[int, int], expected: tuple[int, int]) -> None:
    edges, _ = edges_from_sketch(drawing(), "canny", 50, 150, asked, "pad")
    assert edges.shape[::-1] == expected


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


@pytest.mark.parametrize("side", [8, 56, 8192])
def test_impossible_sizes_are_refused(side: int) -> None:
    with pytest.raises(ValueError, match=f"a picture of {side}x{side} can't be made: each side must be 64 to 2048"):
        edges_from_sketch(np.zeros((side, side, 3), np.uint8), "canny", 50, 150, KEEP, "pad")


def test_an_empty_page_says_what_may_be_wrong() -> None:
    with pytest.raises(ValueError, match="link LoadImage's MASK output to mask"):
        edges_from_sketch(np.zeros((64, 64, 3), np.uint8), "canny", 50, 150, KEEP, "pad")
