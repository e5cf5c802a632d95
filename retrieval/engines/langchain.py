"""A bridge to any LangChain VectorStore: Pinecone, Weaviate, Milvus, FAISS and others.

`factory` in settings.json names a function `make(embedding, collection, folder, **options) -> VectorStore`. A store
asks its Embeddings for vectors of texts; here the text is a key and the vectors are those that are just being added.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
from langchain_core.embeddings import Embeddings

from .base import EngineChoice, as_keys

_PAGE = 500


class _Given(Embeddings):
    """Hands out the vectors it was given, by key."""

    def __init__(self) -> None:
        self.vectors: dict[str, list[float]] = {}

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.vectors[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.vectors[text]


class LangChainIndex:
    """A `StyleIndex` of any LangChain VectorStore."""

    def __init__(self, choice: EngineChoice, folder: Path, collection: str) -> None:
        module, _, function = choice.factory.partition(":")
        make = getattr(importlib.import_module(module), function)
        folder.mkdir(parents=True, exist_ok=True)
        self._given = _Given()
        self._store = make(self._given, collection, folder, **choice.options)
        self._folder = str(folder) if choice.in_folder else ""
        self._changed = False

    def add(self, keys: np.ndarray, vectors: np.ndarray) -> None:
        for at in range(0, len(keys), _PAGE):
            texts = [str(key) for key in keys[at : at + _PAGE]]
            self._given.vectors = dict(zip(texts, vectors[at : at + _PAGE].tolist(), strict=True))
            self._store.add_texts(texts, ids=texts)
        self._given.vectors = {}
        self._changed = True

    def remove(self, keys: np.ndarray) -> None:
        if len(keys):
            self._store.delete([str(key) for key in keys])
            self._changed = True

    def nearest(self, vectors: np.ndarray, count: int) -> list[np.ndarray]:
        documents_per_vector = (self._store.similarity_search_by_vector(vector, k=count) for vector in vectors.tolist())
        return [as_keys([document.page_content for document in documents]) for documents in documents_per_vector]

    def clear(self, keys: np.ndarray) -> None:
        self.remove(keys)

    def close(self) -> None:
        """Save what lies in our folder. A VectorStore has no way to be closed; it goes with its last user."""
        if self._folder and self._changed:
            self._store.save_local(self._folder)
            self._changed = False
