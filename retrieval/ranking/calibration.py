"""From a raw CLIP cosine to a score that a person can read.

A cosine between a text and a fitting picture lies around 0.15 to 0.35 for the published CLIP models, and elsewhere for
others, so the bare number says little. The score says how far it stands out from cosines that mean nothing: those
between the knowledge base's own pictures and the words of its *other* pictures (for an image query: the other
pictures).
With their mean m and standard deviation s, score = Phi((cosine - m) / s), the normal distribution's share of unrelated
pairs that lie lower: 0.5 = no better than an unrelated picture, 0.99 = better than 99 in 100 of them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..encoders.encoder import StyleEncoder
    from ..store.store import StyleStore

_SAMPLE = 128  # pictures; 128 x 127 pairs pin mean and deviation down to about a hundredth of the deviation
_SEED = 0


def measure_background(store: StyleStore, encoder: StyleEncoder) -> dict[str, list[float]]:
    """Return query kind (`text`, `image`) -> [mean, standard deviation] of the cosines of unrelated pairs.

    `text` is missing for an encoder that reads pictures alone.
    """
    ids = store.ids()
    if len(ids) < 2:
        return {}
    chosen = np.random.default_rng(_SEED).permutation(len(ids))[:_SAMPLE]
    sample = list(store.records([ids[index] for index in sorted(chosen)]).values())
    pictures = store.vectors([record.id for record in sample])
    tags = [set(record.tags) for record in sample]
    unrelated = np.array([[not (a & b) for b in tags] for a in tags])
    if not unrelated.any():  # all share a tag, as in one flat folder: then every other picture counts
        unrelated = ~np.eye(len(sample), dtype=bool)
    pairs = {"image": pictures @ pictures.T}
    if encoder.reads_text:
        pairs["text"] = encoder.encode_texts([record.caption or record.text for record in sample]) @ pictures.T
    return {kind: [float(c[unrelated].mean()), float(c[unrelated].std())] for kind, c in pairs.items()}


def standing(cosines: np.ndarray, background: list[float] | None) -> np.ndarray:
    """Return by how many deviations cosines lie above the unrelated ones; themselves when that is not known."""
    if not background or background[1] <= 0:
        return cosines
    mean, deviation = background
    return (cosines - mean) / deviation


def score(cosine: float, background: list[float] | None) -> float:
    """Return the score, 0..1. Without a background (a single picture) the cosine's own place in -1..1 has to serve."""
    if not background or background[1] <= 0:
        return (cosine + 1) / 2
    mean, deviation = background
    return 0.5 * (1 + math.erf((cosine - mean) / (deviation * math.sqrt(2))))
