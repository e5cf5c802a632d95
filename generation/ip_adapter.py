"""IP-Adapter's weights, set on a UNet."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from diffusers import StableDiffusionPipeline

from ..model_files import ModelFile, load_state_dict
from .style_attention import use_style_attention


class StyleAdapter(torch.nn.ModuleList):
    """The layers that an IP-Adapter has added to a UNet: its projection, and each cross-attention's keys and values."""


def add_ip_adapter(unet: Any, image_encoder: Any, image_processor: Any, file: ModelFile) -> StyleAdapter:
    """Give the UNet the adapter's layers, where its own are, and return them.

    diffusers' loader belongs to a pipeline, so one is made for it.
    """
    tree: dict[str, dict[str, torch.Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for key, value in load_state_dict(file.path).items():
        part, _, rest = key.partition(".")
        if part in tree:
            tree[part][rest] = value
    loader = StableDiffusionPipeline(
        None, None, None, unet, None, None, image_processor, image_encoder, requires_safety_checker=False
    )
    verbosity = diffusers.logging.get_verbosity()
    diffusers.logging.set_verbosity_error()  # 0.42 warns of its own cast, and names no module that it would harm
    try:
        loader.load_ip_adapter(tree, subfolder="", weight_name="", image_encoder_folder=None)
    finally:
        diffusers.logging.set_verbosity(verbosity)
    use_style_attention(unet)
    processors = [processor for processor in unet.attn_processors.values() if isinstance(processor, torch.nn.Module)]
    return StyleAdapter([unet.encoder_hid_proj, *processors])
