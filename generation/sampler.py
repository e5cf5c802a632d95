"""One picture, or a batch, from settings, edges and references: encode, denoise, decode."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch

from .conditioning.references import Reference, empty_reference, encode_references
from .conditioning.text import encode_prompts
from .decoding import decode
from .denoise import Conditioning, StepCallback, denoise
from .layers.guidance_embedding import takes_guidance_scale, told_guidance_scale
from .layers.interrupts import interruptible
from .loading.lora import merged, merged_bytes
from .loading.pipeline import StylePipeline
from .memory_ladder import MemoryLadder, SlicedAttention, tiled_decoding
from .memory_need import sampling_bytes
from .plan import plan_steps
from .schedulers import build_scheduler
from .settings import GenerationSettings
from .turbo import turbo_settings


@dataclass
class GenerationResult:
    """What `generate` made, and how.

    images: (N, H, W, 3) float32 RGB 0..1, on the CPU.
    latents: (N, 4, H/8, W/8), as they left the last step.
    settings: those that were sampled with, which `turbo` decides in part.
    seconds: stage -> wall time in seconds.
    memory_steps: what was done because memory ended, in order.
    decoded_in: the dtype of each picture's decoding.
    """

    images: torch.Tensor
    latents: torch.Tensor
    settings: GenerationSettings
    seconds: dict[str, float]
    memory_steps: list[str]
    decoded_in: list[str]


@torch.inference_mode()
def generate(
    pipeline: StylePipeline,
    settings: GenerationSettings,
    edges: torch.Tensor | None,
    references: Sequence[Reference],
    on_step: StepCallback = lambda step, steps, clean: None,
    negative: Reference | None = None,
) -> GenerationResult:
    """Sample.

    edges: (1, 3, H, W) float 0..1, white lines on black, of the settings' size; None = no ControlNet.
    references: those of weight 0 are left out; empty = no style.
    negative: what guidance leads away from, where there are references.
    An exception from `on_step` ends the run within the step, one from the pipeline's device in encoding and decoding.
    A stage that runs out of memory begins again, in less of it.
    """
    if settings.speed == "turbo":
        settings = turbo_settings(settings, [lora.name for lora in pipeline.loras])
    seconds: dict[str, float] = {}
    references = [reference for reference in references if reference.weight > 0]
    styled = bool(references) and settings.ip_adapter_scale != 0
    coders = (pipeline.text_encoder, pipeline.image_encoder, pipeline.vae)
    ladder = MemoryLadder(pipeline.device)
    with ladder, interruptible(coders, pipeline.device.check_interrupted):
        with _timed(seconds, "prompt"):
            prompts = {"prompt": settings.prompt, "negative_prompt": settings.negative_prompt}
            encode = partial(encode_prompts, pipeline, prompts, settings.clip_skip)
            text, no_text = ladder.run("encoding the prompt", [pipeline.text_encoder], encode)
        with _timed(seconds, "reference"):
            encode = partial(empty_reference, pipeline)
            if styled:
                encode = partial(encode_references, pipeline, references, settings, negative)
            style, no_style, regions = ladder.run("encoding the references", [pipeline.image_encoder], encode)
        with _timed(seconds, "sampling"):
            conditioning = Conditioning(text, no_text, style, no_style, edges, regions)
            sample = partial(_sample, pipeline, settings, conditioning, styled, on_step)
            units = pipeline.denoiser.units
            latents = ladder.run("sampling", units, sample, ("sliced attention", SlicedAttention))
            for unit in units:
                pipeline.device.release(unit)
        with _timed(seconds, "decoding"):
            tiled = partial(tiled_decoding, pipeline.vae, *latents.shape[-2:])
            whole = partial(decode, pipeline, latents)
            images, decoded_in = ladder.run("decoding", [pipeline.vae], whole, ("tiled decoding", tiled))
            pipeline.device.release(pipeline.vae)
    return GenerationResult(images, latents, settings, seconds, ladder.taken, decoded_in)


def _sample(
    pipeline: StylePipeline,
    settings: GenerationSettings,
    conditioning: Conditioning,
    styled: bool,
    on_step: StepCallback,
) -> torch.Tensor:
    for encoder in (pipeline.text_encoder, pipeline.image_encoder):
        pipeline.device.unload(encoder)
    unet, told = pipeline.denoiser.unet, settings.guidance_scale
    if takes_guidance_scale(unet):
        settings = replace(settings, guidance_scale=1.0)
    rows = settings.num_images * (2 if settings.guidance_scale > 1 else 1)
    needed = sampling_bytes(unet, rows, settings.height, settings.width, pipeline.device.fused_attention)
    pipeline.device.load(*pipeline.denoiser.units, needed=needed + merged_bytes(unet, "unet", pipeline.loras))
    predicts = {} if settings.prediction_type == "auto" else {"prediction_type": settings.prediction_type}
    scheduler = build_scheduler(settings.scheduler, pipeline.scheduler_config | predicts)
    scheduler.set_timesteps(
        settings.num_inference_steps, device="cpu"
    )  # float64 of some is more than a device may know
    if hasattr(scheduler, "set_begin_index"):  # else it looks for its first timestep, which rounding may have doubled
        scheduler.set_begin_index(0)
    steps = plan_steps(settings, scheduler, with_control=conditioning.edges is not None, with_style=styled)
    with merged(unet, "unet", pipeline.loras), told_guidance_scale(unet, told):
        return denoise(pipeline.denoiser, scheduler, settings, steps, conditioning, on_step)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = round(time.perf_counter() - start, 3)
