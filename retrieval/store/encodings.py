"""How other image encoders see a knowledge base's pictures: an array each, in a file, for who paints with them."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ..disk.durable import Writes, read_sealed, sealed


class Encodings:
    """A folder of encodings, which need not exist: `<id of the encoder>/<id of the picture>.npy`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, encoder: str, id: str) -> np.ndarray | None:
        """Return what `keep` stored; None when it did not, or when the file is not whole any more."""
        content = read_sealed(self._path(encoder, id))
        return None if content is None else np.load(io.BytesIO(content), allow_pickle=False)

    def keep(self, encoder: str, values: Mapping[str, np.ndarray]) -> None:
        """Store arrays by the pictures' ids; a file under its own name is whole, whoever else writes it as well."""
        with Writes() as writes:
            for id, array in values.items():
                content = io.BytesIO()
                np.save(content, array)
                writes.add(self._path(encoder, id), sealed(content.getvalue()))

    def forget(self, ids: Iterable[str]) -> None:
        """Remove what any encoder made of these pictures."""
        for path in [path for id in ids for path in self._folder.glob(f"*/{id}.npy")]:
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, encoder: str, id: str) -> Path:
        return self._folder / encoder / f"{id}.npy"
