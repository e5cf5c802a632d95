"""Starts the autoencoder as a plain reduction by 8 that keeps all colours, instead of at random.

From a random start a small autoencoder settles on two colour axes and takes thousands of steps to find the
third: magenta and green stay grey. Here six channels of every layer carry red, green and blue, each once
with either sign, through to the latents and back. Both signs are needed because silu(x) - silu(-x) = x.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL

CARRIED = 6
# comfy.latent_formats.SD15().latent_rgb_factors: what ComfyUI's preview multiplies scaled latents with.
PREVIEW = torch.tensor(
    [[0.3512, 0.2297, 0.3227], [0.3250, 0.4974, 0.2350], [-0.2829, 0.1762, 0.2721], [-0.2120, -0.2616, -0.7177]]
)
SIGNS = torch.cat([torch.eye(3), -torch.eye(3)])


def set_rows(conv: Any, matrix: torch.Tensor, reach: slice = slice(1, 2)) -> None:
    """Make the first outputs of a convolution `matrix` (rows, inputs) times its first inputs.

    `reach` are the rows and columns of the kernel that share the weight; a 1 by 1 kernel has only one.
    """
    weight, rows, inputs = conv.weight, *matrix.shape
    taps = reach if weight.shape[-1] == 3 else slice(0, 1)
    weight[:rows] = 0
    conv.bias[:rows] = 0
    weight[:rows, :inputs, taps, taps] = matrix[..., None, None] / (taps.stop - taps.start) ** 2


def carry_through(block: Any) -> None:
    """Let a residual block pass its first channels on unchanged."""
    nothing = torch.zeros(CARRIED, 1)
    for resnet in block.resnets:
        set_rows(resnet.conv2, nothing)
        if resnet.conv_shortcut is not None:
            set_rows(resnet.conv_shortcut, torch.eye(CARRIED))


@torch.no_grad()
def carry_colours(vae: AutoencoderKL) -> AutoencoderKL:
    """The same autoencoder with its colour path laid; everything else keeps its random start."""
    encoder, decoder = vae.encoder, vae.decoder
    set_rows(encoder.conv_in, SIGNS)
    for block in (*encoder.down_blocks, encoder.mid_block, decoder.mid_block, *decoder.up_blocks):
        carry_through(block)
        for resize in getattr(block, "downsamplers", None) or []:
            # The padding is at the right and at the bottom, so the first four taps are the 2 by 2 pixels.
            set_rows(resize.conv, torch.eye(CARRIED), slice(0, 2))
        for resize in getattr(block, "upsamplers", None) or []:
            set_rows(resize.conv, torch.eye(CARRIED))
    set_rows(encoder.conv_out, torch.linalg.pinv(PREVIEW).T @ SIGNS.T / 2)
    set_rows(vae.quant_conv, torch.eye(4))
    set_rows(vae.post_quant_conv, torch.eye(4))
    set_rows(decoder.conv_in, SIGNS @ PREVIEW.T)
    set_rows(decoder.conv_out, SIGNS.T / 2)
    return vae
