"""IP-Adapter's weights, set on a UNet."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from diffusers import StableDiffusionPipeline

from ...model_files.identify import ModelFile, load_state_dict
from ...model_files.opening import Shapes
from ..layers.style_attention import use_style_attention
from .tensors import check_tensors


class StyleAdapter(torch.nn.ModuleList):
    """The layers that an IP-Adapter has added to a UNet: its projection, and each cross-attention's keys and values."""


def add_ip_adapter(unet: Any, image_encoder: Any, image_processor: Any, file: ModelFile) -> StyleAdapter:
    """Give the UNet the adapter's layers, where its own are, and return them.

    diffusers' loader belongs to a pipeline, so one is made for it. Raises ValueError in one sentence when tensors are
    missing, or of another size than this UNet and image encoder need.
    """
    tree: dict[str, dict[str, torch.Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    state = load_state_dict(file.path)
    check_tensors(file, "IP-Adapter", _expected(unet, image_encoder, state), state)
    for key, value in state.items():
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


def _expected(unet: Any, image_encoder: Any, state: dict[str, torch.Tensor]) -> Shapes:
    """Return {name: shape} of all that an IP-Adapter for this UNet and image encoder has to hold, of each kind.

    The layers are numbered by their place among all attentions, as its training code does.
    """
    projection = {key.removeprefix("image_proj."): tuple(value.shape) for key, value in state.items()}
    cross, config = unet.config.cross_attention_dim, image_encoder.config
    if any(key in projection for key in ("proj.weight", "proj.bias")):
        expected = _linear(cross, config.projection_dim)
    elif any(key in projection for key in ("proj.3.weight", "proj.3.bias")):
        expected = _two_layers(cross, config.hidden_size)
    else:
        expected = _resampler(cross, config.hidden_size, projection)
    expected = {f"image_proj.{name}": shape for name, shape in expected.items()}
    for number, name in enumerate(unet.attn_processors):
        if name.endswith("attn2.processor"):
            inner = unet.get_submodule(name.removesuffix(".processor")).to_q.out_features
            expected |= {f"ip_adapter.{number}.{key}_ip.weight": (inner, cross) for key in ("to_k", "to_v")}
    return expected


def _linear(cross: int, width: int) -> Shapes:
    """Base and light: four tokens."""
    return {
        "proj.weight": (4 * cross, width),
        "proj.bias": (4 * cross,),
        "norm.weight": (cross,),
        "norm.bias": (cross,),
    }


def _two_layers(cross: int, width: int) -> Shapes:
    """Full-face: a token for each of the image encoder's."""
    return {
        **{"proj.0.weight": (width, width), "proj.0.bias": (width,)},
        **{"proj.2.weight": (cross, width), "proj.2.bias": (cross,)},
        **{"proj.3.weight": (cross,), "proj.3.bias": (cross,)},
    }


def _resampler(cross: int, image_width: int, shapes: Shapes) -> Shapes:
    """Plus: four layers of attention and feed-forward; how many tokens, and how wide, its tensors tell."""
    width = shapes.get("proj_in.bias", shapes.get("layers.0.0.norm1.bias", (768,)))[0]
    tokens = shapes.get("latents", (1, 16, width))[1]
    inner = shapes.get("layers.0.0.to_q.weight", shapes.get("layers.1.0.to_q.weight", (width,)))[0]
    expected = {
        **{"latents": (1, tokens, width), "proj_in.weight": (width, image_width), "proj_in.bias": (width,)},
        **{"proj_out.weight": (cross, width), "proj_out.bias": (cross,)},
        **{"norm_out.weight": (cross,), "norm_out.bias": (cross,)},
    }
    for layer in (f"layers.{n}" for n in range(4)):
        for norm in ("0.norm1", "0.norm2", "1.0"):
            expected |= {f"{layer}.{norm}.weight": (width,), f"{layer}.{norm}.bias": (width,)}
        expected |= {f"{layer}.0.to_q.weight": (inner, width), f"{layer}.0.to_kv.weight": (2 * inner, width)}
        expected |= {f"{layer}.0.to_out.weight": (width, inner)}
        expected |= {f"{layer}.1.1.weight": (4 * width, width), f"{layer}.1.3.weight": (width, 4 * width)}
    return expected
