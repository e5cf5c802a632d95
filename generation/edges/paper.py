"""What is paper and what is ink: light, polarity, the sheet on a desk. Pure functions on arrays."""

from dataclasses import dataclass

import numpy as np

# Paper is looked at in a copy of this many pixels on the longer side, where strokes are at most a few pixels wide.
_SMALL = 160
_STROKE, _SPREAD = 11, 21  # pixels of that copy: wider than any stroke; wide enough to tell paper from solid areas
_DARKEST_PAPER = 0.45  # of its brightest place: beyond that it is a solid area, not shade
_PAPER_TOLERANCE = 0.12  # how far from an even light (a quadratic surface) paper may lie, as a share of its brightness


_EVEN = 0.93  # share of the ground that must be so, for it to be paper and not a picture


@dataclass(frozen=True)
class Paper:
    """What was found out about the ground that a picture is drawn on.

    even: the ground has one colour under even light, as paper has; else it is a picture of many colours.
    inverted: light marks on a dark ground.
    sheet: (H, W) bool, False where a desk shows around a sheet; None without a desk.
    light: (H, W, 3) float32, 1 to 255, the colour of the ground everywhere, of the inverted picture if it is.
    shade: 0..1, how much darker than its lightest part the ground's darkest is.
    """

    even: bool
    inverted: bool
    sheet: np.ndarray | None
    light: np.ndarray
    shade: float


def read_paper(picture: np.ndarray) -> Paper:
    """Find the ground of a picture, (H, W, 3) uint8 RGB."""
    import cv2

    rows, columns = picture.shape[:2]
    scale = min(1.0, _SMALL / max(rows, columns))
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    inverted = _is_inverted(small)
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_STROKE, _STROKE))
    small = 255 - small if inverted else small
    sheet = _find_sheet(cv2.medianBlur(small, 7))
    ground = cv2.morphologyEx(small, cv2.MORPH_CLOSE, ellipse)
    light, even = _fit_light(cv2.medianBlur(ground, _SPREAD), sheet)
    if sheet is not None and even >= _EVEN:
        ground = np.where(sheet[..., None], ground, np.clip(light, 0, 255).astype(np.uint8))
        sheet = _enlarge_sheet(sheet, (columns, rows), margin=int(np.ceil(2 / scale)))
    else:
        sheet = None
    ground = cv2.medianBlur(ground, _SPREAD)
    brightest = np.percentile(ground.reshape(-1, 3), 95, axis=0)
    ground = np.maximum(ground, np.maximum(1, _DARKEST_PAPER * brightest)).astype(np.float32)
    level = light.mean(axis=2)
    shade = 1 - float(np.percentile(level, 2) / max(1.0, np.percentile(level, 98)))
    return Paper(even >= _EVEN, inverted, sheet, cv2.resize(ground, (columns, rows)), shade)


def _is_inverted(small: np.ndarray) -> bool:
    """Light marks on a dark ground: what differs from the ground around it is lighter."""
    import cv2

    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    around = cv2.medianBlur(grey, _SPREAD)
    difference = grey.astype(np.float32) - around
    lighter, darker = difference.clip(0).sum(), (-difference).clip(0).sum()
    return bool(np.median(around) < 128 and lighter > 1.2 * darker)


def _find_sheet(ground: np.ndarray) -> np.ndarray | None:
    """Return where a four-cornered sheet lies on a darker desk, (h, w) bool, or None."""
    import cv2

    grey = cv2.cvtColor(ground, cv2.COLOR_RGB2GRAY)
    _, bright = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    number, labels, stats, _ = cv2.connectedComponentsWithStats(bright)
    if number < 2:
        return None
    sheet = labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    share = sheet.mean()
    if not 0.25 <= share <= 0.97 or grey[~sheet].mean() > 0.75 * grey[sheet].mean():
        return None
    outline = max(cv2.findContours(sheet.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=len)
    hull = cv2.convexHull(outline)
    corners = cv2.approxPolyDP(hull, 0.04 * cv2.arcLength(hull, True), True)
    solid = cv2.contourArea(outline) / max(1.0, cv2.contourArea(hull))
    whole = cv2.fillConvexPoly(np.zeros(sheet.shape, np.uint8), hull, 1) > 0
    return whole if solid > 0.93 and len(corners) == 4 and not _fills_corners(whole) else None


def _fills_corners(sheet: np.ndarray) -> bool:
    """Two or more corners of the picture are not a sheet's: rather a wall, a sky, a floor."""
    return bool(sheet[[0, 0, -1, -1], [0, -1, 0, -1]].sum() >= 2)


def _enlarge_sheet(sheet: np.ndarray, size: tuple[int, int], margin: int) -> np.ndarray:
    """Bring the sheet to the picture's (width, height), less a margin in pixels, where desk and paper mix."""
    import cv2

    full = cv2.resize(sheet.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return cv2.erode(full, np.ones((2 * margin + 1, 2 * margin + 1), np.uint8), borderValue=1) > 0


def _fit_light(ground: np.ndarray, sheet: np.ndarray | None) -> tuple[np.ndarray, float]:
    """Fit a quadratic surface to each channel of the sheet; return it, (h, w, 3), and the share that lies on it."""
    rows, columns = ground.shape[:2]
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j].reshape(2, -1)
    terms = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], axis=1)
    values = ground.reshape(-1, 3).astype(np.float64)
    inside = np.ones(len(values), bool) if sheet is None else sheet.ravel()
    chosen = inside
    off, surface = np.zeros(len(values)), values
    for _ in range(5):
        surface = terms @ np.linalg.lstsq(terms[chosen], values[chosen], rcond=None)[0]
        off = np.abs(values / np.maximum(surface, 1) - 1).max(axis=1)
        chosen = inside & (off <= max(_PAPER_TOLERANCE, float(np.median(off[inside]))))
    return surface.reshape(rows, columns, 3), float((off[inside] <= _PAPER_TOLERANCE).mean())
