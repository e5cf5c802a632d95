"""Looks at a sketch, tells what kind it is, and finds its lines. Pure functions on arrays; knows no output sizes."""

from dataclasses import dataclass

import numpy as np

from .paper import Paper, read_paper
from .strokes import Ink, centre_lines, find_strokes, read_ink

# A finished edge map is this much black, and its lines are so thin that few of their pixels have no black neighbour.
_EDGE_MAP_BLACK, _EDGE_MAP_INNER = 0.6, 0.1
_MOSTLY_SOLID = 0.3  # share of solid areas from which a picture on plain ground is no line drawing
_SHADED = 0.08  # fall-off of the light, as a share, that no scanner and no drawing program leaves
_FAINT, _COLOURED = 0.75, 0.15  # ink weaker than this is pencil, unless its channels differ by this


@dataclass(frozen=True)
class Sketch:
    """What a picture is and its lines, (H, W) uint8 of 0 and 255, with a paragraph in plain words."""

    kind: str
    lines: np.ndarray
    report: str


def read_sketch(picture: np.ndarray, transparent: bool, drawn: bool = False) -> Sketch:
    """Recognise a picture, (H, W, 3) uint8 RGB, and find its lines, each one pixel wide.

    transparent: it was laid on a plain ground. drawn: it is a drawing, whatever it looks like. The kinds: `drawing`,
    `pencil`, `photographed`, `white on black`, `transparent`, and `picture`, which has colours but no strokes.
    """
    paper = read_paper(picture)
    if not (paper.even or drawn):
        return _read_colours(picture)
    ink = read_ink(picture, paper)
    lines, width, solid = centre_lines(find_strokes(ink))
    if solid > _MOSTLY_SOLID and not drawn:
        return _read_colours(picture)
    kind = _kind_of(paper, ink, transparent)
    return Sketch(kind, lines * np.uint8(255), _describe(kind, paper, ink, width, solid))


def looks_like_edges(picture: np.ndarray) -> bool:
    """Tell finished edges, thin white lines on black, from a drawing. picture: (H, W, 3) uint8 RGB."""
    import cv2

    grey = _grey(picture)
    lit = grey > 96
    if not lit.any() or np.mean(grey < 32) < _EDGE_MAP_BLACK or lit.mean() > 1 - _EDGE_MAP_BLACK:
        return False
    inner = cv2.erode(lit.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    coloured = np.ptp(picture[lit].astype(np.int16), axis=1).mean() > 32
    return bool(not coloured and inner.sum() <= _EDGE_MAP_INNER * lit.sum())


def overlay(picture: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """Return the picture, (H, W, 3) uint8 RGB, paled, with the lines, (H, W) uint8, on top in red."""
    import cv2

    width = max(1, round(max(lines.shape) / 400))
    shown = cv2.dilate(lines, np.ones((width, width), np.uint8))[..., None] / 255.0
    pale = 0.4 * picture + 0.6 * 200
    return (pale * (1 - shown) + np.array([220, 20, 60]) * shown).round().astype(np.uint8)


def _kind_of(paper: Paper, ink: Ink, transparent: bool) -> str:
    if transparent:
        return "transparent"
    if paper.sheet is not None or paper.shade > _SHADED:
        return "photographed"
    if paper.inverted:
        return "white on black"
    return "pencil" if ink.strength < _FAINT and ink.colour < _COLOURED else "drawing"


_NAMES = {
    "transparent": "A drawing on a transparent ground",
    "photographed": "A photograph of a drawing",
    "white on black": "Light lines on a dark ground",
    "pencil": "A pencil drawing",
    "drawing": "A drawing",
}


def _describe(kind: str, paper: Paper, ink: Ink, width: float, solid: float) -> str:
    done = [_NAMES[kind]]
    if paper.sheet is not None:
        done.append("the desk around the sheet left out")
    if paper.shade > _SHADED:
        done.append(f"uneven light evened out ({paper.shade:.0%} darker at its darkest)")
    done.append(f"strokes of about {width:.0f} px thinned to one line")
    if solid > 0:
        done.append(f"solid areas ({solid:.1%} of the picture) outlined")
    grain = f", grain of the paper {ink.grain:.1%}" if ink.grain >= 0.001 else ""
    levels = f"Marks count from {ink.start:.0%} of black and are followed down to {ink.follow:.0%}"
    return f"{done[0]}: {', '.join(done[1:])}. {levels} (strong ones have {ink.strength:.0%}{grain})."


def _read_colours(picture: np.ndarray) -> Sketch:
    """Find where colours meet: Canny on the strongest channel's slope, at thresholds from the picture's own slopes."""
    import cv2

    smooth = cv2.GaussianBlur(cv2.bilateralFilter(picture, 5, 40, 2), (0, 0), 0.8)
    slopes = [cv2.Sobel(smooth, cv2.CV_16S, *way) for way in ((1, 0), (0, 1))]
    strength = np.hypot(slopes[0].astype(np.float32), slopes[1])
    strongest = strength.argmax(axis=2)[..., None]
    across, down = (np.ascontiguousarray(np.take_along_axis(slope, strongest, 2)[..., 0]) for slope in slopes)
    steep = np.clip(strength.max(axis=2) / 4, 0, 255).astype(np.uint8)
    slopes_there = steep[steep > 2]
    otsu = cv2.threshold(slopes_there, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[0] if slopes_there.size else 0
    high = int(np.clip(4 * otsu, 40, 200))
    low = round(0.4 * high)
    edges = cv2.Canny(across, down, low, high, L2gradient=True)
    report = f"A picture with colours, not strokes: Canny at {low}/{high}, chosen from its contrasts."
    return Sketch("picture", edges, report)


def _grey(picture: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
