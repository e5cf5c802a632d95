"""The yardstick: latents of the bundled models by plain diffusers, to which our sampler's are compared."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline, StableDiffusionPipeline
from PIL import Image
from places import ROOT
from style_pack.generation.conditioning.references import Reference
from style_pack.generation.loading.weights import DTYPE_ARGUMENT
from style_pack.generation.schedulers import build_scheduler
from style_pack.generation.settings import GenerationSettings

SETTINGS = GenerationSettings("a castle at night", "blurry", 7, 3, 4.0, "ddim", 64, 64, ip_adapter_scale=0.8)
LATENTS = 1e-3
FLOAT32 = {DTYPE_ARGUMENT: torch.float32}


def reference(seed: int = 0) -> Reference:
    return Reference(Image.fromarray(np.random.default_rng(seed).integers(0, 256, (80, 80, 3), dtype=np.uint8)))


def edges() -> torch.Tensor:
    lines = torch.zeros(1, 3, 64, 64)
    lines[:, :, 16, :] = lines[:, :, :, 40] = 1
    return lines


def load_plain(with_control: bool, with_style: bool) -> Any:
    """The bundled folders in diffusers' own pipeline, by its own documented calls."""
    models = ROOT / "models"
    if with_control:
        net = ControlNetModel.from_pretrained(models / "controlnet-canny-tiny", **FLOAT32)
        pipe = StableDiffusionControlNetPipeline.from_pretrained(models / "sd-tiny", controlnet=net, **FLOAT32)
    else:
        pipe = StableDiffusionPipeline.from_pretrained(models / "sd-tiny", **FLOAT32)
    if with_style:
        pipe.load_ip_adapter(
            str(models / "ip-adapter-tiny"),
            subfolder="",
            weight_name="ip-adapter_tiny.safetensors",
            image_encoder_folder="image_encoder",
            local_files_only=True,
        )
    pipe.set_progress_bar_config(disable=True)
    return pipe


_load_once = cache(load_plain)


def plain(
    settings: GenerationSettings,
    control: torch.Tensor | None,
    style: Reference | None,
    loras: Sequence[tuple[Path, float]] = (),
    **given: Any,
) -> torch.Tensor:
    """The same latents by diffusers alone, (N, 4, H/8, W/8). loras: files and their strengths. given: to its pipeline,
    in place of what it is called with here."""
    extra: dict[str, Any] = {"width": settings.width, "height": settings.height}
    if control is not None:
        extra = {
            "image": control,
            "controlnet_conditioning_scale": settings.controlnet_conditioning_scale,
            "control_guidance_start": settings.control_guidance_start,
            "control_guidance_end": settings.control_guidance_end,
        }
    pipe = (load_plain if loras else _load_once)(control is not None, style is not None)
    pipe.scheduler = build_scheduler(settings.scheduler, read_scheduler_config())
    if style is not None:
        pipe.set_ip_adapter_scale(settings.ip_adapter_scale)
        extra["ip_adapter_image"] = style.picture
    for file, _ in loras:
        pipe.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name=file.stem)
    if loras:
        pipe.set_adapters([file.stem for file, _ in loras], [strength for _, strength in loras])
    return pipe(
        settings.prompt,
        negative_prompt=settings.negative_prompt,
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        num_images_per_prompt=settings.num_images,
        generator=[torch.Generator().manual_seed(settings.seed + n) for n in range(settings.num_images)],
        output_type="latent",
        **(extra | given),
    ).images


def read_scheduler_config() -> dict[str, Any]:
    return json.loads((ROOT / "models" / "sd-tiny" / "scheduler" / "scheduler_config.json").read_text("utf-8"))
