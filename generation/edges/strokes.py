"""Strokes on paper to lines one pixel wide. Pure functions on arrays; knows no modes and no sizes to come."""

from dataclasses import dataclass

import numpy as np

from .paper import Paper
from .thinning import prune, thin

# Shares of the light that the paper gives back. Weaker marks than the first are not looked for; marks weaker than the
# second share of the drawing's own strong marks are smudges, and a stroke is followed down to the third.
_WEAKEST_MARK = 0.012
_START, _FOLLOW = 0.25, 0.12
# In standard deviations of the paper's grain.
_START_NOISE, _FOLLOW_NOISE = 5.0, 2.8
_COLOUR_WEIGHT = 0.75  # of a mark that one channel alone sees: yellow on white
# Wider than this many usual strokes, and than this share of the picture's longer side, is a solid area.
_SOLID_STROKES, _SOLID_SHARE = 3.0, 0.012


@dataclass(frozen=True)
class Ink:
    """How much light every mark takes, `amount`, (H, W) float32 0..1.

    On the same scale: the grain of the paper (a standard deviation), the strength of the strong marks, how far their
    channels differ, `start`, from which a mark counts, and `follow`, down to which it is followed.
    """

    amount: np.ndarray
    grain: float
    strength: float
    colour: float
    start: float
    follow: float


def read_ink(picture: np.ndarray, paper: Paper) -> Ink:
    """Compare a picture, (H, W, 3) uint8 RGB, with its paper."""
    import cv2

    channels = 1 - (255 - picture if paper.inverted else picture).astype(np.float32) / paper.light
    luma = channels @ np.array([0.299, 0.587, 0.114], np.float32)
    sheet = np.ones(luma.shape, bool) if paper.sheet is None else paper.sheet
    grain = _level(luma, sheet)[1]
    amount = np.maximum(luma, _COLOUR_WEIGHT * channels.max(axis=2))
    if grain > 0.004:
        amount = cv2.GaussianBlur(amount, (0, 0), 1.0 if grain < 0.03 else 1.5)
    base, grain = _level(amount, sheet)
    amount = np.clip(amount - base, 0, 1) * sheet
    marked = amount > max(_WEAKEST_MARK, _START_NOISE * grain)
    strength = float(np.percentile(amount[marked], 80)) if marked.any() else 0.0
    colour = float(np.median(np.ptp(channels[marked], axis=1))) if marked.any() else 0.0
    start = max(_WEAKEST_MARK, _START * strength, _START_NOISE * grain)
    follow = max(0.7 * _WEAKEST_MARK, _FOLLOW * strength, _FOLLOW_NOISE * grain)
    return Ink(amount, grain, strength, colour, start, follow)


def find_strokes(ink: Ink) -> np.ndarray:
    """Return the strokes' whole width, (H, W) bool, without grain and specks."""
    import cv2

    strongest = cv2.dilate(ink.amount, np.ones((5, 5), np.uint8))
    mask = (ink.amount > ink.follow) & (ink.amount > 0.5 * strongest)
    number, labels, stats = _pieces(mask, 8)
    strong = np.zeros(number, bool)
    strong[np.unique(labels[ink.amount > ink.start])] = True
    extent = np.maximum(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    smallest = 1 if ink.grain < 0.004 else max(6, round(0.012 * max(mask.shape)))
    strong &= extent >= smallest
    strong[0] = False
    return _fill_pinholes(strong[labels] & mask)


def centre_lines(strokes: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return the lines, (H, W) bool, the usual stroke's width in pixels, and the share of the picture that is solid.

    A stroke becomes its centre line, a solid area its outline.
    """
    import cv2

    depth = cv2.distanceTransform(np.pad(strokes, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    usual = 2 * float(np.median(depth[strokes])) if strokes.any() else 0.0  # half of the width
    limit = max(_SOLID_STROKES * usual, _SOLID_SHARE * max(strokes.shape), 4.0)
    core = depth > limit
    lines = strokes
    if core.any():
        away = cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, 3)
        solid = strokes & (away <= limit + 1)
        outline = solid & ~(cv2.erode(solid.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1) > 0)
        lines = (strokes & ~solid) | outline
    else:
        solid = core
    lines = thin(lines)
    reach = 1.5 * cv2.dilate(depth, np.ones((3, 3), np.uint8)) + 2
    width = 2 * float(np.median(depth[lines & ~solid])) - 1 if (lines & ~solid).any() else 0.0
    return prune(lines, reach), max(1.0, width), float(solid.mean())


def _level(amount: np.ndarray, sheet: np.ndarray) -> tuple[float, float]:
    """Return where bare paper lies on the scale of ink, and its standard deviation, from the side away from ink."""
    import cv2

    values = np.clip(amount[sheet], -0.32, 1)
    counts, edges = np.histogram(values, bins=528, range=(-0.32, 1))  # bins of 0.0025
    # Blurred by 0.01, so that grain which is clipped at white does not count as the paper.
    peak = edges[np.argmax(cv2.GaussianBlur(counts[None].astype(np.float32), (0, 0), 4)[0])]
    near = values[np.abs(values - peak) <= 0.01]
    mode = float(np.median(near if near.size else values))
    lighter = values[values < mode]
    return mode, float(np.sqrt(np.mean((lighter - mode) ** 2))) if lighter.size > 0.02 * values.size else 0.0


def _pieces(mask: np.ndarray, connectivity: int) -> tuple[int, np.ndarray, np.ndarray]:
    """Return how many connected pieces there are, the ground among them, each pixel's number, OpenCV's statistics."""
    import cv2

    number, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=connectivity)
    return number, np.asarray(labels), np.asarray(stats)


def _fill_pinholes(mask: np.ndarray) -> np.ndarray:
    """Close holes smaller than a stroke is wide: between two goes of a pencil, in the grain of the paper."""
    import cv2

    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    width = 4 * float(np.median(depth[mask])) if mask.any() else 0.0
    number, labels, stats = _pieces(~mask, 4)
    hole = stats[:, cv2.CC_STAT_AREA] <= 0.2 * width * width
    hole[0] = False
    return mask | hole[labels]
