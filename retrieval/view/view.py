"""A knowledge base as one process sees it at one moment: the published snapshot, and what came after it.

Knows what is nearest and which words match; knows neither prompts nor strategies.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from ..engines.base import DamagedIndex, StyleIndex
from .captions import CaptionTable
from .filters import Filter
from .postings import bm25, matched
from .segment import Row, Segment

Seen = dict[str, int]  # id -> row

_EXACT = 8192  # so many dot products of 512 numbers take about as long as one search of a graph of 100,000
_WIDEST = 2048  # candidates; beyond, a graph is slower than a look at every row
_MANY = 0.25  # of the rows; beyond, to multiply all is quicker than to copy these
_SPARE = 8  # more than was asked, for an approximate order and for rows that were removed
_DIGITS = 6  # of a cosine: how far two ways to add up the same products agree

log = logging.getLogger("style_pack.retrieval")


class View:
    """The rows that are searched: those of the published snapshot, then those that came since.

    snapshot: None where nothing is published.
    index: finds the snapshot's rows, except the `lost` ones.
    lost: (N,) int64 keys.

    A row is counted through all segments. Searches take `seen`, and put the row of each id that they find into it.
    """

    def __init__(
        self, snapshot: Segment | None = None, index: StyleIndex | None = None, lost: np.ndarray | None = None
    ) -> None:
        self._index = index
        self._snapshot = snapshot
        self._segments = [snapshot] if snapshot else []
        self._alive = [np.ones(len(segment), dtype=bool) for segment in self._segments]
        self._lost = snapshot.rows_of(lost) if snapshot and lost is not None else np.zeros(0, dtype=np.int64)
        self._forgotten = 0

    @property
    def snapshot_keys(self) -> np.ndarray:
        """What the index holds: nothing, once it has turned out to be damaged."""
        return self._snapshot.keys if self._snapshot and self._index else np.zeros(0, dtype=np.int64)

    @property
    def changes(self) -> int:
        """How many rows were added or removed since the snapshot was published."""
        return sum(map(len, self._segments)) - len(self.snapshot_keys) + self._forgotten

    @property
    def last_key(self) -> int:
        return int(self._segments[-1].keys[-1]) if self._segments else 0

    def extend(self, rows: Sequence[Row]) -> None:
        """Take in rows that were added. Segments are joined until each is less than half as long as the one before."""
        self._append(Segment.build(rows), np.ones(len(rows), dtype=bool))
        fixed = 1 if self._snapshot else 0
        while len(self._segments) > fixed + 1 and 2 * len(self._segments[-1]) > len(self._segments[-2]):
            last, alive = self._segments.pop(), self._alive.pop()
            before, was_alive = self._segments.pop(), self._alive.pop()
            self._append(before.joined(last), np.concatenate([was_alive, alive]))

    def forget(self, key: int) -> None:
        """Leave out a row that was removed."""
        for segment, alive in zip(self._segments, self._alive, strict=True):
            rows = segment.rows_of(np.array([key]))
            self._forgotten += int(alive[rows].sum())
            alive[rows] = False

    def passing(self, filter: Filter | None = None) -> np.ndarray:
        """Return the mask, (N,) bool, of rows that exist and pass a filter, as `parse_filter` gives it."""
        if not filter:
            return self._join(self._alive)
        pairs = zip(self._segments, self._alive, strict=True)
        return self._join([alive & segment.postings.passing(filter) for segment, alive in pairs])

    def nearest(
        self, vector: np.ndarray, count: int, allowed: np.ndarray, seen: Seen | None = None
    ) -> list[tuple[str, float]]:
        """Return (id, cosine) of the nearest allowed rows to a unit vector, best first; ties break by id."""
        total = int(allowed.sum())
        count = min(count, total)
        if not count:
            return []
        rows = self._candidates(vector, count, allowed, total)
        if len(rows) < count:
            rows = np.flatnonzero(allowed)
        return self._best(rows, self.cosines(vector, rows), count, seen)

    def by_words(self, words: Sequence[str], count: int, allowed: np.ndarray, seen: Seen | None = None) -> list[str]:
        """Return the ids of allowed rows that hold a word, best BM25 first; ties break by id."""
        if not self._segments:
            return []
        scores = self._join(bm25([segment.postings for segment in self._segments], words))
        rows = np.flatnonzero((scores > 0) & allowed)
        return [id for id, _ in self._best(rows, scores[rows], min(count, len(rows)), seen)]

    def keys(self, rows: np.ndarray) -> np.ndarray:
        """Return the keys, ascending, of ascending rows."""
        pairs = zip(self._segments, self._by_segment(rows), strict=True)
        return self._join([segment.keys[here] for segment, here in pairs])

    def matched(self, words: Sequence[str], rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (BM25 score, share of the words' weight that it holds) of ascending rows: see `postings.matched`."""
        pairs = matched([segment.postings for segment in self._segments], words, self._by_segment(rows))
        return self._join([score for score, _ in pairs]), self._join([share for _, share in pairs])

    def by_caption(
        self, vector: np.ndarray, captions: CaptionTable, count: int, allowed: np.ndarray, seen: Seen | None = None
    ) -> list[str]:
        """Return the ids of the allowed rows whose captions are nearest to a unit vector; ties break by id."""
        places = self._join([captions.places(segment.keys) for segment in self._segments])
        rows = np.flatnonzero(allowed & (places >= 0))
        cosines = captions.cosines(vector, places[rows]) if len(rows) else np.zeros(0)
        return [id for id, _ in self._best(rows, cosines, min(count, len(rows)), seen)]

    def ids(self, allowed: np.ndarray) -> list[str]:
        """Return the ids of the rows of a mask, as `passing` gives it."""
        return [id.decode() for id in self._ids(np.flatnonzero(allowed)).tolist()]

    def close(self) -> None:
        if self._index:
            self._index.close()

    def _candidates(self, vector: np.ndarray, count: int, allowed: np.ndarray, total: int) -> np.ndarray:
        """Return rows among which the nearest are, or none when it is quicker to look at every allowed row."""
        filtered = total < sum(int(alive.sum()) for alive in self._alive)
        wanted = _SPARE + int(count * len(allowed) / total * 1.25 if filtered else count)
        if self._index is None or self._snapshot is None or wanted > _WIDEST or (filtered and total <= _EXACT):
            return np.zeros(0, dtype=np.int64)
        try:
            near = self._index.nearest(vector[None], min(wanted, len(self._snapshot)))[0]
        except DamagedIndex as error:
            log.warning("an index is damaged: every picture is looked at until it is made anew (%s)", error)
            self._index = None
            return np.zeros(0, dtype=np.int64)
        rows_of_near = self._snapshot.rows_of(near)
        rows = np.concatenate([rows_of_near, self._lost, np.arange(len(self._snapshot), len(allowed))])
        rows = np.unique(rows)
        return rows[allowed[rows]]

    def cosines(self, vector: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the cosines of ascending rows with a unit vector."""
        parts = []
        for segment, here in zip(self._segments, self._by_segment(rows), strict=True):
            many = len(here) > _MANY * len(segment)
            parts.append((segment.vectors @ vector)[here] if many else segment.vectors[here] @ vector)
        return self._join(parts)

    def _best(self, rows: np.ndarray, scores: np.ndarray, count: int, seen: Seen | None) -> list[tuple[str, float]]:
        if len(rows) > count > 0:  # what ties with the last one stays, for ids to decide
            near = scores >= np.partition(scores, -count)[-count] - 10.0**-_DIGITS
            rows, scores = rows[near], scores[near]
        ids = self._ids(rows)
        order = np.lexsort((ids, -scores.round(_DIGITS)))[:count]
        best = [id.decode() for id in ids[order].tolist()]
        if seen is not None:
            seen.update(zip(best, rows[order].tolist(), strict=True))
        return list(zip(best, scores[order].tolist(), strict=True))

    def _ids(self, rows: np.ndarray) -> np.ndarray:
        """rows: ascending."""
        pairs = zip(self._segments, self._by_segment(rows), strict=True)
        return self._join([segment.ids[here] for segment, here in pairs])

    def _by_segment(self, rows: np.ndarray) -> list[np.ndarray]:
        """Part ascending rows by segment, each part counted from its segment's first."""
        starts = np.cumsum([0, *map(len, self._segments)])
        cuts = np.searchsorted(rows, starts)
        return [rows[a:b] - start for a, b, start in zip(cuts[:-1], cuts[1:], starts[:-1], strict=True)]

    def _append(self, segment: Segment, alive: np.ndarray) -> None:
        self._segments.append(segment)
        self._alive.append(alive)

    @staticmethod
    def _join(parts: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(parts) if parts else np.zeros(0, dtype=bool)
