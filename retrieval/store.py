"""One knowledge base on disk: records and vectors in Chroma, and what made them. The only user of chromadb."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .origin import ORIGIN_FILE, Origin, read_origin
from .records import StyleRecord

if TYPE_CHECKING:
    import chromadb

_COLLECTION = "styles"
_ENCODINGS = "encodings"
_PAGE = 1000


class StyleStore:
    """A folder that holds one knowledge base. Opening makes the folder; nothing else is written before `add`."""

    def __init__(self, folder: Path) -> None:
        import chromadb
        from chromadb.config import Settings

        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.name = folder.name
        settings = Settings(anonymized_telemetry=False)
        self._client = chromadb.PersistentClient(str(folder / "chroma"), settings=settings)
        self._records: dict[str, StyleRecord] = {}
        self._records_revision = -1

    @property
    def _collection(self) -> chromadb.Collection:
        """Looked up at each use, for a rebuild elsewhere in the process puts a new one in its place."""
        return self._client.get_or_create_collection(
            _COLLECTION, metadata={"hnsw:space": "cosine"}, embedding_function=None
        )

    @property
    def revision(self) -> int:
        """Counts committed changes; 0 while the knowledge base is empty."""
        origin = self.origin
        return origin.revision if origin else 0

    @property
    def origin(self) -> Origin | None:
        """What made this knowledge base; None while it is empty."""
        return read_origin(self.folder)

    def require_encoder(self, identity: str) -> None:
        """Raise ValueError unless the vectors stored here came from the same weights, under whatever name."""
        origin = self.origin
        if origin and origin.encoder.rpartition("@")[2] != identity.rpartition("@")[2]:
            raise ValueError(
                f"knowledge base '{self.name}' was made with encoder {origin.encoder} ({origin.dimension} numbers a "
                f"picture), and {identity} is chosen: choose the same encoder, or set update to rebuild."
            )

    def __len__(self) -> int:
        return self._collection.count()

    def records(self) -> dict[str, StyleRecord]:
        """Return every record by id, in the order of ids; read anew after any committed change."""
        if self._records_revision != self.revision:
            self._records = dict(sorted((record.id, record) for record in self._read_records()))
            self._records_revision = self.revision
        return self._records

    def add(self, records: Sequence[StyleRecord], vectors: np.ndarray, encoder: str) -> None:
        """Store records with their vectors, (N, D) float32 of unit length; an id that exists is replaced."""
        self._collection.upsert(
            ids=[record.id for record in records],
            embeddings=list(vectors.astype(np.float32)),
            metadatas=[record.to_metadata() for record in records],
        )
        origin = self.origin or Origin(encoder, vectors.shape[1])
        self._commit(origin)

    def replace_metadata(self, record: StyleRecord) -> None:
        """Store what is new about a picture whose pixels, and so its vector, are the same."""
        self._collection.update(ids=[record.id], metadatas=[record.to_metadata()])
        self._commit()

    def remove(self, ids: Sequence[str]) -> None:
        for page in _pages(ids):
            self._collection.delete(ids=page)
        for path in [path for id in ids for path in self.folder.glob(f"{_ENCODINGS}/*/{id}.npy")]:
            path.unlink()
        self._commit()

    def clear(self) -> None:
        """Remove everything, what made it included."""
        self._client.delete_collection(self._collection.name)
        shutil.rmtree(self.folder / _ENCODINGS, ignore_errors=True)
        (self.folder / ORIGIN_FILE).unlink(missing_ok=True)

    def encoding(self, encoder: str, id: str) -> np.ndarray | None:
        """Return what `keep_encoding` stored of a picture, or None. encoder: the id of what encoded it."""
        path = self._encoding_path(encoder, id)
        return np.load(path, allow_pickle=False) if path.is_file() else None

    def keep_encoding(self, encoder: str, id: str, values: np.ndarray) -> None:
        """Store how an image encoder other than the retrieval's sees a picture."""
        path = self._encoding_path(encoder, id)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".tmp")
        with fresh.open("wb") as stream:
            np.save(stream, values)
        os.replace(fresh, path)

    def _encoding_path(self, encoder: str, id: str) -> Path:
        return self.folder / _ENCODINGS / encoder / f"{id}.npy"

    def set_background(self, background: dict[str, list[float]]) -> None:
        origin = self.origin
        if origin and origin.background != background:
            origin.background = background
            self._commit(origin)

    def nearest(self, vector: np.ndarray, count: int) -> list[tuple[str, float]]:
        """Return (id, cosine) of the nearest pictures to a unit vector, best first; ties break by id."""
        count = min(count, len(self))
        if not count:
            return []
        found = self._collection.query(
            query_embeddings=[vector.astype(np.float32)], n_results=count, include=["distances"]
        )
        pairs = zip(found["ids"][0], (found["distances"] or [[]])[0], strict=True)
        return sorted(((id, 1.0 - float(distance)) for id, distance in pairs), key=lambda pair: (-pair[1], pair[0]))

    def vectors(self, ids: Sequence[str]) -> np.ndarray:
        """Return the stored vectors, (N, D) float32, in the order of `ids`."""
        rows: dict[str, np.ndarray] = {}
        for page in _pages(ids):
            found = self._collection.get(ids=page, include=["embeddings"])
            rows.update(zip(found["ids"], np.asarray(found["embeddings"], dtype=np.float32), strict=True))
        return np.stack([rows[id] for id in ids])

    def _read_records(self) -> Iterator[StyleRecord]:
        for offset in range(0, len(self), _PAGE):
            found = self._collection.get(limit=_PAGE, offset=offset, include=["metadatas"])
            for id, metadata in zip(found["ids"], found["metadatas"] or [], strict=True):
                yield StyleRecord.from_metadata(id, metadata)

    def _commit(self, origin: Origin | None = None) -> None:
        """Count a change. The file is replaced whole, so that a crash leaves the old or the new one."""
        origin = origin or self.origin
        if not origin:
            return
        origin.revision += 1
        path = self.folder / ORIGIN_FILE
        fresh = path.with_suffix(".tmp")
        fresh.write_text(json.dumps(asdict(origin), indent=1), encoding="utf-8")
        os.replace(fresh, path)


def _pages(ids: Sequence[str]) -> Iterator[list[str]]:
    for at in range(0, len(ids), _PAGE):
        yield list(ids[at : at + _PAGE])
