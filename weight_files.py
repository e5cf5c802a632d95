"""Opens weights files: a safetensors header, the tensors of a pickle. Knows nothing of what they are for."""

import json
import zipfile
from pathlib import Path
from typing import Any

Shapes = dict[str, tuple[int, ...]]

MAX_HEADER_BYTES = 100_000_000  # the limit that the safetensors format itself sets


def read_safetensors_header(path: Path) -> Shapes:
    """Return {tensor name: shape}. Raises ValueError for what is damaged, or cut off before its last tensor ends."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(MAX_HEADER_BYTES, path.stat().st_size - 8):
            raise ValueError(f"{path.name} is damaged or not a safetensors file: download it again.")
        try:
            header = json.loads(stream.read(length))
            tensors = {key: value for key, value in header.items() if key != "__metadata__"}
            end = max((value["data_offsets"][1] for value in tensors.values()), default=0)
            shapes = {key: tuple(value["shape"]) for key, value in tensors.items()}
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"{path.name} is damaged or not a safetensors file: download it again.") from error
    if (size := path.stat().st_size) < 8 + length + end:
        raise ValueError(f"{path.name} is cut off, at {size:,} of {8 + length + end:,} bytes: download it again.")
    return shapes


def load_pickle(path: Path, device: str) -> dict[str, Any]:
    """Return {tensor name: torch.Tensor}, its tensors alone; device: torch's name, `meta` for shapes without values."""
    import pickle

    import torch

    try:
        tree = torch.load(path, map_location=device, weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path.name} holds more than tensors and is not opened, for it could run code: "
            "use the .safetensors version of it."
        ) from error
    except (RuntimeError, EOFError, OSError, LookupError, ValueError) as error:
        raise ValueError(f"{path.name} is damaged or not a PyTorch weights file: download it again.") from error
    if not isinstance(tree, dict):
        raise ValueError(f"{path.name} holds a {type(tree).__name__}, not a table of tensors.")
    return _flatten(tree.get("state_dict", tree))


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        elif hasattr(value, "shape"):
            flat[f"{prefix}{key}"] = value
    return flat
