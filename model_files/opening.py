"""Opens weights files: a safetensors header, the tensors of a pickle. Knows nothing of what they are for."""

import json
import math
import zipfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

MAX_HEADER_BYTES = 100_000_000  # the limit that the safetensors format itself sets
# Bits of one number, by the name of its format. Source: `Dtype` of the safetensors format.
_BITS = {
    **{name: 4 for name in ("F4",)},
    **{name: 6 for name in ("F6_E2M3", "F6_E3M2")},
    **{name: 8 for name in ("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ")},
    **{name: 16 for name in ("I16", "U16", "F16", "BF16")},
    **{name: 32 for name in ("I32", "U32", "F32")},
    **{name: 64 for name in ("I64", "U64", "F64", "C64")},
}
_TEXT = (b"version https://git-lfs", b"<!", b"<html", b"<?xml")  # how what is no model at all begins
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # torch's archive, pickle's protocols
_DEEPEST = 8  # tables within tables of a pickle that are looked into


Shapes = dict[str, tuple[int, ...]]  # by the tensor's name; every size is an integer of at least 0


def shape_of(shapes: Shapes, name: str, *ranks: int) -> tuple[int, ...]:
    """Return the shape of a tensor by which a model is told.

    Raises ValueError when it is not there, holds nothing, or has another number of axes than one of `ranks`.
    """
    if name not in shapes:
        raise ValueError(f"lacks at least 1 of its tensors (such as {shown(name)})")
    if len(shapes[name]) not in ranks or 0 in shapes[name]:
        raise ValueError(f"has a tensor {shown(name)} of the shape {list(shapes[name])}, which no known model has")
    return shapes[name]


def shown(name: str, length: int = 100) -> str:
    """Return a name out of a file as a message can hold it: what can't be printed is escaped, and it is cut."""
    plain = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)
    return plain if len(plain) <= length else f"{plain[: length - 1]}…"


class PickleInside(ValueError):
    """A file is named as safetensors, and begins as a pickle does."""


def is_safetensors(path: Path) -> bool:
    """Tell by the name, or by how the file begins: some are named .ckpt or .bin."""
    if path.suffix.lower() in (".safetensors", ".sft"):
        return True
    with path.open("rb") as stream:
        start = stream.read(9)
    return start[8:] == b"{" and 2 <= int.from_bytes(start[:8], "little") <= MAX_HEADER_BYTES


def read_safetensors_header(path: Path) -> Shapes:
    """Return the shapes. Raises ValueError for what is damaged, or cut off before its last tensor ends."""
    return _read_header(path)[0]


def read_safetensors_metadata(path: Path) -> dict[str, str]:
    """Return what the file says of itself in words, beside its tensors. Raises ValueError for what is damaged."""
    metadata = _read_header(path)[1].get("__metadata__")
    return (
        {key: value for key, value in metadata.items() if isinstance(value, str)} if isinstance(metadata, dict) else {}
    )


def _read_header(path: Path) -> tuple[Shapes, dict[str, Any]]:
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(8)
        length = int.from_bytes(start, "little")
        if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
            if start.startswith(_PICKLES):
                raise PickleInside(f"{shown(path.name)} is a PyTorch file under the name of a safetensors file.")
            raise _damaged(path, start + stream.read(32))
        try:
            header = json.loads(stream.read(length), object_pairs_hook=_once_each)
            shapes, end = _checked(header)
        except (ValueError, RecursionError) as error:
            raise _damaged(path, start, str(error)) from error
    if size < 8 + length + end:
        raise ValueError(
            f"{shown(path.name)} is cut off, at {size:,} of {8 + length + end:,} bytes: download it again."
        )
    if size > 8 + length + end:
        raise _damaged(path, start, f"{size - 8 - length - end:,} bytes follow its last tensor")
    return shapes, header


