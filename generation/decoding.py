"""Latents to pictures, in the VAE's own precision, or in fp32 where that overflows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from .loading.pipeline import StylePipeline
from .memory_need import decoding_bytes


def decode(pipeline: StylePipeline, latents: torch.Tensor) -> tuple[torch.Tensor, list[str]]:
    """Return (N, H, W, 3) float32 RGB 0..1 on the CPU, and the dtype that each picture was decoded in.

    fp16 ends at 65,504, and the activations of SD 1.5's VAE can go beyond: such a picture is decoded again in fp32.
    """
    if not torch.isfinite(latents).all():
        dtype = next(pipeline.denoiser.unet.parameters()).dtype
        wider = "precision fp32 or bf16 on LoadStylePipeline"
        other = "another base_model, controlnet, ip_adapter or LoRA, for one of them is damaged"
        raise ValueError(
            f"sampling in {_name(dtype)} gave latents that are not finite: choose "
            f"{wider if dtype == torch.float16 else other}."
        )
    vae = pipeline.vae
    sides = [8 * side for side in latents.shape[-2:]]
    device = pipeline.device.load(vae, needed=decoding_bytes(vae, *sides))
    pictures, dtypes = [], []
    for row in latents.to(device):
        picture, dtype = _decode_one(vae, row[None]), next(vae.parameters()).dtype
        if not torch.isfinite(picture).all() and dtype != torch.float32:
            with _in_float32(vae):
                pipeline.device.load(vae, needed=decoding_bytes(vae, *sides))
                picture, dtype = _decode_one(vae, row[None]), torch.float32
        if not torch.isfinite(picture).all():
            raise ValueError(
                f"the VAE of {pipeline.identities['base_model']['file']} gave a picture that is not finite, in fp32 "
                "too: download the base_model again or choose another."
            )
        pictures.append((picture / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu())
        dtypes.append(_name(dtype))
    return torch.cat(pictures), dtypes


def _decode_one(vae: Any, row: torch.Tensor) -> torch.Tensor:
    return vae.decode(row.to(next(vae.parameters()).dtype) / vae.config.scaling_factor).sample.float()


@contextmanager
def _in_float32(vae: torch.nn.Module) -> Iterator[None]:
    """Widen the weights; narrowing them again gives the same bits."""
    before = next(vae.parameters()).dtype
    try:
        vae.to(dtype=torch.float32)
        yield
    finally:
        vae.to(dtype=before)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
