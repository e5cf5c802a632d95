"""One picture, or a batch, from settings, edges and references. diffusers does the sampling; this drives it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from diffusers import StableDiffusionControlNetPipeline, StableDiffusionPipeline

from .conditioning import Reference, empty_reference, encode_prompts, encode_references
from .lora import merged
from .pipeline import StylePipeline
from .schedulers import build_scheduler
from .settings import GenerationSettings

# on_step(step, steps, latents): step counts from 1; latents are (N, 4, H/8, W/8) on the sampling device.
StepCallback = Callable[[int, int, torch.Tensor], None]


@dataclass
class GenerationResult:
    """images: (N, H, W, 3) float32 RGB 0..1 on the CPU. seconds: wall time a stage."""

    images: torch.Tensor
    seconds: dict[str, float] = field(default_factory=dict)


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
    seconds: dict[str, float] = {}
    guided = settings.guidance_scale > 1
    styled = bool(references) and settings.ip_adapter_scale != 0
    with _timed(seconds, "prompt"):
        positive, negative = encode_prompts(pipeline, [settings.prompt, settings.negative_prompt])
    with _timed(seconds, "reference"):
        style, no_style = encode_references(pipeline, references) if styled else empty_reference(pipeline)
    device = pipeline.on_device(pipeline.denoiser)
    with _timed(seconds, "sampling"), merged(pipeline.denoiser.unet, "unet", pipeline.loras):
        sampler = _build_sampler(pipeline, settings, with_control=edges is not None)
        sampler.scheduler.set_timesteps(settings.num_inference_steps)
        steps = len(sampler.scheduler.timesteps)  # PNDM takes one more than it is asked for
        scale_at = _style_schedule(settings, steps) if styled else (lambda step: 0.0)
        sampler.set_ip_adapter_scale(scale_at(0))

        def step_end(_, step: int, timestep: int, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            on_step(step + 1, steps, tensors["latents"])
            if scale_at(step + 1) != scale_at(step):
                sampler.set_ip_adapter_scale(scale_at(step + 1))
            return tensors

        latents = sampler(
            prompt_embeds=positive.to(device),
            negative_prompt_embeds=negative.to(device),
            ip_adapter_image_embeds=[(torch.cat([no_style, style]) if guided else style).to(device)],
            num_inference_steps=settings.num_inference_steps,
            guidance_scale=settings.guidance_scale,
            num_images_per_prompt=settings.num_images,
            generator=[torch.Generator().manual_seed(_seed(settings, n)) for n in range(settings.num_images)],
            callback_on_step_end=step_end,
            output_type="latent",
            **_size_or_control(settings, edges),
        ).images
    with _timed(seconds, "decoding"):
        images = _decode(pipeline, latents)
    return GenerationResult(images, seconds)


def _build_sampler(pipeline: StylePipeline, settings: GenerationSettings, with_control: bool):
    """Wrap UNet and ControlNet in diffusers' own pipeline. It is given no encoder: encodings are handed to it."""
    scheduler = build_scheduler(settings.scheduler, pipeline.scheduler_config)
    parts = dict.fromkeys(("vae", "text_encoder", "tokenizer", "safety_checker", "feature_extractor"))
    parts |= {"unet": pipeline.denoiser.unet, "scheduler": scheduler}
    if with_control:
        sampler = StableDiffusionControlNetPipeline(
            **parts, controlnet=pipeline.denoiser.controlnet, requires_safety_checker=False
        )
    else:
        sampler = StableDiffusionPipeline(**parts, requires_safety_checker=False)
    sampler.set_progress_bar_config(disable=True)
    return sampler


def _size_or_control(settings: GenerationSettings, edges: torch.Tensor | None) -> dict[str, object]:
    if edges is None:
        return {"width": settings.width, "height": settings.height}
    return {
        "image": edges,
        "controlnet_conditioning_scale": settings.controlnet_conditioning_scale,
        "control_guidance_start": settings.control_guidance_start,
        "control_guidance_end": settings.control_guidance_end,
    }


def _style_schedule(settings: GenerationSettings, steps: int) -> Callable[[int], float]:
    """Return the IP-Adapter scale at step n, by the rule that diffusers has for ControlNet's start and end."""

    def scale_at(step: int) -> float:
        inside = settings.ip_adapter_start <= step / steps and (step + 1) / steps <= settings.ip_adapter_end
        return settings.ip_adapter_scale if inside else 0.0

    return scale_at


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


def _seed(settings: GenerationSettings, n: int) -> int:
    return (settings.seed + n) % 2**64


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = round(time.perf_counter() - start, 3)
