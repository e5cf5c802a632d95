"""UNets into which guidance was distilled: they are told its scale, and take one pass a step instead of two.

Meng et al. 2023, On Distillation of Guided Diffusion Models (arXiv 2210.03142); Luo et al. 2023, Latent Consistency
Models (arXiv 2310.04378), such as SimianLuo/LCM_Dreamshaper_v7.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.models.embeddings import get_timestep_embedding

from .replaced_forwards import replaced_forwards


def takes_guidance_scale(unet: Any) -> bool:
    """Tell whether a UNet is told the scale of guidance."""
    return bool(unet.config.time_cond_proj_dim)


@contextmanager
def told_guidance_scale(unet: Any, scale: float) -> Iterator[None]:
    """Tell a UNet the scale of guidance at every step, as diffusers' pipelines do; any other one is left as it is.

    What is embedded is 1000 (scale - 1), as the timestep is.
    """
    if not takes_guidance_scale(unet):
        yield
        return
    told = torch.tensor([1000.0 * (scale - 1)])
    embedded = get_timestep_embedding(told, unet.config.time_cond_proj_dim, downscale_freq_shift=1)
    layer, forward = unet.time_embedding, unet.time_embedding.forward

    def answer(moment: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        return forward(moment, embedded.to(moment) if condition is None else condition)

    with replaced_forwards({layer: answer}):
        yield
