"""Opens the JSON files that describe a model, and hands out values of the kinds that they have to be."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .opening import shown

_MAX_BYTES = 64_000_000  # the largest published ones, tokenizers of 250,000 words, have 20 million
_MAX_SIZE = 2**31


def read_json(path: Path) -> Any:
    """Raise ValueError in one sentence for what is no JSON, OSError when it can't be read."""
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{_where(path)} is too long for a description of a model: download it again.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{_where(path)} is not valid JSON ({shown(str(error))}): download it again.") from error


@dataclass(frozen=True)
class JsonFile:
    """A JSON object and where it lies. Each of its methods raises ValueError in one sentence for another kind."""

    path: Path
    values: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> JsonFile:
        """Raise ValueError when the file holds no JSON object, OSError when it can't be read."""
        values = read_json(path)
        if not isinstance(values, dict):
            raise ValueError(f"{_where(path)} holds no JSON object: download it again.")
        return cls(path, values)

    def size(self, name: str, default: int) -> int:
        """Return a whole number above 0; the default where it is left out or null."""
        value = self.values.get(name)
        if value is None:
            return default
        if type(value) is not int or not 0 < value < _MAX_SIZE:
            raise self._wrong(name, "a whole number above 0")
        return value

    def text(self, name: str) -> str:
        """Return a text; an empty one where it is left out or null."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, str):
            raise self._wrong(name, "a text")
        return value or ""

    def part(self, name: str) -> JsonFile:
        """Return the object within; an empty one where it is left out or null."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, dict):
            raise self._wrong(name, "an object")
        return JsonFile(self.path, value or {})

    def _wrong(self, name: str, wanted: str) -> ValueError:
        value = shown(json.dumps(self.values[name])[:40])
        return ValueError(f"{_where(self.path)} says {name}: {value}, where {wanted} belongs: download it again.")


def _where(path: Path) -> str:
    return shown(str(path))
