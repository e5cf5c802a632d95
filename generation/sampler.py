"""One picture, or a batch, from settings, edges and references: encode, denoise, decode."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from .conditioning import Reference, empty_reference, encode_prompts, encode_references
from .denoise import Conditioning, StepCallback, denoise
from .lora import merged
from .pipeline import StylePipeline
from .plan import plan_steps
from .schedulers import build_scheduler
from .settings import GenerationSettings
from .turbo import turbo_settings


@dataclass
class GenerationResult:
    """images: (N, H, W, 3) float32 RGB 0..1 on the CPU. latents: (N, 4, H/8, W/8) as they left the last step.
    settings: those that were sampled with, which `turbo` decides in part. seconds: wall time a stage."""

    images: torch.Tensor
    latents: torch.Tensor
    settings: GenerationSettings
    seconds: dict[str, float]


@torch.inference_mode()
def generate(
    pipeline: StylePipeline,
    settings: GenerationSettings,
    edges: torch.Tensor | None,
    references: Sequence[Reference],
    on_step: StepCallback = lambda step, steps, latents: None,
) -> GenerationResult:
    """Sample.

    edges: (1, 3, H, W) float 0..1, white lines on black, of the settings' size; None = no ControlNet. references: their
    IP-Adapter tokens are joined; empty = no style. An exception from `on_step` ends the run within the step.
    """
    if settings.speed == "turbo":
        settings = turbo_settings(settings, [lora.name for lora in pipeline.loras])
    seconds: dict[str, float] = {}
    styled = bool(references) and settings.ip_adapter_scale != 0
    with _timed(seconds, "prompt"):
        prompts = {"prompt": settings.prompt, "negative_prompt": settings.negative_prompt}
        text, no_text = encode_prompts(pipeline, prompts)
    with _timed(seconds, "reference"):
        style, no_style = encode_references(pipeline, references) if styled else empty_reference(pipeline)
    with _timed(seconds, "sampling"):
        device = pipeline.on_device(pipeline.denoiser)
        scheduler = build_scheduler(settings.scheduler, pipeline.scheduler_config)
        scheduler.set_timesteps(settings.num_inference_steps, device=device)
        steps = plan_steps(settings, scheduler, with_control=edges is not None, with_style=styled)
        conditioning = Conditioning(text, no_text, style, no_style, edges)
        with merged(pipeline.denoiser.unet, "unet", pipeline.loras):
            latents = denoise(pipeline.denoiser, scheduler, settings, steps, conditioning, on_step)
    with _timed(seconds, "decoding"):
        images = _decode(pipeline, latents)
    return GenerationResult(images, latents, settings, seconds)


def _decode(pipeline: StylePipeline, latents: torch.Tensor) -> torch.Tensor:
    vae = pipeline.vae
    device = pipeline.on_device(vae)
    dtype = next(vae.parameters()).dtype
    pictures = [vae.decode(row[None].to(device, dtype) / vae.config.scaling_factor).sample for row in latents]
    images = (torch.cat(pictures).float() / 2 + 0.5).clamp(0, 1)
    if not torch.isfinite(images).all():
        raise ValueError(
            "the VAE gave a picture that is not finite: choose precision fp32 or bf16 on LoadStylePipeline."
        )
    return images.permute(0, 2, 3, 1).cpu()


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = round(time.perf_counter() - start, 3)
