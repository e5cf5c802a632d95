"""Which rows of a segment hold a word, tag, folder, licence, name, date or size. Knows no vectors.

Kept here and not in a search library so that a filter is a look-up and not a scan, and so that BM25 can go on from
rows on disk to rows that were added a moment ago with one set of statistics.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from ..records import StyleRecord
from .filters import NUMBER_FIELDS, Filter, Label, Span, labels, numbers, passing
from .words import words_of

_ARRAYS = ("starts", "rows", "counts", "lengths", "numbers", "names", "name_ends")
_BETWEEN = 0xFF  # after each name; no text in UTF-8 has it
VALUES = "values.json"
_K1, _B = 1.5, 0.75  # Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009


class Postings:
    """What a segment's rows hold: (field, value) -> rows, ascending, and how often each holds it.

    lengths: (N,) int32, words a row.

    Beside them a column of each number field, (4, N) int64, and all names in one piece, for a part of one to be found
    without a look at each.
    """

    def __init__(self, values: dict[str, dict[str, int]], arrays: dict[str, np.ndarray]) -> None:
        self._values = values
        self._starts, self._rows, self._counts, self.lengths = (arrays[name] for name in _ARRAYS[:4])
        self._numbers, self._names, self._name_ends = (arrays[name] for name in _ARRAYS[4:])
        self._arrays = arrays

    @classmethod
    def build(cls, records: Sequence[StyleRecord]) -> Postings:
        lists: dict[tuple[str, str], list[tuple[int, int]]] = {}
        lengths, names = [], []
        for row, record in enumerate(records):
            words = words_of(record.text)
            lengths.append(len(words))
            for word, count in Counter(words).items():
                lists.setdefault(("word", word), []).append((row, count))
            labels_by_field = labels(record)
            names.append("\n".join(labels_by_field.pop("name")).encode() + bytes([_BETWEEN]))
            for field, labels_in_field in labels_by_field.items():
                for label in dict.fromkeys(labels_in_field):
                    lists.setdefault((field, label), []).append((row, 1))
        values: dict[str, dict[str, int]] = {}
        for number, (field, value) in enumerate(lists):
            values.setdefault(field, {})[value] = number
        pairs = np.array([pair for held in lists.values() for pair in held], dtype=np.int32).reshape(-1, 2)
        arrays = (
            np.concatenate([[0], np.cumsum([len(held) for held in lists.values()], dtype=np.int64)]).astype(np.int64),
            pairs[:, 0].copy(),
            pairs[:, 1].copy(),
            np.array(lengths, dtype=np.int32),
            np.array([numbers(record) for record in records], dtype=np.int64).reshape(-1, len(NUMBER_FIELDS)).T.copy(),
            np.frombuffer(b"".join(names), dtype=np.uint8),
            np.cumsum([len(name) for name in names], dtype=np.int64),
        )
        return cls(values, dict(zip(_ARRAYS, arrays, strict=True)))

    def save(self, folder: Path) -> None:
        for name, array in self._arrays.items():
            np.save(folder / f"{name}.npy", array)
        (folder / VALUES).write_text(json.dumps(self._values, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, arrays: Mapping[str, np.ndarray], values: bytes) -> Postings:
        """arrays: what `save` put into .npy files, by their names, others among them. values: what is in VALUES."""
        return cls(json.loads(values), {name: arrays[name] for name in _ARRAYS})

    def passing(self, filter: Filter) -> np.ndarray:
        """Return the mask, (N,) bool, of rows that pass a filter."""
        return passing(filter, self._mask)

    def _mask(self, asked: Label | Span) -> np.ndarray:
        if isinstance(asked, Span):
            column = self._numbers[NUMBER_FIELDS.index(asked.field)]
            return (column >= asked.low) & (column < asked.high)
        held = np.zeros(len(self.lengths), dtype=bool)
        if asked.field == "name":
            held[self._named(asked.value.encode("utf-8", "replace"))] = True
            return held
        values = self._values.get(asked.field, {})
        if asked.field == "license":
            numbers_of_labels = [number for label, number in values.items() if label.startswith(asked.value)]
        else:
            numbers_of_labels = [values[asked.value]] if asked.value in values else []
        for number in numbers_of_labels:
            held[self._slice(number)[0]] = True
        return held

    def _named(self, part: bytes) -> np.ndarray:
        """Return the rows whose name has `part` in it."""
        last = len(self._names) - len(part) + 1
        at = np.flatnonzero(self._names[: max(last, 0)] == part[0])
        for place, letter in enumerate(part[1:], 1):
            at = at[self._names[at + place] == letter]
        return np.searchsorted(self._name_ends, at, side="right")

    @cached_property
    def total_length(self) -> int:
        return int(self.lengths.sum())

    def holding(self, word: str) -> tuple[np.ndarray, np.ndarray]:
        """Return (rows, counts) of a word."""
        number = self._values.get("word", {}).get(word)
        return self._slice(number) if number is not None else (np.zeros(0, np.int32), np.zeros(0, np.int32))

    def _slice(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        part = slice(int(self._starts[number]), int(self._starts[number + 1]))
        return self._rows[part], self._counts[part]


def bm25(parts: Sequence[Postings], words: Sequence[str]) -> list[np.ndarray]:
    """Return a row's BM25 score, (N,) float64 a part, with the statistics of all parts together."""
    mean = _mean_length(parts)
    scores = [np.zeros(len(part.lengths)) for part in parts]
    for weight, held in _weighed(parts, words):
        for part, score, (rows, counts) in zip(parts, scores, held, strict=True):
            score[rows] += weight * _saturated(counts, part.lengths[rows], mean)
    return scores


def matched(
    parts: Sequence[Postings], words: Sequence[str], rows: Sequence[np.ndarray]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return, a part, some rows' (BM25 score, share of the words' weight that they hold), each (M,) float64.

    A word weighs its inverse document frequency, also when no row holds it: rare words say most. rows: (M,) a part.
    """
    mean, whole = _mean_length(parts), 0.0
    sums = [(np.zeros(len(rows_of_part)), np.zeros(len(rows_of_part))) for rows_of_part in rows]
    for weight, held in _weighed(parts, words):
        whole += weight
        for part, rows_of_part, (score, share), (holding, counts) in zip(parts, rows, sums, held, strict=True):
            if len(holding):
                at = np.searchsorted(holding, rows_of_part.astype(holding.dtype)).clip(max=len(holding) - 1)
                count = np.where(holding[at] == rows_of_part, counts[at], 0)
                score += weight * _saturated(count, part.lengths[rows_of_part], mean)
                share += weight * (count > 0)
    return [(score, share / (whole or 1.0)) for score, share in sums]


def _weighed(
    parts: Sequence[Postings], words: Sequence[str]
) -> Iterator[tuple[float, list[tuple[np.ndarray, np.ndarray]]]]:
    """Yield each word's inverse document frequency in all parts together, and what `holding` gives a part."""
    total = sum(len(part.lengths) for part in parts)
    for word in words:
        held = [part.holding(word) for part in parts]
        known = sum(len(rows) for rows, _ in held)
        yield float(np.log1p((total - known + 0.5) / (known + 0.5))), held


def _mean_length(parts: Sequence[Postings]) -> float:
    total = sum(len(part.lengths) for part in parts)
    return max(sum(part.total_length for part in parts) / max(total, 1), 1e-9)


def _saturated(counts: np.ndarray, lengths: np.ndarray, mean: float) -> np.ndarray:
    """How much a word's count says, 0 to k1 + 1, in a text of this length."""
    return counts * (_K1 + 1) / (counts + _K1 * (1 - _B + _B * lengths / mean))
