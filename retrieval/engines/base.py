"""What a vector engine has to do, and which one a knowledge base uses. Knows no record and no engine's own calls.

An engine proposes; the store works out each cosine from its own vectors. So an engine may be approximate, quantised, or
a moment behind, and the scores stay the same whichever it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol
from unicodedata import normalize

import numpy as np

SETTINGS = "settings.json"
DEFAULT = "*"  # the entry for knowledge bases that have none of their own

# Engine -> what it imports, and the package on PyPI that brings it.
PACKAGES = {
    "chroma": ("chromadb", "chromadb"),
    "chroma-server": ("chromadb", "chromadb"),
    "qdrant": ("qdrant_client", "qdrant-client"),
    "langchain": ("langchain_core", "langchain-core"),
}


_WRITTEN = {str: "a text", bool: "true or false", dict: "an object"}
_KINDS = dict.fromkeys(("engine", "url", "api_key_env", "factory"), str) | {"in_folder": bool, "options": dict}


class DamagedIndex(ValueError):
    """What an engine keeps in a folder of ours can't be read. It can be made anew."""


class StyleIndex(Protocol):
    """What a vector engine keeps of a knowledge base: vectors under whole-number keys, and who is nearest.

    keys: (N,) int64, which are not there yet when they are added.
    vectors: (N, D) float32 of unit length.
    """

    def add(self, keys: np.ndarray, vectors: np.ndarray) -> None:
        """Take in vectors, (N, D) float32, under keys, (N,) int64."""
        ...

    def remove(self, keys: np.ndarray) -> None:
        """Remove the vectors of keys, (N,) int64; those that are not here are passed over."""
        ...

    def nearest(self, vectors: np.ndarray, count: int) -> list[np.ndarray]:
        """Return, for each row of `vectors`, at most `count` keys, (n,) int64, the nearest first."""
        ...

    def clear(self, keys: np.ndarray) -> None:
        """Remove everything; `keys`: what that is, for an engine that has no way to say everything."""
        ...

    def close(self) -> None:
        """Save what is not saved yet, and let go of the engine. Nothing else may be called afterwards."""
        ...


@dataclass(frozen=True)
class EngineChoice:
    """An entry of settings.json: which engine searches a knowledge base.

    engine: a name in PACKAGES.
    url: of a server; empty for an engine in a folder.
    api_key_env: the environment variable that holds the server's key.
    factory: `package.module:function`, see `engines.langchain`.
    in_folder: whether the store that factory makes keeps its data in the folder it is given.
    options: further arguments of factory.
    """

    engine: str = "chroma"
    url: str = ""
    api_key_env: str = ""
    factory: str = ""
    in_folder: bool = False
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for option, kind in _KINDS.items():
            if not isinstance(getattr(self, option), kind):
                raise ValueError(f"{option} is {getattr(self, option)!r}: write {_WRITTEN[kind]}.")
        if self.engine not in PACKAGES:
            raise ValueError(f"engine '{self.engine}' does not exist: choose one of {', '.join(PACKAGES)}.")
        if self.engine == "chroma-server" and not self.url:
            raise ValueError("engine chroma-server has no url: write its url, such as http://127.0.0.1:8000.")
        if self.engine == "langchain" and ":" not in self.factory:
            raise ValueError(f"factory '{self.factory}' names no function: write it as package.module:function.")

    @property
    def identity(self) -> str:
        """Changes when the vectors lie elsewhere, so that they have to be brought there."""
        return " ".join(filter(None, (self.engine, self.url, self.factory)))

    @property
    def is_local(self) -> bool:
        """Whether the engine keeps its data in a folder of ours, and not in a service that processes share."""
        return self.engine == "chroma" or (not self.url and self.engine == "qdrant") or self.in_folder

    @property
    def api_key(self) -> str | None:
        if not self.api_key_env:
            return None
        if self.api_key_env not in os.environ:
            raise ValueError(
                f"environment variable {self.api_key_env}, which {SETTINGS} names for the key of {self.engine}, is not "
                "set: set it and restart."
            )
        return os.environ[self.api_key_env]


def read_choice(file: Path, name: str) -> EngineChoice:
    """Return what settings.json says about a knowledge base: `{"engines": {"name or *": {"engine": ...}}}`."""
    if not file.is_file():
        return EngineChoice()
    try:
        engines = json.loads(file.read_text(encoding="utf-8")).get("engines", {})
        engines = {normalize("NFC", called): entry for called, entry in engines.items()}
        entry = engines.get(normalize("NFC", name), engines.get(DEFAULT, {}))
        known = {option.name for option in fields(EngineChoice)}
        if unknown := set(entry) - known:
            raise ValueError(f"'{min(unknown)}' is not known; an engine has {', '.join(sorted(known))}.")
        return EngineChoice(**entry)
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(f"{file}, engine of knowledge base '{name}': {error}") from error


def identity_of(path: Path) -> tuple[int, int] | None:
    """Tell a file or folder from every other that is or was at its path; None while there is none."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


def no_answer(name: str, choice: EngineChoice) -> ConnectionError:
    """Return the error of an engine whose server is not there. name: as its makers write it."""
    return ConnectionError(
        f"the {name} server {choice.url} of settings.json does not answer: start it, or correct its url."
    )


def as_keys(ids: Sequence[Any]) -> np.ndarray:
    return np.array([int(key) for key in ids], dtype=np.int64)
