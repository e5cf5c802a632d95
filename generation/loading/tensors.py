"""Models out of named tensors, all of them: a model is never completed with random ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from ...model_files.configs import unbuildable
from ...model_files.identify import ModelFile
from ...model_files.json_files import JsonFile
from ...model_files.opening import shown

# diffusers' names of attention layers until 2022, which the VAE of SD 1.5 on the Hub still has.
_OLD_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def build(model: Any, config: Mapping[str, Any], state: Mapping[str, Any], dtype: torch.dtype, file: ModelFile) -> Any:
    """Build one of diffusers' models around tensors, so that nothing is allocated or initialised twice.

    Raises ValueError in one sentence when some are missing or of another size.
    """
    try:
        with torch.device("meta"):
            built = model.from_config(dict(config))
    except unbuildable() as error:
        raise ValueError(
            f"{_named(file)}, but its config.json describes no {model.__name__} ({shown(str(error))}): download it "
            "again."
        ) from error
    expected = {name: tuple(tensor.shape) for name, tensor in built.state_dict().items()}
    present = {name: value for name, value in _todays_names(state, expected).items() if name in expected}
    check_tensors(file, model.__name__, expected, present)
    built.load_state_dict({name: value.to(dtype) for name, value in present.items()}, strict=True, assign=True)
    return built


def check_tensors(
    file: ModelFile, model: str, expected: Mapping[str, tuple[int, ...]], present: Mapping[str, Any]
) -> None:
    """Raise ValueError in one sentence, with how many and one name, for tensors that are missing or of another size."""
    missing = [name for name in expected if name not in present]
    other = [(name, tuple(present[name].shape), shape) for name, shape in expected.items() if name in present]
    refuse(file, model, missing, [(name, has, wants) for name, has, wants in other if has != wants])


def refuse(file: ModelFile, model: str, missing: Iterable[str], other: Iterable[tuple[str, Any, Any]]) -> None:
    """Raise ValueError when there is any. other: name, shape in the file, and shape in the model."""
    absent, unlike = sorted(missing), sorted(other, key=lambda tensor: tensor[0])
    lacks = f"lacks {len(absent)} of its tensors (such as {shown(absent[0])} of {model})" if absent else ""
    if unlike:
        name, has, wants = unlike[0]
        raise ValueError(
            f"{_named(file)}, but its tensors do not fit {model} of SD 1.5 ({len(unlike)} have another size, such as "
            f"{shown(name)}: {list(has)} and not {list(wants)}{f'; it {lacks}' if lacks else ''}): choose another."
        )
    if lacks:
        raise ValueError(f"{_named(file)}, but {lacks}: download it again or choose another.")


def read_config(folder: Path) -> dict[str, Any]:
    return JsonFile.read(folder / "config.json").values


def _named(file: ModelFile) -> str:
    return f"{shown(file.path.name)} is {file.description}"


def _todays_names(state: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    return {name if name in expected else _renamed(name): value for name, value in state.items()}


def _renamed(name: str) -> str:
    for old, new in _OLD_NAMES.items():
        name = name.replace(old, new)
    return name
