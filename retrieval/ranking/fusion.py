"""How one order is made of several: how far a picture stands out in each, added up. Knows numbers alone.

Scores are added, and not ranks: a rank hides whether the best is far ahead of the next or level with it, and for words
that is what matters (Bruch, Gai and Ingber, An Analysis of Fusion Functions for Hybrid Retrieval, TOIS 2023). Cosines
are made comparable by their calibration, so that the sum's unit is the deviation of unrelated pairs. BM25 is a sum of
logarithms already (Robertson and Zaragoza, 2009); it counts the more, the more of the prompt a picture's words cover,
as in Lucene's coordination factor: one word of eight, which is often the scene's, says little against what the picture
looks like, and four of five say a lot, however little of them the encoder understands.
"""

from __future__ import annotations

import numpy as np

# Chosen on wordings that the bundled encoder was trained with, among those that leave hybrid ahead of each strategy in
# both libraries by benchmarks/retrieval_quality.py --choose. docs/measurements/retrieval.md has the figures, and why
# not 4.
KEYWORD = 3.0
COVERAGE = 2  # the exponent of the share that is covered
CAPTION = 0.25
# A prompt whose words CLIP has hardly met is better understood by the sentence encoder, and by it alone: then captions
# count more than pictures. Both numbers chosen by benchmarks/caption_gain.py, with wordings of words that the bundled
# encoder never saw.
UNFAMILIAR = 0.75  # share of the prompt's words that CLIP's tokenizer breaks into pieces
CAPTION_FIRST = 6.0

_DIGITS = 4  # of a sum: how far two ways to add up the same products agree
_FALL = 5


def by_words(bm25: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Return what words add. covered: the share, 0..1 by weight, of the prompt's words that a picture's text holds."""
    return KEYWORD * bm25 * covered**COVERAGE


def ordered(ids: list[str], values: np.ndarray) -> dict[str, float]:
    """Return id -> value, best first; ties break by id."""
    pairs = zip(ids, values.round(_DIGITS).tolist(), strict=True)
    return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


def by_rank(ids: list[str]) -> dict[str, float]:
    """Return id -> 1 / (5 + rank) for one strategy alone, whose order stays: what diversity weighs against."""
    return {id: 1 / (_FALL + rank) for rank, id in enumerate(ids, 1)}
