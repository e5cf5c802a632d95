"""A run of rows in the form that is searched: vectors as one matrix, words and labels as postings. Never changes.

Its files are read once, against their checksums. What is searched afterwards is that: a file that is cut or written
over meanwhile changes no result, and ends no process, as it would where files are mapped.
"""

from __future__ import annotations

import io
import json
import weakref
import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from ..disk.durable import checksum
from ..records import StyleRecord
from .postings import VALUES, Postings

Row = tuple[int, StyleRecord, bytes]

_COLUMNS = ("keys", "ids", "vectors")
_SUMS = "sums.json"  # file name -> CRC-32
_opened: weakref.WeakValueDictionary[tuple[Path, str], Segment] = weakref.WeakValueDictionary()


class DamagedSegment(ValueError):
    """Files of `Segment.save` are missing or not whole. They can be made anew."""


class Segment:
    """Rows of a knowledge base that are searched together.

    keys: (N,) int64, ascending.
    ids: (N,) bytes.
    vectors: (N, D) float32, unit length.
    records: the rows' records, for postings to be made of; none where those are read from files.
    """

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
        """Read the files of `save`. Who opens the same ones in this process shares them in memory.

        Raises DamagedSegment when one is missing or not what was written.
        """
        try:
            sums = (folder / _SUMS).read_text(encoding="utf-8")
            contents = {name: _read(folder / name, sum) for name, sum in json.loads(sums).items()}
            values = contents.pop(VALUES)
            arrays = {name.removesuffix(".npy"): _array(content) for name, content in contents.items()}
            segment = cls(arrays["keys"], arrays["ids"], arrays["vectors"], ())
            segment.postings = Postings.load(arrays, values)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise DamagedSegment(f"{type(error).__name__}: {error}") from error
        return _opened.setdefault((folder, sums), segment)

    def save(self, folder: Path) -> None:
        for name in _COLUMNS:
            np.save(folder / f"{name}.npy", getattr(self, name))
        self.postings.save(folder)
        sums = {path.name: checksum(path) for path in folder.iterdir() if path.is_file()}
        (folder / _SUMS).write_text(json.dumps(sums), encoding="utf-8")

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


def _read(path: Path, sum: int) -> bytes:
    content = path.read_bytes()
    if zlib.crc32(content) != sum:
        raise DamagedSegment(f"{path.name} is not what was written")
    return content


def _array(content: bytes) -> np.ndarray:
    """Return the array of a .npy file where it lies: `np.load` would copy it."""
    stream = io.BytesIO(content)
    np.lib.format.read_magic(stream)
    shape, _, kind = np.lib.format.read_array_header_1_0(stream)
    return np.frombuffer(content, kind, offset=stream.tell()).reshape(shape)
