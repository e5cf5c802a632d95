"""Tells a picture's style from colour and texture statistics, independently of any trained model.

A nearest-neighbour judge: used to measure the models, never to train them. It remembers training renders and worse
copies of them, for what a model paints is softer and less even than a render: of held-out renders blurred by 1.5 px it
knew 72 % without the copies, though people see the style at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from training.dataset import Dataset
from training.vocabulary import STYLE_WORDS

NEIGHBOURS = 5
PER_STYLE = 60
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def blurred(picture: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), 1.5)


def uneven(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blotches 8 px wide, 12 % lighter or darker (one standard deviation), other ones in each channel."""
    coarse = rng.normal(size=(32, 32, 3)).astype(np.float32)
    return _bytes(picture * (1 + 0.12 * cv2.resize(coarse, picture.shape[:2], interpolation=cv2.INTER_CUBIC)))


def compressed(picture: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """JPEG at quality 15."""
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 15])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


def halved(picture: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """At half the resolution."""
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def noisy(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise of 8 in 255 (one standard deviation)."""
    return _bytes(picture + rng.normal(size=picture.shape) * 8)


def saturated(picture: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """Colours 30 % further from grey."""
    grey = picture.mean(axis=2, keepdims=True)
    return _bytes(grey + 1.3 * (picture - grey))


def _bytes(picture: np.ndarray) -> np.ndarray:
    return np.clip(picture, 0, 255).astype(np.uint8)


# What the judge has seen of every picture that it remembers, and what it is only tried on.
SEEN: tuple[Change, ...] = (blurred, uneven, compressed)
UNSEEN: tuple[Change, ...] = (halved, noisy, saturated)


def statistics_of(picture: np.ndarray) -> np.ndarray:
    """Features of an RGB uint8 picture: Lab colours, gradients of four scales, repeats of 4, 8 and 16 px."""
    square = cv2.resize(np.ascontiguousarray(picture), (256, 256), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(square, cv2.COLOR_RGB2LAB).astype(np.float32)
    features = [*np.percentile(lab.reshape(-1, 3), (5, 25, 50, 75, 95), axis=0).ravel() / 25]
    features += [*lab.std(axis=(0, 1)) / 12]
    light = lab[..., 0]
    for scale in range(4):
        small = cv2.resize(light, (256 >> scale,) * 2, interpolation=cv2.INTER_AREA)
        across, down = np.abs(np.diff(small, axis=1)), np.abs(np.diff(small, axis=0))
        features += [np.log1p(part) for part in (across.mean(), down.mean(), across.std(), down.std())]
        features += [np.log1p(np.percentile(across, 50)), np.log1p(np.percentile(across, 90))]
    detail = light - cv2.GaussianBlur(light, (0, 0), 4)
    for period in (4, 8, 16):
        shifted = [np.roll(detail, period, axis=axis) for axis in (0, 1)]
        features += [3 * float((detail * other).mean() / (detail.var() + 1)) for other in shifted]
    return np.array(features, np.float32)


@dataclass(frozen=True)
class StyleJudge:
    """Statistics of training renders with their styles."""

    features: np.ndarray
    styles: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def fit(cls, data: Dataset) -> StyleJudge:
        """Remember up to 60 pictures of each named style, and their worse copies."""
        chosen: list[int] = []
        for style in STYLE_WORDS:
            chosen += [index for index, entry in enumerate(data.entries) if entry.style == style][:PER_STYLE]
        rng = np.random.default_rng(9)
        pictures = [np.asarray(data.pictures[index]) for index in chosen]
        copies = [change(picture, rng) for change in SEEN for picture in pictures]
        features = np.stack([statistics_of(picture) for picture in (*pictures, *copies)])
        mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
        styles = np.array([data.entries[index].style for index in chosen] * (1 + len(SEEN)))
        return cls((features - mean) / deviation, styles, mean, deviation)

    def style_of(self, picture: np.ndarray) -> str:
        """The commonest style among the five nearest pictures."""
        query = (statistics_of(picture) - self.mean) / self.deviation
        nearest = np.argsort(np.abs(self.features - query).sum(axis=1))[:NEIGHBOURS]
        names, counts = np.unique(self.styles[nearest], return_counts=True)
        return str(names[counts.argmax()])

    def accuracy(self, data: Dataset) -> dict[str, float]:
        """Shares of a set's named styles told right: as rendered, and of copies worse in ways that it never saw."""
        rng = np.random.default_rng(10)
        pairs = [(np.asarray(p), e.style) for p, e in zip(data.pictures, data.entries, strict=True)]
        named = [(picture, style) for picture, style in pairs if style in STYLE_WORDS]
        shares = {"as rendered": float(np.mean([self.style_of(picture) == style for picture, style in named]))}
        for change in UNSEEN:
            told = [self.style_of(change(picture, rng)) == style for picture, style in named]
            shares[change.__name__] = float(np.mean(told))
        return {name: round(share, 3) for name, share in shares.items()}
