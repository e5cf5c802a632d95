"""The names of a UNet's layers in Stable Diffusion's own code (LDM), which ComfyUI and some trainers use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_IN_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def ldm_names(unet: Any) -> dict[str, str]:
    """Return {module's name in diffusers: its name in LDM} of all layers of a UNet2DConditionModel.

    LDM numbers its blocks through: one for each ResNet with the attention behind it, one for each downsampler, and an
    upsampler behind the last ResNet of its level.
    """
    blocks = dict(_blocks(unet))
    names = {}
    for name, _ in unet.named_modules():
        block = next((b for b in blocks if name == b or name.startswith(f"{b}.")), None)
        if block is not None:
            rest = name.removeprefix(block).removeprefix(".")
            inner = _IN_RESNET.get(rest, rest) if ".resnets." in block else rest
            names[name] = f"{blocks[block]}.{inner}" if inner else blocks[block]
    return names


def _blocks(unet: Any) -> Iterator[tuple[str, str]]:
    """Yield (block's name in diffusers, its name in LDM)."""
    yield "conv_in", "input_blocks.0.0"
    yield "time_embedding.linear_1", "time_embed.0"
    yield "time_embedding.linear_2", "time_embed.2"
    number = 1
    for level, block in enumerate(unet.down_blocks):
        for place in range(len(block.resnets)):
            yield from _pair(f"down_blocks.{level}", place, block, f"input_blocks.{number}")
            number += 1
        if block.downsamplers:
            yield f"down_blocks.{level}.downsamplers.0.conv", f"input_blocks.{number}.0.op"
            number += 1
    yield "mid_block.resnets.0", "middle_block.0"
    yield "mid_block.attentions.0", "middle_block.1"
    yield "mid_block.resnets.1", "middle_block.2"
    number = 0
    for level, block in enumerate(unet.up_blocks):
        for place in range(len(block.resnets)):
            yield from _pair(f"up_blocks.{level}", place, block, f"output_blocks.{number}")
            number += 1
        if block.upsamplers:
            behind = 2 if getattr(block, "attentions", None) else 1
            yield f"up_blocks.{level}.upsamplers.0.conv", f"output_blocks.{number - 1}.{behind}.conv"
    yield "conv_norm_out", "out.0"
    yield "conv_out", "out.2"


def _pair(level: str, place: int, block: Any, ldm: str) -> Iterator[tuple[str, str]]:
    yield f"{level}.resnets.{place}", f"{ldm}.0"
    if getattr(block, "attentions", None):
        yield f"{level}.attentions.{place}", f"{ldm}.1"
