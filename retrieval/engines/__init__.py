"""One vector engine a file, each behind `StyleIndex`, each the only user of its package; and which one is opened."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from .base import PACKAGES, SETTINGS, EngineChoice, StyleIndex


def open_index(choice: EngineChoice, folder: Path, collection: str, own_process: bool = False) -> StyleIndex:
    """Open the engine. folder: for one that keeps its data in ours. collection: its name in one that is shared.

    own_process: in a process of its own, where the engine would keep this one's other threads waiting.
    """
    module, package = PACKAGES[choice.engine]
    if importlib.util.find_spec(module) is None:
        raise ImportError(
            f"engine {choice.engine} needs the package {module}, which is not installed: run `python -m pip install "
            f"{package}` and restart, or choose another engine in {SETTINGS}."
        )
    if choice.engine == "chroma" and own_process and sys.executable:  # none in a program that Python is only a part of
        from .own_process import ProcessIndex

        return ProcessIndex(choice, folder, collection)
    if choice.engine in ("chroma", "chroma-server"):
        from .chroma import ChromaIndex

        return ChromaIndex(choice, folder, collection)
    if choice.engine == "qdrant":
        from .qdrant import QdrantIndex

        return QdrantIndex(choice, folder, collection)
    from .langchain import LangChainIndex

    return LangChainIndex(choice, folder, collection)
