"""Trains the autoencoder on crops of the pictures.

Besides the picture itself, its latents are held near the line that ComfyUI's preview of SD 1.5 latents
draws, so that the stock preview shows the right colours and no colour axis is forgotten.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional

from .architecture import LATENT_CHANNELS, SCALING_FACTOR, build_vae
from .colour_path import PREVIEW, carry_colours
from .dataset import SIZE, Dataset
from .loop import Batch, Losses, Machine, Schedule, Stage, on

# Deviation from the preview's colour that costs nothing: the latents need room for detail.
PREVIEW_SLACK = 0.2
LATENT_NOISE = 0.03
LOG_VARIANCE = -6.0
# How much stronger than the picture ComfyUI's preview may look.
MOST_CONTRAST = 1.6
CROP = 128
WHOLE_FROM = 0.85
# Pixels between the two ends of each difference that the texture loss compares, (down, right).
TEXTURE_STEPS = ((0, 2), (2, 0), (0, 5), (5, 0), (4, 4), (4, -4), (0, 8), (8, 0))


def encode(vae: AutoencoderKL, pictures: torch.Tensor) -> torch.Tensor:
    """Mean latents (N, 4, H/8, W/8) of pictures (N, 3, H, W) in -1..1, as the quantising layer gives them."""
    return vae.quant_conv(vae.encoder(pictures))[:, :LATENT_CHANNELS]


def decode(vae: AutoencoderKL, latents: torch.Tensor) -> torch.Tensor:
    """The inverse of `encode`."""
    return vae.decoder(vae.post_quant_conv(latents))


def crops_of(step: int, schedule: Schedule, crop: int, whole: int) -> tuple[int, int]:
    """Side and number of a step's crops, of the same area in all: whole pictures at the end.

    Group norms must meet the statistics they will be used with.
    """
    side = whole if step > WHOLE_FROM * schedule.steps else crop
    return side, max(1, schedule.batch * crop**2 // side**2)


def sample_crops(data: Dataset, step: int, schedule: Schedule) -> Batch:
    """A batch for one step: `pictures` (N, side, side, 3) uint8, and the latents' `noise`."""
    rng = np.random.default_rng((10, step))
    side, count = crops_of(step, schedule, CROP, SIZE)
    crops = []
    for index in rng.integers(0, len(data.entries), size=count):
        top, left = rng.integers(0, SIZE - side + 1, size=2)
        crop = data.pictures[index, top : top + side, left : left + side]
        crops.append(crop[:, ::-1] if rng.random() < 0.5 else crop)
    noise = rng.normal(size=(count, LATENT_CHANNELS, side // 8, side // 8)).astype(np.float32)
    return {"pictures": torch.from_numpy(np.stack(crops)), "noise": torch.from_numpy(noise)}


def as_seen(pictures: torch.Tensor) -> torch.Tensor:
    """(N, S, S, 3) uint8 to (N, 3, S, S) in -1..1."""
    return (pictures.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def high_pass(pictures: torch.Tensor) -> torch.Tensor:
    """What a 5 px mean leaves over."""
    return pictures - functional.avg_pool2d(pictures, 5, stride=1, padding=2, count_include_pad=False)


def chroma(pictures: torch.Tensor) -> torch.Tensor:
    """The three colour differences of a picture reduced by 4."""
    small = functional.avg_pool2d(pictures, 4)
    return small - small.roll(1, dims=1)


def texture(pictures: torch.Tensor) -> torch.Tensor:
    """How strong the differences over some distances and directions are, averaged over 16 by 16 pixels.

    It says that there is a texture, and of which kind, but not where its single strokes lie: without it an
    autoencoder this small gives the mean of all strokes, which is a plain area.
    """
    light = pictures.mean(dim=1, keepdim=True)
    differences = [(light - light.roll(step, dims=(2, 3))).abs() for step in TEXTURE_STEPS]
    return functional.avg_pool2d(torch.cat(differences, dim=1), 16, stride=8)


def preview_error(latents: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    """Distance of the preview's colours from the picture reduced by 8, beyond the slack."""
    shown = torch.einsum("nchw,cd->ndhw", latents, on(latents.device, PREVIEW))
    off = (shown - functional.avg_pool2d(pictures, 8)).abs()
    return functional.relu(off - PREVIEW_SLACK).mean()


def vae_losses(vae: AutoencoderKL, batch: Batch) -> Losses:
    """The named losses of one batch."""
    pictures = as_seen(batch["pictures"])
    latents = encode(vae, pictures.to(vae.dtype)).float()
    output = decode(vae, (latents + LATENT_NOISE * batch["noise"]).to(vae.dtype)).float()
    return {
        "l1": (output - pictures).abs().mean(),
        "mse": 1.0 * functional.mse_loss(output, pictures),
        "detail": 2.0 * (high_pass(output) - high_pass(pictures)).abs().mean(),
        "texture": 1.0 * (texture(output) - texture(pictures)).abs().mean(),
        "chroma": 1.0 * (chroma(output) - chroma(pictures)).abs().mean(),
        "preview": 1.0 * preview_error(latents, pictures),
        "size": 0.02 * functional.relu(latents.abs() - 2.5).square().mean(),
    }


def spread_out(latents: torch.Tensor) -> torch.Tensor:
    """The (4, 4) matrix that gives latents (N, 4, h, w) a spread of about 1.

    One direction does not show in the preview and may be stretched at will; the other three are stretched
    alike, so that the preview keeps its hues and only gains contrast.
    """
    hidden = torch.linalg.svd(PREVIEW.T, full_matrices=True).Vh[3]
    rows = latents.permute(0, 2, 3, 1).reshape(-1, LATENT_CHANNELS)
    across = rows @ hidden
    shown = rows - across[:, None] * hidden
    scale = min(MOST_CONTRAST, 1 / float(shown.var(dim=0).sum().div(3).sqrt()))
    along = torch.outer(hidden, hidden)
    return scale * (torch.eye(LATENT_CHANNELS) - along) + along / across.std()


@torch.no_grad()
def scale_latents(vae: AutoencoderKL, data: Dataset) -> AutoencoderKL:
    """Move SD 1.5's scaling factor and an even spread into the quantising layers; fix the variance."""
    pictures = torch.tensor(data.pictures[:: max(1, len(data.entries) // 60)])
    latents = torch.cat([encode(vae, as_seen(picture[None]).to(vae.device)).cpu() for picture in pictures])
    matrix = (spread_out(latents) / SCALING_FACTOR).to(vae.device)
    quant, post = vae.quant_conv, vae.post_quant_conv
    quant.weight[:LATENT_CHANNELS] = torch.einsum("ij,jchw->ichw", matrix, quant.weight[:LATENT_CHANNELS])
    quant.bias[:LATENT_CHANNELS] = matrix @ quant.bias[:LATENT_CHANNELS]
    quant.weight[LATENT_CHANNELS:] = 0
    quant.bias[LATENT_CHANNELS:] = LOG_VARIANCE
    post.weight.copy_(torch.einsum("ijhw,jk->ikhw", post.weight, torch.linalg.inv(matrix)))
    return vae


def train_vae(data: Dataset, schedule: Schedule, work: Path, machine: Machine) -> AutoencoderKL:
    """The trained autoencoder, its latents scaled as SD 1.5's are."""
    torch.manual_seed(1)
    vae = carry_colours(build_vae()).to(memory_format=machine.layout)
    stage = Stage("vae", vae, schedule, work, machine, machine.fast_dtype, recorded=True)
    average = stage.run(partial(sample_crops, data, schedule=schedule), vae_losses)
    return scale_latents(average, data)
