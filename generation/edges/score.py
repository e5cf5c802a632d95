"""How well a picture keeps the edges that it was to follow. Pure functions on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

# The thresholds of CannyFromSketch, and the tolerance of the Berkeley benchmark, as a share of the diagonal
# (maxDist, https://doi.org/10.1109/TPAMI.2004.1273918): 2 pixels at 256x256, 5 at 512x512.
_LOW_THRESHOLD, _HIGH_THRESHOLD = 50, 150
_TOLERANCE = 0.0075


@dataclass(frozen=True)
class EdgeScore:
    """All but `tolerance` (pixels) are 0..1. f1 = 2 * precision * recall / (precision + recall)."""

    f1: float
    precision: float
    recall: float
    tolerance: int


def score_edges(picture: np.ndarray, edges: np.ndarray) -> EdgeScore:
    """Compare the Canny edges of a picture with edges that were given.

    picture: (H, W, 3) uint8 RGB, brought to the size of the edges when it has another. edges: (h, w) uint8, white
    lines on black. precision is the share of the picture's edge pixels that lie within the tolerance of a given one,
    recall the share of the given ones that lie within the tolerance of one of the picture's. No edge on one side is
    0, on both sides 1.
    """
    import cv2

    height, width = edges.shape
    if picture.shape[:2] != edges.shape:
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    detected = cv2.Canny(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), _LOW_THRESHOLD, _HIGH_THRESHOLD) > 0
    wanted = edges > 127
    tolerance = max(1, int(_TOLERANCE * np.hypot(height, width)))
    if not detected.any() and not wanted.any():
        return EdgeScore(1.0, 1.0, 1.0, tolerance)
    precision, recall = _share_near(detected, wanted, tolerance), _share_near(wanted, detected, tolerance)
    total = precision + recall
    return EdgeScore(2 * precision * recall / total if total else 0.0, precision, recall, tolerance)


def mean_edge_score(pictures: Sequence[np.ndarray], edges: Sequence[np.ndarray]) -> dict[str, float]:
    """Return the means of `score_edges` over some pictures, as `score` and by name. edges: one for all, or one each."""
    if len(edges) not in (1, len(pictures)):
        raise ValueError(
            f"edges holds {len(edges)} pictures and image {len(pictures)}: link one, or one for each image."
        )
    lines = edges if len(edges) == len(pictures) else list(edges) * len(pictures)
    scores = [score_edges(picture, line) for picture, line in zip(pictures, lines, strict=True)]
    means = {name: fmean(getattr(one, name) for one in scores) for name in ("f1", "precision", "recall")}
    return {"score": means["f1"], **means, "tolerance_pixels": scores[0].tolerance}


def _share_near(points: np.ndarray, others: np.ndarray, tolerance: int) -> float:
    """Return the share of `points` with one of `others` within `tolerance` pixels; 0 where there are none."""
    import cv2

    if not points.any():
        return 0.0
    distance = cv2.distanceTransform((~others).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float((distance[points] <= tolerance).mean()) if others.any() else 0.0
