"""Models that several pipelines use, loaded once, and UNets that share their layers but not their IP-Adapter."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch

_READ = (".safetensors", ".bin", ".json")  # of a folder


class SharedModels:
    """The models that are in use, by what they were loaded from. One that no pipeline has any more is forgotten."""

    def __init__(self) -> None:
        self._models: WeakValueDictionary[Hashable, torch.nn.Module] = WeakValueDictionary()

    def get(self, keys: Mapping[str, Hashable], load: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """Return {part: model} of one file: those in use, and what `load` gives for the rest, if there is any."""
        models: dict[str, Any] = {part: self._models.get((part, key)) for part, key in keys.items()}
        if None in models.values():
            loaded = load()
            models = {part: loaded[part] if model is None else model for part, model in models.items()}
            self._models.update({(part, key): models[part] for part, key in keys.items()})
        return models


def file_version(path: Path) -> Hashable:
    """Return what tells a file, or a folder's files, from all others and from what was replaced under its name."""
    files = [path] if path.is_file() else sorted(filter(_is_read, path.rglob("*")))
    return tuple((str(file.resolve()), (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files)


def _is_read(file: Path) -> bool:
    return file.suffix in _READ and file.is_file()


def of_the_same_layers(model: torch.nn.Module) -> Any:
    """Return a copy of a model that computes with the same layers, the very objects, wherever they are moved to.

    What only holds other modules is copied: an attention's processor can be set on one and not on the other.
    """
    return copy.deepcopy(model, {id(layer): layer for layer in model.modules() if not any(layer.children())})
