"""A run of rows in the form that is searched: vectors as one matrix, words and labels as postings. Never changes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from .postings import Postings
from .records import StyleRecord

Row = tuple[int, StyleRecord, bytes]


class DamagedSegment(ValueError):
    """Files of `Segment.save` are missing or not whole. They can be made anew."""


class Segment:
    """keys: (N,) int64, ascending. ids: (N,) bytes. vectors: (N, D) float32, unit length."""

    def __init__(self, keys: np.ndarray, ids: np.ndarray, vectors: np.ndarray, records: Sequence[StyleRecord]) -> None:
        self.keys = keys
        self.ids = ids
        self.vectors = vectors
        self.records = records

    @classmethod
    def build(cls, rows: Sequence[Row]) -> Segment:
        keys = np.array([key for key, _, _ in rows], dtype=np.int64)
        ids = np.array([record.id.encode() for _, record, _ in rows], dtype=np.bytes_)
        vectors = np.frombuffer(b"".join(vector for _, _, vector in rows), dtype="<f4")
        vectors = vectors.reshape(len(rows), -1) if rows else vectors.reshape(0, 0)
        return cls(keys, ids, vectors, [record for _, record, _ in rows])

    @classmethod
    def open(cls, folder: Path) -> Segment:
        """Map the files of `save`: no array is read before it is needed, and processes share what was.

        Raises DamagedSegment when one is missing or not whole.
        """
        try:
            keys, ids, vectors = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("keys", "ids", "vectors"))
            postings = Postings.load(folder)
        except (OSError, ValueError) as error:
            raise DamagedSegment(str(error)) from error
        segment = cls(keys, ids, vectors, ())
        segment.postings = postings
        return segment

    def save(self, folder: Path) -> None:
        for name in ("keys", "ids", "vectors"):
            np.save(folder / f"{name}.npy", getattr(self, name))
        self.postings.save(folder)

    def joined(self, other: Segment) -> Segment:
        """Both as one. Only for segments in memory."""
        both = [(getattr(self, name), getattr(other, name)) for name in ("keys", "ids", "vectors")]
        keys, ids, vectors = (np.concatenate(pair) for pair in both)
        return Segment(keys, ids, vectors, [*self.records, *other.records])

    @cached_property
    def postings(self) -> Postings:
        return Postings.build(self.records)

    def __len__(self) -> int:
        return len(self.keys)

    def rows_of(self, keys: np.ndarray) -> np.ndarray:
        """Return the rows of those keys that are here, in the order of `keys`."""
        rows = np.searchsorted(self.keys, keys)
        rows[rows == len(self)] = 0
        return rows[self.keys[rows] == keys] if len(self) else rows[:0]
