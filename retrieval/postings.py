"""Which rows of a segment hold a word, tag, folder, licence, name, date or size. Knows no vectors.

Kept here and not in a search library so that a filter is a look-up and not a scan, and so that BM25 can go on from
rows on disk to rows that were added a moment ago with one set of statistics.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .filters import NUMBER_FIELDS, Filter, Label, Span, labels, numbers, passing
from .records import StyleRecord

_STOP_WORDS = frozenset("a an and as at by for from in into is it of on or the to with style picture image".split())
_ARRAYS = ("starts", "rows", "counts", "lengths", "numbers", "names", "name_ends")
_BETWEEN = 0xFF  # after each name; no text in UTF-8 has it
_VALUES = "values.json"
_K1, _B = 1.5, 0.75  # Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009


def words_of(text: str) -> list[str]:
    """Lower-case words without the ones that say nothing about a style."""
    return [word for word in re.findall(r"[^\W_]+", text.lower()) if word not in _STOP_WORDS]


class Postings:
    """(field, value) -> rows, ascending, and how often each holds it. `lengths`: words a row.

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
            found = labels(record)
            names.append(found.pop("name")[0].encode() + bytes([_BETWEEN]))
            for field, its in found.items():
                for label in dict.fromkeys(its):
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
        (folder / _VALUES).write_text(json.dumps(self._values, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Postings:
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
        return cls(json.loads((folder / _VALUES).read_text(encoding="utf-8")), arrays)

    def passing(self, filter: Filter) -> np.ndarray:
        """Return the mask, (N,) bool, of rows that pass a filter."""
        return passing(filter, self._mask)

    def _mask(self, asked: Label | Span) -> np.ndarray:
        if isinstance(asked, Span):
            column = self._numbers[NUMBER_FIELDS.index(asked.field)]
            return (column >= asked.low) & (column < asked.high)
        held = np.zeros(len(self.lengths), dtype=bool)
        if asked.field == "name":
            held[self._named(asked.value.encode())] = True
            return held
        values = self._values.get(asked.field, {})
        if asked.field == "license":
            found = [number for label, number in values.items() if label.startswith(asked.value)]
        else:
            found = [values[asked.value]] if asked.value in values else []
        for number in found:
            held[self._slice(number)[0]] = True
        return held

    def _named(self, part: bytes) -> np.ndarray:
        """Return the rows whose name has `part` in it."""
        last = len(self._names) - len(part) + 1
        at = np.flatnonzero(self._names[: max(last, 0)] == part[0])
        for place, letter in enumerate(part[1:], 1):
            at = at[self._names[at + place] == letter]
        return np.searchsorted(self._name_ends, at, side="right")

    def holding(self, word: str) -> tuple[np.ndarray, np.ndarray]:
        """Return (rows, counts) of a word."""
        number = self._values.get("word", {}).get(word)
        return self._slice(number) if number is not None else (np.zeros(0, np.int32), np.zeros(0, np.int32))

    def _slice(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        part = slice(int(self._starts[number]), int(self._starts[number + 1]))
        return self._rows[part], self._counts[part]


def bm25(parts: Sequence[Postings], words: Sequence[str]) -> list[np.ndarray]:
    """Return a row's BM25 score, (N,) float64 a part, with the statistics of all parts together."""
    total = sum(len(part.lengths) for part in parts)
    mean = max(sum(float(part.lengths.sum()) for part in parts) / max(total, 1), 1e-9)
    scores = [np.zeros(len(part.lengths)) for part in parts]
    for word in words:
        held = [part.holding(word) for part in parts]
        known = sum(len(rows) for rows, _ in held)
        weight = np.log1p((total - known + 0.5) / (known + 0.5))
        for part, score, (rows, counts) in zip(parts, scores, held, strict=True):
            length = 1 - _B + _B * part.lengths[rows] / mean
            score[rows] += weight * counts * (_K1 + 1) / (counts + _K1 * length)
    return scores