def load_safetensors(path: Path) -> dict[str, Any]:
    """Return {tensor name: torch.Tensor on the CPU}. Raises ValueError for what is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    read_safetensors_header(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise _damaged(path, b"", shown(str(error))) from error


def load_pickle(path: Path, device: str) -> dict[str, Any]:
    """Return {tensor name: torch.Tensor}, its tensors alone; device: torch's name, `meta` for shapes without values."""
    import pickle
    import struct

    import torch

    with path.open("rb") as stream:
        start = stream.read(40)
    if not start.startswith((b"PK", b"\x80")):  # a zip archive, or a pickle of protocol 2 and later
        raise _damaged(path, start, "it begins with neither an archive's nor a pickle's mark", "PyTorch weights")
    try:
        with _holders(), path.open("rb") as stream:
            if path.suffix.lower() == ".safetensors":  # by which torch would choose the other format
                tree = torch.load(stream, map_location=device, weights_only=True)
            else:
                tree = torch.load(path, map_location=device, weights_only=True, mmap=zipfile.is_zipfile(path))
        tree = {str(number): part for number, part in enumerate(tree)} if isinstance(tree, list) else tree
        if isinstance(tree, dict):
            inner = tree.get("state_dict", tree)
            return _flatten(inner if isinstance(inner, dict) else tree)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{shown(path.name)} holds more than tensors and is not opened, for it could run code: "
            "use the .safetensors version of it."
        ) from error
    except (
        *(RuntimeError, EOFError, OSError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError),
        *(ImportError, AssertionError, MemoryError, struct.error, zipfile.BadZipFile),
    ) as error:
        raise _damaged(path, start, type(error).__name__, "PyTorch weights") from error
    raise ValueError(f"{shown(path.name)} holds a {type(tree).__name__}, not a table of tensors.")


def _holders() -> AbstractContextManager[Any]:
    """Let torch read the table of parameters that embeddings were saved in until 2023. Before 2.5 it can't be told."""
    import torch

    allowed = getattr(torch.serialization, "safe_globals", None)
    return allowed([torch.nn.ParameterDict]) if allowed else nullcontext()


def _flatten(tree: Any, prefix: str = "", depth: int = 0) -> dict[str, Any]:
    import torch

    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, (dict, torch.nn.ParameterDict)) and depth < _DEEPEST:
            flat |= _flatten(value, f"{prefix}{key}.", depth + 1)
        elif isinstance(value, torch.Tensor):
            flat[f"{prefix}{key}"] = value
    return flat


def _damaged(path: Path, start: bytes, reason: str = "", format_name: str = "safetensors") -> ValueError:
    if start.lstrip().lower().startswith(_TEXT):
        return ValueError(
            f"{shown(path.name)} is a text, not a model (a Git LFS pointer, or a web page that was saved in its "
            "place): download the file itself."
        )
    detail = f" ({shown(reason)})" if reason else ""
    return ValueError(f"{shown(path.name)} is damaged or not a {format_name} file{detail}: download it again.")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("it names something twice")
    return members


def _checked(header: Any) -> tuple[Shapes, int]:
    """Return the shapes of a header and where the last tensor ends; they lie one behind the other, without a gap."""
    if not isinstance(header, dict):
        raise ValueError("its header is no table")
    tensors = {name: _tensor(name, about) for name, about in header.items() if name != "__metadata__"}
    end = 0
    for name, (_, begins, ends) in sorted(tensors.items(), key=lambda item: item[1][1:]):
        if begins != end:
            raise ValueError(f"tensor {shown(name)} begins at {begins}, not at {end}")
        end = ends
    return {name: shape for name, (shape, _, _) in tensors.items()}, end


def _tensor(name: str, about: Any) -> tuple[tuple[int, ...], int, int]:
    """Return shape, begin and end of one entry; its numbers fill its bytes."""
    entry = about if isinstance(about, dict) else {}
    shape, offsets, bits = _sizes(entry.get("shape")), _sizes(entry.get("data_offsets")), entry.get("dtype")
    if shape is None or offsets is None or len(offsets) != 2:
        raise ValueError(f"tensor {shown(name)} has no sizes and place")
    if not isinstance(bits, str) or bits not in _BITS:
        raise ValueError(f"tensor {shown(name)} has an unknown number format")
    if math.prod(shape) * _BITS[bits] != 8 * (offsets[1] - offsets[0]):
        raise ValueError(f"tensor {shown(name)} has not the bytes of its shape")
    return shape, offsets[0], offsets[1]


def _sizes(shape: Any) -> tuple[int, ...] | None:
    if isinstance(shape, list) and all(type(size) is int and 0 <= size < 2**63 for size in shape):
        return tuple(shape)
    return None
