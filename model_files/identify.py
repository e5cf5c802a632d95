"""Weights files and model folders: what each is, its tensors, and what tells it from others."""

import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any, TypeVar

from .json_files import JsonFile
from .kinds import ModelFile, kind_of_file, kind_of_folder
from .names import published_names, unscaled
from .opening import (
    PickleInside,
    Shapes,
    is_safetensors,
    load_pickle,
    load_safetensors,
    read_safetensors_header,
    read_safetensors_metadata,
    shown,
)

Found = TypeVar("Found")

# The weights files of a model's folder: diffusers' names, transformers' two, each with a variant such as fp16.
_WEIGHTS = re.compile(
    r"(diffusion_pytorch_model|model|pytorch_model)(?P<variant>\.[\w-]+?)?\.(safetensors|bin)(\.index(?P<other>\.\w+)?\.json)?$"
)
_CONFIGS = ("config.json", "unet/config.json", "1_Pooling/config.json")  # what tells what a folder is


def read_shapes(path: Path) -> Shapes:
    """Return {tensor name: shape} of a weights file without reading its tensors.

    Raises ValueError when the file is damaged or holds anything but tensors.
    """
    return published_names(_read(path, read_safetensors_header, _pickled_shapes))


def load_state_dict(path: Path) -> dict[str, Any]:
    """Return {tensor name: torch.Tensor on the CPU}; nested dicts are joined with dots. Pickles load weights only.

    Names are the published ones; scaled fp8 (`scale_weight` beside a weight) comes as the float32 that it stands for.
    """
    return unscaled(published_names(_read(path, load_safetensors, lambda path: load_pickle(path, "cpu"))))


def read_metadata(path: Path) -> dict[str, str]:
    """Return what a safetensors file says of itself in words; nothing for other files."""
    return _read(path, read_safetensors_metadata, lambda _: {})


def _read(path: Path, of_safetensors: Callable[[Path], Found], of_pickle: Callable[[Path], Found]) -> Found:
    """Read a file as its name says, or as its content does where that is otherwise."""
    if is_safetensors(path):
        with suppress(PickleInside):
            return of_safetensors(path)
    return of_pickle(path)


def _pickled_shapes(path: Path) -> Shapes:
    return {key: tuple(value.shape) for key, value in load_pickle(path, "meta").items()}


def load_folder(folder: Path) -> dict[str, Any]:
    """Return the tensors of a model's folder in diffusers' or transformers' layout, in one file or in shards.

    Raises ValueError in one sentence when there are none, or not all.
    """
    names = sorted((path.name for path in folder.iterdir() if _WEIGHTS.match(path.name)), key=_preference)
    if not names:
        raise ValueError(f"{shown(str(folder))} holds no weights: download it again.")
    if not names[0].endswith(".json"):
        return load_state_dict(folder / names[0])
    table = JsonFile.read(folder / names[0]).part("weight_map").values.values()
    shards = {name for name in table if isinstance(name, str) and name == Path(name).name}
    absent = sorted(name for name in shards if not (folder / name).is_file())
    if absent or not shards:
        lacks = f"lacks {len(absent)} of its files (such as {shown(absent[0])})" if absent else "names no weights files"
        raise ValueError(f"{shown(str(folder))} {lacks}: download it again.")
    return {name: value for shard in sorted(shards) for name, value in load_state_dict(folder / shard).items()}


def _preference(name: str) -> tuple[bool, bool, bool, str]:
    """As published, then what says fp16, then any other variant; of each safetensors, and whole before in shards."""
    match = _WEIGHTS.match(name)
    variant = (match and (match["variant"] or match["other"])) or ""
    return variant != "", variant != ".fp16", ".safetensors" not in name, name


def identify(path: Path) -> ModelFile:
    """Say what a weights file, or a folder in diffusers' or transformers' layout, is.

    It is read once a version: the next time only its size and time are asked for. Raises ValueError in one sentence
    for what is no model or damaged, OSError for what the system does not let it read; nothing else.
    """
    answer = _identified(path, _version(path))
    if isinstance(answer, str):
        raise ValueError(answer)
    return answer


@cache
def _identified(path: Path, version: tuple[Any, ...]) -> ModelFile | str:
    """Return what it is, or why that can't be told."""
    try:
        return kind_of_folder(path) if path.is_dir() else kind_of_file(path, read_shapes(path))
    except ValueError as error:
        return str(error)


def _version(path: Path) -> tuple[Any, ...]:
    """Return size and time of what `identify` reads. Raises OSError, also for what is neither file nor folder."""
    stat = path.stat()
    if S_ISDIR(stat.st_mode):
        return tuple(_stamp(path / name) for name in _CONFIGS)
    if not S_ISREG(stat.st_mode):
        raise FileNotFoundError(f"{shown(path.name)} is neither a file nor a folder: put the model itself there.")
    return stat.st_size, stat.st_mtime_ns


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def fingerprint(path: Path) -> str:
    """Return 16 hex digits that tell one weights file from another: SHA-256 of size, first and last megabyte.

    A full hash of a 4 GB checkpoint would cost more than making a picture. A folder is the hash of its weights files.
    """
    digest = hashlib.sha256()
    inside = (file for file in path.rglob("*") if file.suffix in (".safetensors", ".bin") and file.is_file())
    files = [path] if path.is_file() else sorted(inside)
    for file in files:
        size = file.stat().st_size
        digest.update(str(size).encode())
        with file.open("rb") as stream:
            digest.update(stream.read(1 << 20))
            stream.seek(max(0, size - (1 << 20)))
            digest.update(stream.read())
    return digest.hexdigest()[:16]
