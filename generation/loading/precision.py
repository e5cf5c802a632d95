"""The number formats of a pipeline's parts."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Precision:
    """What a pipeline computes in, and what its weights are kept in.

    computed: dtype of every part that has none of its own here.
    denoiser: dtype that UNet, ControlNet and IP-Adapter are kept in, where that takes less room; None = `computed`.
    image_encoder: the same of the image encoder.
    vae, text_encoder: dtype of these parts; None = `computed`.
    """

    computed: torch.dtype
    denoiser: torch.dtype | None = None
    image_encoder: torch.dtype | None = None
    vae: torch.dtype | None = None
    text_encoder: torch.dtype | None = None
