"""The names of a file's tensors as its makers published them: what a tool put around them is taken off."""

from collections.abc import Mapping
from typing import Any, TypeVar

Value = TypeVar("Value")

_COMPILED = "_orig_mod."  # what torch.compile puts before the names of what it compiled
# What lies around every name: torch's DistributedDataParallel, and a pipeline's image encoder that was saved by itself.
_AROUND_ALL = ("module.", "image_encoder.")
# Other names of the same part -> the published one: text encoders of SGM's exports, IP-Adapters as they are trained.
_PARTS = {
    "conditioner.embedders.0.transformer.": "cond_stage_model.transformer.",
    "image_proj_model.": "image_proj.",
    "adapter_modules.": "ip_adapter.",
}


def published_names(tensors: Mapping[str, Value]) -> dict[str, Value]:
    """Return the same values by their published names; all by their own ones where two would get one name."""
    renamed = {name: name.replace(_COMPILED, "") for name in tensors}
    for around in _AROUND_ALL:
        if all(name.startswith(around) for name in renamed.values()):
            renamed = {own: name.removeprefix(around) for own, name in renamed.items()}
    for other, published in _PARTS.items():
        renamed = {
            own: published + name.removeprefix(other) if name.startswith(other) else name
            for own, name in renamed.items()
        }
    if len(set(renamed.values())) < len(renamed):
        return dict(tensors)
    return {renamed[own]: value for own, value in tensors.items()}


def unscaled(state: dict[str, Any]) -> dict[str, Any]:
    """Return tensors with each weight that has a scale beside it (fp8 as ComfyUI saves it) multiplied by that."""
    scales = {name: name.removesuffix("scale_weight") + "weight" for name in state if name.endswith(".scale_weight")}
    for name, weight in scales.items():
        scale = state.pop(name)
        if weight in state:
            state[weight] = state[weight].float() * scale.float()
    return state
