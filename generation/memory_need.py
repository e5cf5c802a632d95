"""Bytes that computing takes beside the weights, in closed form, for whoever makes room for it beforehand.

The factors are those that fit what `benchmarks/memory.py` counts on SD 1.5's shapes, tensor by tensor; its test
compares the two.
"""

from __future__ import annotations

from typing import Any

_STEP = 33.3  # tensors of the UNet's first level that live at once in a pass of ControlNet and UNet, at its peak
_AT_ATTENTION = 18.3  # of them, beside the scores of the first level's attention and their softmax
_SCORES = 2
_DECODING = 6.01  # tensors of the picture's size and of the VAE's first width


def sampling_bytes(unet: Any, rows: int, height: int, width: int, fused: bool) -> int:
    """Return what one pass of ControlNet and UNet takes. rows: pictures, twice with guidance. Sides in pixels.

    fused: attention is computed in one kernel, which keeps no scores.
    """
    size, pixels = next(unet.parameters()).element_size(), (height // 8) * (width // 8)
    level = rows * pixels * unet.config.block_out_channels[0] * size
    scores = 0 if fused else _SCORES * rows * _heads(unet.config) * pixels**2 * size
    return int(max(_STEP * level, _AT_ATTENTION * level + scores))


def decoding_bytes(vae: Any, height: int, width: int) -> int:
    """Return what decoding one picture takes, of so many pixels a side."""
    size = next(vae.parameters()).element_size()
    return int(_DECODING * height * width * vae.config.block_out_channels[0] * size)


def _heads(config: Any) -> int:
    """Return how many heads the first level has; diffusers' first configs call that `attention_head_dim`."""
    heads = config.get("num_attention_heads") or config["attention_head_dim"]
    return heads if isinstance(heads, int) else heads[0]
