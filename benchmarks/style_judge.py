"""Tells a picture's style from colour and texture statistics, independently of any trained model.

A nearest-neighbour judge: used to measure the models, never to train them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from training.dataset import Dataset
from training.vocabulary import STYLE_WORDS

NEIGHBOURS = 5
PER_STYLE = 60


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
        """Remember up to 60 pictures of each named style."""
        chosen: list[int] = []
        for style in STYLE_WORDS:
            chosen += [index for index, entry in enumerate(data.entries) if entry.style == style][:PER_STYLE]
        features = np.stack([statistics_of(data.pictures[index]) for index in chosen])
        mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
        styles = np.array([data.entries[index].style for index in chosen])
        return cls((features - mean) / deviation, styles, mean, deviation)

    def style_of(self, picture: np.ndarray) -> str:
        """The commonest style among the five nearest pictures."""
        query = (statistics_of(picture) - self.mean) / self.deviation
        nearest = np.argsort(np.abs(self.features - query).sum(axis=1))[:NEIGHBOURS]
        names, counts = np.unique(self.styles[nearest], return_counts=True)
        return str(names[counts.argmax()])

    def accuracy(self, data: Dataset) -> float:
        """Share of a set's named styles told right."""
        pairs = [(p, e.style) for p, e in zip(data.pictures, data.entries, strict=True) if e.style in STYLE_WORDS]
        return round(float(np.mean([self.style_of(picture) == style for picture, style in pairs])), 3)
