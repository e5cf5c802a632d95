"""What a sentence encoder makes of each picture's caption and tags: kept beside the pictures, searched as one matrix.

Every row is compared, for a search graph would gain little: at 100,000 rows of 384 numbers a search reads 154 MB.
"""

from __future__ import annotations

import numpy as np

_SAMPLE = 1024  # captions; they pin mean and deviation of their cosines down to a few hundredths of the deviation
_FEW = 0.25  # of the rows: below, they are picked out before they are multiplied, and not after


class CaptionTable:
    """The caption vectors that are stored, under the keys of their pictures.

    made: which encoder made them, and since when.
    last: the latest entry that is in it.
    """

    def __init__(self, made: tuple[object, ...]) -> None:
        self.made = made
        self.last = 0
        self._keys = np.zeros(0, dtype=np.int64)  # (N,), ascending
        self._vectors = np.zeros((0, 0), dtype=np.float32)  # (N, D), unit length

    def extend(self, rows: list[tuple[int, int, bytes]]) -> None:
        """Take in what `Database.captions_after` gave."""
        keys = np.array([key for _, key, _ in rows], dtype=np.int64)
        vectors = np.frombuffer(b"".join(vector for _, _, vector in rows), dtype="<f4").reshape(len(rows), -1)
        keys = np.concatenate([self._keys, keys])
        order = np.argsort(keys, kind="stable")
        self._vectors = (np.concatenate([self._vectors, vectors]) if len(self._vectors) else vectors)[order]
        self._keys, self.last = keys[order], rows[-1][0]

    def places(self, keys: np.ndarray) -> np.ndarray:
        """Return where each of some ascending keys is in the table, -1 for what is not."""
        if not len(self._keys):
            return np.full(len(keys), -1)
        rows = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[rows] == keys, rows, -1)

    def cosines(self, vector: np.ndarray, places: np.ndarray) -> np.ndarray:
        if len(places) < _FEW * len(self._keys):
            return self._vectors[places] @ vector
        return (self._vectors @ vector)[places]

    def standing(self, vector: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """Return how many deviations above the mean of all captions each key's cosine lies; 0 for a key without one.

        Nearly all captions have nothing to do with a prompt, so all of them stand for the unrelated ones: an even
        sample of them, which no filter changes.
        """
        deviations = np.zeros(len(keys))
        places = self.places(keys)
        if len(self._keys):
            every = np.linspace(0, len(self._keys) - 1, min(len(self._keys), _SAMPLE)).astype(np.int64)
            cosines = self._vectors[every] @ vector
            if cosines.std() > 1e-6:
                of_keys = self._vectors[places[places >= 0]] @ vector
                deviations[places >= 0] = (of_keys - cosines.mean()) / cosines.std()
        return deviations
