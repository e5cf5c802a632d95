"""LoRA files: read, matched to the layers that they change, merged into the weights for one run and taken out again.

Merged rather than run beside the layers: sampling then costs nothing more a step, and no package is needed for it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...model_files.identify import identify, load_state_dict
from ...model_files.lora_keys import split_key
from ...model_files.opening import shown
from ..layers.convolution_packing import forget_packed
from ..layers.int8 import KeptLayer
from .adapters import Change, MatrixError, make_change
from .files import expect_lora
from .ldm_names import ldm_names
from .peft_settings import read_settings, scale_of, whole_fingerprint

logger = logging.getLogger("style_pack")

_UNET, _TEXT_ENCODER = "unet", "text_encoder"
# How the names of layers begin in peft's, diffusers', kohya's, LyCORIS' and ComfyUI's files; the longer ones first.
_PREFIXES = (
    ("text_encoders.clip_l.transformer.", _TEXT_ENCODER),
    ("text_encoder.", _TEXT_ENCODER),
    ("lora_te1_", _TEXT_ENCODER),
    ("lora_te_", _TEXT_ENCODER),
    ("base_model.model.text_model.", _TEXT_ENCODER),
    ("base_model.model.", _UNET),
    ("unet.", _UNET),
    ("lora_unet_", _UNET),
    ("lycoris_", _UNET),
    ("diffusion_model.", _UNET),
)


@dataclass(frozen=True)
class Lora:
    """One file at one strength.

    name: the file's.
    fingerprint: tells its content from others'.
    strength: how much of its changes is added, 1 = all; below 0 = their opposite.
    changes: part (`unet`, `text_encoder`) -> name of a weight or bias in that part -> change.
    left_out: what of the file changes nothing here, such as layers that the base model lacks.
    """

    name: str
    fingerprint: str
    strength: float
    changes: Mapping[str, Mapping[str, Change]]
    left_out: tuple[str, ...] = ()


def load_lora(file: Path, strength: float, parts: Mapping[str, torch.nn.Module], base: Mapping[str, str]) -> Lora:
    """Read one file and match it to the layers that it changes.

    parts: `unet` and `text_encoder`. base: their file, and what it is, for a message. Raises ValueError in one sentence
    when the file is no LoRA for them, from its header where that tells.
    """
    identified = expect_lora(identify(file))
    read, left_out = _read(file)
    changes: dict[str, dict[str, Change]] = {part: {} for part in parts}
    names = {part: _parameters(module) for part, module in parts.items()}
    absent, misfits = [], []
    for (part, name), change in read.items():
        own = names[part].get(name)
        if own is None:
            absent.append(f"{part} {name}")
        elif not change.fits(_parameter(parts[part], own).shape):
            misfits.append(f"{part} {name}")
        else:
            changes[part][own] = change
    if misfits or len(absent) > len(read) / 2 or not read:
        raise ValueError(_refusal(file.name, identified.description, absent + misfits, base))
    if left_out := (*left_out, *absent):
        logger.warning(
            "lora %s: %d of its parts change nothing here, such as %s.", file.name, len(left_out), left_out[0]
        )
    return Lora(file.name, whole_fingerprint(file), strength, changes, left_out)


def _refusal(name: str, description: str, unmatched: list[str], base: Mapping[str, str]) -> str:
    if not unmatched:
        return f"lora {name} is {description}, and changes no layer at all: choose another."
    return (
        f"lora {name} is {description}, and {len(unmatched)} of the layers that it changes are not "
        f"in {base['file']}, {base['is']}, or have another size there (the first: {unmatched[0]}): choose one made "
        "for this base_model."
    )


@contextmanager
def merged(module: torch.nn.Module, part: str, loras: Sequence[Lora]) -> Iterator[None]:
    """Change the weights of a part for as long as the context lasts; whatever ends it, they are bit for bit as before.

    Where several change one layer their changes are added up in float32 and rounded once, to the weight's dtype; the
    weights themselves are laid aside, not copied. On a layer in int8, whose steps are larger than most of what a LoRA
    changes, and on one that is kept narrower than it computes, that is done whenever it runs.
    """
    applied = {
        name: [
            (lora.strength, lora.changes[part][name]) for lora in loras if lora.strength and name in lora.changes[part]
        ]
        for name in sorted(_changed(part, loras))
    }
    originals: dict[str, torch.Tensor] = {}
    try:
        for name, changes in applied.items():
            layer, kind = _layer(module, name)
            if isinstance(layer, KeptLayer) and kind == "weight":
                device = layer.kept.device
                layer.additions = [(strength, change.on(device)) for strength, change in changes]
                continue
            parameter = getattr(layer, kind)
            total = parameter.data.float()
            for strength, change in changes:
                total = change.added_to(total, strength)
            originals[name] = parameter.data
            parameter.data = total.to(parameter.dtype)
        yield
    finally:
        for name, original in originals.items():
            layer, kind = _layer(module, name)
            getattr(layer, kind).data = original
            forget_packed(layer)  # which was made of the merged one
        for name in applied:
            layer, _ = _layer(module, name)
            if isinstance(layer, KeptLayer):
                layer.additions = ()


def merged_bytes(module: torch.nn.Module, part: str, loras: Sequence[Lora]) -> int:
    """Return what `merged` takes beside the weights that it lays aside."""
    changed = [_layer(module, name) for name in _changed(part, loras)]
    return sum(
        getattr(layer, kind).nbytes for layer, kind in changed if kind == "bias" or not isinstance(layer, KeptLayer)
    )


def _changed(part: str, loras: Sequence[Lora]) -> set[str]:
    return {name for lora in loras if lora.strength for name in lora.changes[part]}


def _layer(module: torch.nn.Module, name: str) -> tuple[Any, str]:
    """Return the layer that has a weight or bias, and which of both it is."""
    layer, _, kind = name.rpartition(".")
    return module.get_submodule(layer), kind


def _parameter(module: torch.nn.Module, name: str) -> torch.Tensor:
    """Return a weight or bias as a shape can be asked of it."""
    layer, kind = _layer(module, name)
    return layer.kept if kind == "weight" and isinstance(layer, KeptLayer) else getattr(layer, kind)


def _parameters(module: torch.nn.Module) -> dict[str, str]:
    """Return {name as `_normal` gives it: name} of all weights and biases. The IP-Adapter's are in no LoRA."""
    ldm = ldm_names(module) if hasattr(module, "down_blocks") else {}
    names = {}
    for name, layer in module.named_modules():
        if ".processor." in name or not isinstance(getattr(layer, "weight", None), torch.Tensor):
            continue
        for kind in ("weight", "bias") if getattr(layer, "bias", None) is not None else ("weight",):
            for spelling in {name, ldm.get(name, name)}:
                names[f"{_normal(spelling)}.{kind}"] = f"{name}.{kind}"
    return names


