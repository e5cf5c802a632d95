"""An image encoder in OpenCLIP's own layout, by transformers' names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import torch

_LAYER = r"visual\.transformer\.resblocks\.(\d+)\."
# OpenCLIP's name -> transformers'. Sources: open_clip/transformer.py, and the conversion that transformers publishes
# its CLIP models by; {0} is a layer's number.
_NAMES = (
    (r"visual\.class_embedding$", "vision_model.embeddings.class_embedding"),
    (r"visual\.positional_embedding$", "vision_model.embeddings.position_embedding.weight"),
    (r"visual\.conv1\.weight$", "vision_model.embeddings.patch_embedding.weight"),
    (r"visual\.ln_pre\.", "vision_model.pre_layrnorm."),
    (r"visual\.ln_post\.", "vision_model.post_layernorm."),
    (rf"{_LAYER}ln_([12])\.", "vision_model.encoder.layers.{0}.layer_norm{1}."),
    (rf"{_LAYER}attn\.out_proj\.", "vision_model.encoder.layers.{0}.self_attn.out_proj."),
    (rf"{_LAYER}mlp\.c_fc\.", "vision_model.encoder.layers.{0}.mlp.fc1."),
    (rf"{_LAYER}mlp\.c_proj\.", "vision_model.encoder.layers.{0}.mlp.fc2."),
)


def vision_tower(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the image encoder's tensors by transformers' names; a text encoder beside it is left out.

    tensors: any dtype, by OpenCLIP's names (`visual.`). Query, key and value lie one below the other there, (3 D, D)
    and (3 D,), and the projection is (D, out).
    """
    return {name: value for own, tensor in tensors.items() for name, value in _renamed(own, tensor)}


def _renamed(own: str, tensor: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    if own == "visual.proj":
        yield "visual_projection.weight", tensor.T
    elif match := re.match(rf"{_LAYER}attn\.in_proj_(weight|bias)$", own):
        for part, value in zip("qkv", tensor.chunk(3), strict=True):
            yield f"vision_model.encoder.layers.{match[1]}.self_attn.{part}_proj.{match[2]}", value
    else:
        for pattern, name in _NAMES:
            if match := re.match(pattern, own):
                yield name.format(*match.groups()) + own[match.end() :], tensor
