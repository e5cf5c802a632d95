"""LoRA files: read, matched to the layers that they change, merged into the weights for one run and taken out again.

Merged rather than run beside the layers: sampling then costs nothing more a step, and no package is needed for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ...model_files.identify import fingerprint, identify, load_state_dict, read_metadata
from ...model_files.opening import shown
from ..layers.convolution_packing import forget_packed
from ..layers.int8 import KeptLayer
from .files import expect_lora

# How trainers end a key: kohya `.lora_down.weight`, peft `.lora_A.weight`, diffusers `.lora.down.weight`, and before
# 0.20 `_lora.down.weight` and `.lora_linear_layer.down.weight`.
_FACTOR = re.compile(
    r"(?P<layer>.+?)(?:\.lora_(?P<kohya>down|up)|\.lora_(?P<peft>[AB])(?:\.default)?"
    r"|[._]lora\.(?P<diffusers>down|up)|\.lora_linear_layer\.(?P<old>down|up))\.weight"
)
_UNET, _TEXT_ENCODER = "unet", "text_encoder"
_PREFIXES = {  # of layers in peft's, diffusers' and kohya's files
    _TEXT_ENCODER: ("text_encoder.", "lora_te_", "lora_te1_"),
    _UNET: ("base_model.model.", "unet.", "lora_unet_"),
}


@dataclass(frozen=True)
class Change:
    """What a LoRA adds to one layer's weight: scale * up @ down.

    down: (rank, in, ...).
    up: (out, rank, ...).
    """

    down: torch.Tensor
    up: torch.Tensor
    scale: float

    def added_to(self, weight: torch.Tensor, strength: float) -> torch.Tensor:
        """Return `weight`, float32, with that much of the change, in its shape and on its device."""
        up, down = (factor.to(weight.device, torch.float32).flatten(1) for factor in (self.up, self.down))
        return torch.addmm(weight.flatten(1), up, down, alpha=strength * self.scale).reshape(weight.shape)

    def on(self, device: torch.device) -> Change:
        return replace(self, down=self.down.to(device), up=self.up.to(device))


@dataclass(frozen=True)
class Lora:
    """One file at one strength.

    name: the file's.
    fingerprint: tells its content from others'.
    strength: how much of its changes is added, 1 = all; below 0 = their opposite.
    changes: part (`unet`, `text_encoder`) -> layer's name in that part -> change.
    """

    name: str
    fingerprint: str
    strength: float
    changes: Mapping[str, Mapping[str, Change]]


def load_lora(file: Path, strength: float, parts: Mapping[str, torch.nn.Module], base: Mapping[str, str]) -> Lora:
    """Read one file and match it to the layers that it changes.

    parts: `unet` and `text_encoder`. base: their file, and what it is, for a message. Raises ValueError in one sentence
    when the file is no LoRA for them, from its header where that tells.
    """
    identified = expect_lora(identify(file))
    layers = {part: _layers(module) for part, module in parts.items()}
    changes: dict[str, dict[str, Change]] = {part: {} for part in parts}
    unmatched = []
    for (part, layer), change in _read(file).items():
        name = layers[part].get(layer)
        if name is None or not _fits(change, parts[part].get_submodule(name)):
            unmatched.append(f"{part} {layer}")
        else:
            changes[part][name] = change
    if unmatched:
        raise ValueError(
            f"lora {file.name} is {identified.description}, and {len(unmatched)} of the layers that it changes are not "
            f"in {base['file']}, {base['is']}, or have another size there (the first: {unmatched[0]}): choose one made "
            "for this base_model."
        )
    return Lora(file.name, fingerprint(file), strength, changes)


@contextmanager
def merged(module: torch.nn.Module, part: str, loras: Sequence[Lora]) -> Iterator[None]:
    """Change the weights of a part for as long as the context lasts; whatever ends it, they are bit for bit as before.

    Where several change one layer their changes are added up in float32 and rounded once, to the weight's dtype; the
    weights themselves are laid aside, not copied. On a layer in int8, whose steps are larger than most of what a LoRA
    changes, and on one that is kept narrower than it computes, that is done whenever it runs.
    """
    names = {name for lora in loras if lora.strength for name in lora.changes[part]}
    layers: dict[str, Any] = {name: module.get_submodule(name) for name in sorted(names)}
    originals: dict[str, torch.Tensor] = {}
    try:
        for name, layer in layers.items():
            weight = layer.weight.data
            applied = [(lora.strength, lora.changes[part][name]) for lora in loras if name in lora.changes[part]]
            if isinstance(layer, KeptLayer):
                layer.additions = [(strength, change.on(weight.device)) for strength, change in applied]
                continue
            total = weight.float()
            for strength, change in applied:
                total = change.added_to(total, strength)
            originals[name] = weight
            layer.weight.data = total.to(weight.dtype)
        yield
    finally:
        for name, original in originals.items():
            layers[name].weight.data = original
            forget_packed(layers[name])  # which was made of the merged one
        for layer in layers.values():
            if isinstance(layer, KeptLayer):
                layer.additions = ()


def merged_bytes(module: torch.nn.Module, part: str, loras: Sequence[Lora]) -> int:
    """Return what `merged` takes beside the weights that it lays aside."""
    names = {name for lora in loras if lora.strength for name in lora.changes[part]}
    layers: list[Any] = [module.get_submodule(name) for name in names]
    return sum(layer.weight.nbytes for layer in layers if not isinstance(layer, KeptLayer))


def _layers(module: torch.nn.Module) -> dict[str, str]:
    """Return {name as `_normal` gives it: name} of all layers with a weight. The IP-Adapter's are in no LoRA."""
    named = (name for name, layer in module.named_modules() if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d))
    return {_normal(name): name for name in named if ".processor." not in name}


