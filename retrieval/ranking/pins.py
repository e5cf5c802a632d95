"""What RetrieveStyle's `pinned` holds: a line a picture, its id and, after a space, the score it counts with.

The sampler writes such lines into the PNG. A score is kept because it moves as a knowledge base grows. `none` stands
for a search that found nothing; no line at all means: search.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace

from ..records import StyleMatch

NONE = "none"


@dataclass(frozen=True)
class Pin:
    """A picture that is named instead of searched for.

    id: as of its StyleRecord.
    score: 0..1; None = that of a search now.
    """

    id: str
    score: float | None = None


def split_lines(text: str) -> tuple[str, ...]:
    """Return the lines of `pinned` that are not blank."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def read_pins(lines: Sequence[str]) -> list[Pin]:
    """Return the pins of lines that are not blank; none for the one line `none`."""
    return [] if list(lines) == [NONE] else [_read_pin(line) for line in lines]


def write_pins(matches: Iterable[StyleMatch]) -> str:
    """Return the lines that bring the same matches again, with the same scores to the last bit."""
    return "\n".join(f"{match.record.id} {match.score!r}" for match in matches) or NONE


def require_known(ids: Iterable[str], known: Container[str], knowledge_base: str) -> None:
    """Raise ValueError for a pinned picture that is gone, or never was there."""
    for id in ids:
        if id not in known:
            raise ValueError(
                f"pinned style {id!r} is not in knowledge base '{knowledge_base}', or no longer: add the picture "
                "(again), or take its line out of RetrieveStyle's pinned."
            )


def with_pinned_scores(matches: Iterable[StyleMatch], pins: Iterable[Pin]) -> list[StyleMatch]:
    """Give each match the score of its pin, where that has one."""
    pairs = zip(matches, pins, strict=True)
    return [match if pin.score is None else replace(match, score=pin.score) for match, pin in pairs]


def _read_pin(line: str) -> Pin:
    id, *rest = line.split()
    try:
        score = float(rest[0]) if rest else None
    except ValueError:
        score = math.nan
    if len(rest) > 1 or id == NONE or (score is not None and not 0 <= score <= 1):
        raise ValueError(
            f"pinned line {line!r} is not understood: a line is the `id` of a match in RetrieveStyle's explanation, "
            f"with or without a score from 0 to 1 after it, or '{NONE}' is the only line."
        )
    return Pin(id, score)