def _normal(layer: str) -> str:
    """Bring a layer's name to what all spellings share: underscores, and nothing that only some versions write."""
    layer = layer.replace(".processor.", ".").removeprefix("text_model.")
    layer = re.sub(r"self_attn\.to_([qkv])$", r"self_attn.\1_proj", layer)
    layer = re.sub(r"self_attn\.to_out$", "self_attn.out_proj", layer)
    return re.sub(r"to_out$", "to_out_0", layer.replace(".", "_")).removeprefix("text_model_")


def _read(file: Path) -> tuple[dict[tuple[str, str], Change], list[str]]:
    """Return {(part, normal name of a weight or bias): change}, and the tensors that belong to no layer."""
    layers: dict[str, dict[str, torch.Tensor]] = {}
    left_out = []
    for key, value in load_state_dict(file).items():
        layer, role = split_key(key) or (None, "")
        if layer is None:
            left_out.append(shown(key))
        else:
            layers.setdefault(layer, {})[role] = value
    settings = read_settings(file)
    changes: dict[tuple[str, str], Change] = {}
    for layer, roles in layers.items():
        _check_numbers(file.name, layer, roles)
        if any(value.numel() == 0 for value in roles.values()):  # a layer that a resize has emptied
            continue
        part, name = _split(layer)
        if bias := {"diff_b", "b_norm"} & roles.keys():
            changes[part, f"{_normal(name)}.bias"] = Change("diff", {"diff": roles[bias.pop()]})
        change = _change(file.name, layer, roles, settings)
        # ComfyUI's own trainer names a parameter that is no layer's weight by its whole name.
        own = f"{_normal(name.removesuffix('.bias'))}.bias" if name.endswith(".bias") else f"{_normal(name)}.weight"
        if change is not None:
            changes[part, own] = change
    return changes, left_out


def _check_numbers(file: str, layer: str, roles: Mapping[str, torch.Tensor]) -> None:
    alpha = roles.get("alpha")
    if alpha is not None and alpha.numel() != 1:
        raise ValueError(f"lora {file} has no number as alpha of layer '{shown(layer)}': download it again.")
    if not all(value.float().isfinite().all() for value in roles.values()):
        raise ValueError(f"lora {file} has numbers without a value (NaN) in layer '{shown(layer)}': download it again.")


def _change(file: str, layer: str, roles: Mapping[str, torch.Tensor], settings: Mapping[str, Any]) -> Change | None:
    """Return what a layer's tensors make of its weight; None when that stays as it is."""
    part, name = _split(layer)
    alpha = roles.get("alpha")

    def scale(rank: int) -> float:
        return scale_of(settings, part, name, rank) if alpha is None else float(alpha) / rank

    try:
        return make_change(roles, scale)
    except KeyError as error:
        raise ValueError(
            f"lora {file} has only one half of layer '{shown(layer)}' ({error.args[0]} is missing): download it again."
        ) from error
    except MatrixError as error:
        raise ValueError(f"lora {file} has no matrices for layer '{shown(layer)}': download it again.") from error


def _split(layer: str) -> tuple[str, str]:
    for prefix, part in _PREFIXES:
        if layer.startswith(prefix):
            return part, layer.removeprefix(prefix).removeprefix("base_model.model.")
    return _UNET, layer  # diffusers' first files name no part