def _normal(layer: str) -> str:
    """Bring a layer's name to what all spellings share: underscores, and nothing that only some versions write."""
    layer = layer.replace(".processor.", ".").removeprefix("text_model.")
    layer = re.sub(r"self_attn\.to_([qkv])$", r"self_attn.\1_proj", layer)
    layer = re.sub(r"self_attn\.to_out$", "self_attn.out_proj", layer)
    return re.sub(r"to_out$", "to_out_0", layer.replace(".", "_")).removeprefix("text_model_")


def _read(file: Path) -> dict[tuple[str, str], Change]:
    """Return {(part, normal layer name): change} of a file in any of the layouts."""
    state = load_state_dict(file)
    factors: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in state.items():
        if match := _FACTOR.fullmatch(key):
            role = match["kohya"] or match["diffusers"] or match["old"] or {"A": "down", "B": "up"}[match["peft"]]
            factors.setdefault(match["layer"], {})[role] = value
        elif not key.endswith(".alpha"):
            raise ValueError(
                f"lora {file.name} holds '{shown(key)}', which is no part of a plain LoRA (LoHa, LoKr, DoRA and "
                "trained biases are not supported): choose another."
            )
    settings = _peft_settings(file)
    changes = {}
    for layer, pair in factors.items():
        if pair.keys() != {"down", "up"}:
            raise ValueError(f"lora {file.name} has only one half of layer '{shown(layer)}': download it again.")
        if min(pair["down"].ndim, pair["up"].ndim) < 2:
            raise ValueError(f"lora {file.name} has no matrices for layer '{shown(layer)}': download it again.")
        rank = pair["down"].shape[0]
        if rank == 0:  # a layer that a resize has emptied: it changes nothing
            continue
        part, name = _split(layer)
        alpha = state.get(f"{layer}.alpha")
        if alpha is not None and alpha.numel() != 1:
            raise ValueError(f"lora {file.name} has no number as alpha of layer '{shown(layer)}': download it again.")
        scale = _peft_scale(settings, part, name, rank) if alpha is None else float(alpha) / rank
        changes[part, _normal(name)] = Change(pair["down"], pair["up"], scale)
    return changes


def _split(layer: str) -> tuple[str, str]:
    for part, prefixes in _PREFIXES.items():
        for prefix in prefixes:
            if layer.startswith(prefix):
                return part, layer.removeprefix(prefix).removeprefix("base_model.model.")
    return _UNET, layer  # diffusers' first files name no part


def _peft_settings(file: Path) -> dict[str, Any]:
    """Return what diffusers since 0.34 writes into the header: `unet.lora_alpha`, `text_encoder.alpha_pattern`, ..."""
    try:
        settings = json.loads(read_metadata(file).get("lora_adapter_metadata", "{}"))
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise ValueError(f"lora {file.name} says nothing readable of its settings: download it again.")
    if any(settings.get(f"{part}.use_dora") for part in _PREFIXES):
        raise ValueError(f"lora {file.name} is a DoRA, which is not supported: choose another.")
    return settings


def _peft_scale(settings: dict[str, Any], part: str, layer: str, rank: int) -> float:
    """Return alpha / rank, or alpha / sqrt(rank) for rank-stabilised LoRA, by peft's rules; without alpha 1."""
    alpha = settings.get(f"{part}.lora_alpha", rank)
    patterns = settings.get(f"{part}.alpha_pattern") or {}
    try:
        for pattern, value in patterns.items():
            if re.fullmatch(rf"(.*\.)?({pattern})", layer):
                alpha = value
        return float(alpha) / (rank**0.5 if settings.get(f"{part}.use_rslora") else rank)
    except (re.error, AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"the LoRA's own settings have no number as alpha of layer '{shown(layer)}': download it again."
        ) from error


def _fits(change: Change, layer: Any) -> bool:
    rank, weight = change.down.shape[0], layer.weight
    return change.up.flatten(1).shape == (weight.shape[0], rank) and change.down[0].numel() == weight[0].numel()
