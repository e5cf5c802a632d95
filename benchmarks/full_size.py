"""Random weights in the published layouts, in the pack's own pipeline and in diffusers' around the same modules."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from pack import ROOT, import_pack

import_pack()
sys.path.append(str(ROOT / "tests"))
import published_layouts as layouts  # noqa: E402
from diffusers import StableDiffusionControlNetPipeline  # noqa: E402
from style_pack.generation.loading.files import check_files  # noqa: E402
from style_pack.generation.loading.pipeline import StylePipeline, load_pipeline  # noqa: E402
from style_pack.generation.loading.precision import Precision  # noqa: E402

SIZES = {"small": layouts.SMALL, "full": layouts.FULL}


def load_random(folder: Path, size: str) -> StylePipeline:
    """Write random weights as they are published, and read them with the pack's own loader.

    `full` is SD 1.5's size: 4 GB of files, 8 GB of memory. `small` has the same keys.
    """
    base = layouts.diffusers_folder(folder / "sd15", SIZES[size])
    files = check_files(
        base,
        layouts.controlnet(folder / "controlnet", SIZES[size]),
        layouts.ip_adapter(folder / "ip_adapter.safetensors", SIZES[size]),
        [layouts.clip_vision(folder / "vision.safetensors", SIZES[size])],
    )
    return load_pipeline(files, base / "tokenizer", Precision(torch.float32))


def write_lora(file: Path, pipeline: StylePipeline, rank: int, layers: tuple[str, ...], strength: float = 0.1) -> Path:
    """A random LoRA in kohya's layout for the UNet's layers whose names end so."""
    generator, state = torch.Generator().manual_seed(1), {}
    for name, layer in pipeline.denoiser.unet.named_modules():
        if name.endswith(layers) and isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
            rows, columns, *window = layer.weight.shape
            stem, fan = "lora_unet_" + name.replace(".", "_"), layer.weight[0].numel()
            state[f"{stem}.lora_down.weight"] = torch.randn(rank, columns, *window, generator=generator) / fan**0.5
            up = torch.randn(rows, rank, *(1 for _ in window), generator=generator)
            state[f"{stem}.lora_up.weight"] = up * strength
            state[f"{stem}.alpha"] = torch.tensor(rank / 2)
    return layouts.save(file, state)


def plain_parts(pipeline: StylePipeline) -> dict[str, Any]:
    """What diffusers' pipelines are built of, but for ControlNet and scheduler; the very modules of ours."""
    parts = {name: getattr(pipeline, name) for name in ("vae", "text_encoder", "tokenizer", "image_encoder")}
    return parts | {
        "unet": pipeline.denoiser.unet,
        "feature_extractor": pipeline.image_processor,
        "safety_checker": None,
        "requires_safety_checker": False,
    }


def plain_pipeline(pipeline: StylePipeline, scheduler: Any) -> StableDiffusionControlNetPipeline:
    """Plain diffusers with ControlNet and IP-Adapter. Set the adapter's scale before each run: ours changes it."""
    net = pipeline.denoiser.controlnet
    pipe = StableDiffusionControlNetPipeline(**plain_parts(pipeline), controlnet=net, scheduler=scheduler)
    pipe.set_progress_bar_config(disable=True)
    return pipe
