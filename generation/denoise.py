"""The denoising loop: a scheduler's steps over UNet and ControlNet, by the arithmetic of diffusers' own pipelines.

What does not change over the steps, or is the same for both halves of guidance, is computed once. A ControlNet at
strength 0 is not run at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor

from .layers.cached_layers import EqualHalves, computed_once, constant_layers
from .layers.convolution_packing import packed_convolutions
from .layers.deep_cache import DeepFeatures
from .layers.style_attention import Region, SharedStyle
from .layers.style_blocks import set_style
from .loading.pipeline import Denoiser
from .plan import Step, noise_levels
from .settings import GenerationSettings

# on_step(step, steps, clean): step counts from 1; clean: the latents without noise, as the models predict them at that
# step, (N, 4, H/8, W/8) float32 on the sampling device.
StepCallback = Callable[[int, int, torch.Tensor], None]


@dataclass(frozen=True)
class Conditioning:
    """What the models attend to, for one picture.

    text, no_text: (1, tokens, D).
    style, no_style: (1, n, E), or (1, n, tokens, E) for a plus or full-face adapter.
    edges: (1, 3, H, W) float 0..1, white on black; None = no ControlNet.
    regions: how the n references share the picture, in their order; empty = all alike, everywhere.
    """

    text: torch.Tensor
    no_text: torch.Tensor
    style: torch.Tensor
    no_style: torch.Tensor
    edges: torch.Tensor | None
    regions: tuple[Region, ...] = ()


@dataclass(frozen=True)
class _Batch:
    """The conditioning of all pictures, those of the unguided half first; the same objects at every step.

    text: (B, tokens, D).
    added: further conditioning of the UNet by diffusers' names: image embeddings, (B, n, ...) each.
    edges: (1, 3, H, W), the same for all, and broadcast.
    attention: further arguments of the attention layers.
    """

    text: torch.Tensor
    added: dict[str, list[torch.Tensor]]
    edges: torch.Tensor | None
    attention: dict[str, Any] = field(default_factory=dict)


def denoise(
    denoiser: Denoiser,
    scheduler: Any,
    settings: GenerationSettings,
    steps: list[Step],
    conditioning: Conditioning,
    on_step: StepCallback,
) -> torch.Tensor:
    """Return latents (N, 4, H/8, W/8) float32, on the denoiser's device.

    The scheduler's timesteps must be set: one a step. Whatever the weights are, the noise, guidance and the scheduler's
    arithmetic are in float32: in fp16 or bf16 each step would round the latents anew.
    """
    weight = next(denoiser.unet.parameters())
    count = settings.num_images
    shared = SharedStyle(conditioning.regions, settings.height // 8, settings.width // 8)
    attention = {"ip_adapter_masks": shared} if conditioning.regions else {}
    batches = {
        guided: _batch(conditioning, count, guided, weight, attention) for guided in {step.guided for step in steps}
    }
    generators = [torch.Generator().manual_seed((settings.seed + n) % 2**64) for n in range(count)]
    shape = (count, denoiser.unet.config.in_channels, settings.height // 8, settings.width // 8)
    latents = randn_tensor(shape, generator=generators, device=weight.device, dtype=torch.float32)
    latents = latents * scheduler.init_noise_sigma
    accepted = signature(scheduler.step).parameters
    noise = {"generator": generators} if "generator" in accepted else {}
    with (
        packed_convolutions(denoiser),
        computed_once(constant_layers(denoiser)),
        EqualHalves(denoiser) as halves,
        DeepFeatures(denoiser.unet) as deep,
    ):
        moments = zip(steps, scheduler.timesteps, noise_levels(scheduler), strict=True)
        for number, (step, time, sigma) in enumerate(moments):
            set_style(denoiser.unet, settings.style_mode, step.style)
            halves.guided = step.guided
            entering = scheduler.scale_model_input(torch.cat([latents] * 2) if step.guided else latents, time)
            sample, timestep = entering.to(weight.dtype), time.to(weight.device, _known(time.dtype))
            predicted = _predict(denoiser, deep, sample, timestep, batches[step.guided], step).float()
            if step.guided:
                without, with_text = predicted.chunk(2)
                predicted = without + settings.guidance_scale * (with_text - without)
            latents = scheduler.step(predicted, time, latents, **noise, return_dict=False)[0]
            on_step(number + 1, len(steps), _clean(entering[:count], predicted, sigma, scheduler))
    return latents


def _clean(entering: torch.Tensor, predicted: torch.Tensor, sigma: float, scheduler: Any) -> torch.Tensor:
    """Return what the models take for the picture: latents without noise.

    What enters them is of unit variance with every scheduler, sqrt(a) clean + sqrt(1 - a) noise with a = 1 / (1 +
    sigma^2), and they predict the noise, the picture, or the velocity (Salimans and Ho 2022, arXiv 2202.00512).
    """
    kind, share = scheduler.config.prediction_type, 1 / (1 + sigma**2)
    if kind == "sample":
        return predicted
    if kind == "v_prediction":
        return share**0.5 * entering - (1 - share) ** 0.5 * predicted
    return (entering - (1 - share) ** 0.5 * predicted) / max(share, 1e-6) ** 0.5


def _known(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype that a timestep is told in: no float64, which Metal and many of Intel's cards do not have."""
    return torch.float32 if dtype.is_floating_point else dtype


def _predict(
    denoiser: Denoiser, deep: DeepFeatures, entering: torch.Tensor, time: torch.Tensor, batch: _Batch, step: Step
) -> torch.Tensor:
    if step.reuse:
        return deep.shallow(entering, time, batch.text, batch.added, batch.attention)
    residuals: dict[str, Any] = {}
    if step.control and batch.edges is not None:
        down, middle = denoiser.controlnet(
            entering,
            time,
            encoder_hidden_states=batch.text,
            controlnet_cond=batch.edges,
            conditioning_scale=step.control,
            return_dict=False,
        )
        residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
    deep.residuals = residuals.get("down_block_additional_residuals", ())
    return denoiser.unet(
        entering,
        time,
        encoder_hidden_states=batch.text,
        added_cond_kwargs=batch.added,
        cross_attention_kwargs=batch.attention,
        return_dict=False,
        **residuals,
    )[0]


def _batch(
    conditioning: Conditioning, count: int, guided: bool, weight: torch.Tensor, attention: dict[str, Any]
) -> _Batch:
    def rows(positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
        halves = (negative, positive) if guided else (positive,)
        return torch.cat([half.to(weight).expand(count, *half.shape[1:]) for half in halves])

    edges = conditioning.edges
    return _Batch(
        text=rows(conditioning.text, conditioning.no_text),
        added={"image_embeds": [rows(conditioning.style, conditioning.no_style)]},
        edges=None if edges is None else edges.to(weight),
        attention=attention,
    )
