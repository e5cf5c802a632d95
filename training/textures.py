"""Noise, paper, hatching and light: what makes a surface, without knowing what it shows.

Pictures are (S, S, 3) floats in 0..1, masks and fields (S, S). Sizes are in 256ths of a picture, so that
a texture looks the same at every resolution. No texture is finer than PERIOD: an autoencoder of factor 8 has
one latent every 8 units, and what repeats within one latent leaves no trace in it.
"""

from __future__ import annotations

import cv2
import numpy as np

Picture = np.ndarray
Field = np.ndarray
# Two latents: the finest pattern that alternates from one latent to the next.
PERIOD = 16
# A diagonal pattern of this period repeats every PERIOD units along both axes.
DIAGONAL = PERIOD / np.sqrt(2)


def unit(size: int) -> float:
    """Pixels in one 256th of the picture."""
    return size / 256


def noise(rng: np.random.Generator, size: int, grain: float, layers: int = 1) -> Field:
    """Smooth noise of about -1..1 whose spots are `grain` 256ths wide; each layer adds finer ones."""
    field = np.zeros((size, size), np.float32)
    for layer in range(layers):
        cells = max(2, int(256 / grain * 2**layer) + 2)
        coarse = rng.normal(size=(cells, cells)).astype(np.float32)
        field += cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC) * 0.6 / 1.6**layer
    return field


def grain(rng: np.random.Generator, size: int) -> Field:
    """Noise of one value per 256th; too fine for a picture that a model shall learn from."""
    fine = rng.normal(size=(256, 256)).astype(np.float32)
    return cv2.resize(fine, (size, size), interpolation=cv2.INTER_LINEAR)


def blur(picture: Picture, radius: float) -> Picture:
    """Gaussian blur; `radius` in 256ths."""
    sigma = radius * unit(picture.shape[0])
    return cv2.GaussianBlur(picture, (0, 0), max(sigma, 0.3))


def mix(first: Picture, second: Picture | np.ndarray, amount: Field | float) -> Picture:
    """`first` where `amount` is 0, `second` where it is 1."""
    weight = amount[..., None] if isinstance(amount, np.ndarray) and amount.ndim == 2 else amount
    return first * (1 - weight) + second * weight


def vertical(size: int, *colours: np.ndarray) -> Picture:
    """Colours blended from the top to the bottom border."""
    stops = np.linspace(0, 1, len(colours))
    position = np.linspace(0, 1, size)
    channels = [np.interp(position, stops, [colour[axis] for colour in colours]) for axis in range(3)]
    return np.repeat(np.stack(channels, axis=1)[:, None], size, axis=1).astype(np.float32)


def grey(picture: Picture) -> Field:
    """Luma (Rec. 601)."""
    return picture @ np.array([0.299, 0.587, 0.114], np.float32)


def stripes(size: int, period: float, angle: float, width: float) -> Field:
    """Parallel soft-edged lines, 1 on the line; `period` and `width` in 256ths, `angle` in degrees."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / unit(size)
    across = x * np.sin(np.radians(angle)) + y * np.cos(np.radians(angle))
    distance = np.abs((across / period + 0.5) % 1 - 0.5) * period
    return np.clip((width / 2 - distance) / 0.8 + 0.5, 0, 1)


def grid(size: int, period: float, width: float) -> Field:
    """Squared paper: 1 on the lines."""
    return np.maximum(stripes(size, period, 0, width), stripes(size, period, 90, width))


def dots(size: int, radius: Field | float) -> Field:
    """Halftone: discs on a grid turned by 45 degrees; `radius` 0..1 of half the distance of two discs."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / unit(size)
    across, down = (x + y) / PERIOD, (x - y) / PERIOD
    near = np.hypot(across % 1 - 0.5, down % 1 - 0.5) * 2
    return np.clip((radius - near) * DIAGONAL / 1.6 + 0.5, 0, 1)


def vignette(size: int, strength: float) -> Field:
    """1 in the middle, darker towards the corners."""
    line = np.linspace(-1, 1, size, dtype=np.float32)
    return 1 - strength * np.clip(line[:, None] ** 2 + line[None] ** 2 - 0.5, 0, None) / 1.5


def rays(size: int, x: float, y: float, count: int) -> Field:
    """Alternating 0 and 1 wedges around a point."""
    rows, columns = np.mgrid[:size, :size].astype(np.float32) / size
    angle = np.arctan2(rows - y, columns - x) * count / (2 * np.pi)
    return np.clip(np.sin(angle * 2 * np.pi) * 6, -0.5, 0.5) + 0.5


def voronoi(rng: np.random.Generator, size: int, count: int) -> np.ndarray:
    """(S, S) int32 cell numbers of scattered points."""
    points = np.ones((size, size), np.uint8)
    places = rng.integers(0, size, size=(count, 2))
    points[places[:, 0], places[:, 1]] = 0
    _, cells = cv2.distanceTransformWithLabels(points, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    return cells


def borders(cells: np.ndarray, width: float) -> Field:
    """1 where two cells meet; `width` in 256ths."""
    edge = np.zeros(cells.shape, np.uint8)
    edge[:-1] |= cells[:-1] != cells[1:]
    edge[:, :-1] |= cells[:, :-1] != cells[:, 1:]
    thick = max(1, round(width * unit(cells.shape[0])))
    return cv2.dilate(edge, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (thick, thick))).astype(np.float32)
