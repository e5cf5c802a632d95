"""How other image encoders see a knowledge base's pictures: an array each, in a file, for who paints with them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .drafts import replacing


class Encodings:
    """A folder of them, which need not exist. encoder: the id of what encoded; id: the picture's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, encoder: str, id: str) -> np.ndarray | None:
        """Return what `keep` stored, or None."""
        path = self._path(encoder, id)
        return np.load(path, allow_pickle=False) if path.is_file() else None

    def keep(self, encoder: str, id: str, values: np.ndarray) -> None:
        """Store an array; a file under its own name is whole, whoever else writes it at the same time."""
        path = self._path(encoder, id)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as draft:
            np.save(draft, values)

    def forget(self, ids: Iterable[str]) -> None:
        """Remove what any encoder made of these pictures."""
        for path in [path for id in ids for path in self._folder.glob(f"*/{id}.npy")]:
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, encoder: str, id: str) -> Path:
        return self._folder / encoder / f"{id}.npy"
