"""Qdrant, embedded in a folder or as a server. The only user of qdrant_client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException

from .base import EngineChoice, as_keys, identity_of, no_answer

_PAGE = 500
# A folder can be opened once; the stores of one process, an older and a newer, share what they opened.
_opened: WeakValueDictionary[str, QdrantClient] = WeakValueDictionary()


class QdrantIndex:
    """A `StyleIndex` of Qdrant's, in a folder or on a server."""

    def __init__(self, choice: EngineChoice, folder: Path, collection: str) -> None:
        self._name = collection
        self._choice = choice
        self._client = _connect(choice, folder)
        with _sentence(choice):
            self._exists = self._client.collection_exists(collection)

    def add(self, keys: np.ndarray, vectors: np.ndarray) -> None:
        with _sentence(self._choice):
            if not self._exists:
                size = models.VectorParams(size=vectors.shape[1], distance=models.Distance.COSINE)
                self._client.create_collection(self._name, vectors_config=size)
                self._exists = True
            for at in range(0, len(keys), _PAGE):
                page = zip(keys[at : at + _PAGE].tolist(), vectors[at : at + _PAGE].tolist(), strict=True)
                points = [models.PointStruct(id=key, vector=vector) for key, vector in page]
                self._client.upsert(self._name, points, wait=True)

    def remove(self, keys: np.ndarray) -> None:
        if self._exists and len(keys):
            with _sentence(self._choice):
                self._client.delete(self._name, models.PointIdsList(points=keys.tolist()), wait=True)

    def nearest(self, vectors: np.ndarray, count: int) -> list[np.ndarray]:
        if not self._exists:
            return [as_keys([]) for _ in vectors]
        asked = [models.QueryRequest(query=vector, limit=count) for vector in vectors.tolist()]
        with _sentence(self._choice):
            answers = self._client.query_batch_points(self._name, asked)
        return [as_keys([point.id for point in answer.points]) for answer in answers]

    def clear(self, keys: np.ndarray) -> None:
        if self._exists:
            with _sentence(self._choice):
                self._client.delete_collection(self._name)
            self._exists = False

    def close(self) -> None:
        """Let go of the client, which closes itself with its last user."""
        self.__dict__.pop("_client", None)


@contextmanager
def _sentence(choice: EngineChoice) -> Iterator[None]:
    try:
        yield
    except ResponseHandlingException as error:
        raise no_answer("Qdrant", choice) from error


def _connect(choice: EngineChoice, folder: Path) -> QdrantClient:
    if choice.url:
        return QdrantClient(url=choice.url, api_key=choice.api_key, check_compatibility=False)
    folder.mkdir(parents=True, exist_ok=True)
    here = f"{folder} {identity_of(folder)}"  # another one, when the folder was replaced
    if opened := _opened.get(here):
        return opened
    try:
        # ComfyUI calls from more than one thread, one at a time.
        _opened[here] = client = QdrantClient(path=str(folder), force_disable_check_same_thread=True)
        return client
    except RuntimeError as error:
        raise RuntimeError(
            f"embedded Qdrant serves one process at a time and {folder} is open in another: end that one, or name a "
            "Qdrant server's url in settings.json."
        ) from error
