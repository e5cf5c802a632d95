"""How several references share a picture: from scores, or from numbers that were written down. Knows no model."""

from __future__ import annotations

import re
from collections.abc import Sequence

CHANCE = 0.5  # the calibrated score of a picture that is no nearer to the prompt than an unrelated one
LEAST = 0.05  # above chance, so that no reference that was retrieved or pinned is lost altogether
_UNIT = 10_000  # weights have four decimals: what `info` says is what was sampled with


def weigh(scores: Sequence[float]) -> tuple[float, ...]:
    """Return each reference's share, by how far its score lies above chance. Scores are 0..1, shares add up to 1."""
    return shares([max(score - CHANCE, LEAST) for score in scores])


def shares(values: Sequence[float]) -> tuple[float, ...]:
    """Return numbers from 0 on, not all 0, as shares of their sum with four decimals.

    What it has returned it returns again, so that weights can be written down. Equal numbers stay equal; else the
    shares add up to 1, the units that rounding down has left going to the largest remainders.
    """
    if len(set(values)) <= 1:
        return (round(1 / max(len(values), 1), 4),) * len(values)
    exact = [value / sum(values) * _UNIT for value in values]
    units = [int(share + 1e-6) for share in exact]
    by_remainder = sorted(range(len(values)), key=lambda n: units[n] - exact[n])
    for n in by_remainder[: _UNIT - sum(units)]:
        units[n] += 1
    return tuple(unit / _UNIT for unit in units)


def read_weights(text: str, count: int) -> tuple[float, ...]:
    """Read a number for each of `count` references, apart by commas or spaces, to their shares.

    Raises ValueError in one sentence.
    """
    words = [word for word in re.split(r"[,;\s]+", text) if word]
    wrong = next((word for word in words if not re.fullmatch(r"\d{1,9}(\.\d{0,9})?|\.\d{1,9}", word)), None)
    if wrong is not None:
        raise ValueError(f"reference_weights holds '{wrong}': write numbers from 0 on, such as 0.7, 0.3.")
    if len(words) != count:
        raise ValueError(
            f"reference_weights holds {len(words)} number{'s' * (len(words) != 1)}, and there "
            f"{'is 1 reference' if count == 1 else f'are {count} references'}: write one for each, or leave it empty."
        )
    values = [float(word) for word in words]
    if not any(values):
        raise ValueError(f"reference_weights is {text.strip()}: at least one number must lie above 0.")
    return shares(values)
