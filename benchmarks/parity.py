"""Our latents against those of plain diffusers, on random weights in the published layouts, in fp32 on the CPU.

    .venv/bin/python benchmarks/parity.py [--size small|full --side 128 --steps 4 --schedulers ddim,euler]

Both sides share one set of weights: diffusers' own pipeline is built around the modules that our loader made. `full`
is SD 1.5's size: 10 GB of memory, and minutes a case on few cores. Prints one JSON object a case, the largest
difference of any number of the latents, and a last one for all. With a LoRA it needs peft.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from full_size import SIZES, load_random, plain_parts, plain_pipeline, write_lora
from PIL import Image
from style_pack.generation.conditioning.references import Reference
from style_pack.generation.loading.pipeline import StylePipeline, add_lora
from style_pack.generation.sampler import generate
from style_pack.generation.schedulers import SCHEDULERS, build_scheduler
from style_pack.generation.settings import GenerationSettings

ALLOWED = 1e-3
LORA_RANK, LORA_LAYERS = 8, (".to_q", ".to_k", ".to_v", ".to_out.0")


def plain_latents(
    pipeline: StylePipeline, settings: GenerationSettings, edges: torch.Tensor | None, styles: list[Reference],
    lora: Path | None,
) -> torch.Tensor:  # fmt: skip
    scheduler = build_scheduler(settings.scheduler, pipeline.scheduler_config)
    extra: dict[str, Any] = {"width": settings.width, "height": settings.height}
    if edges is None:
        pipe = StableDiffusionPipeline(**plain_parts(pipeline), scheduler=scheduler)
    else:
        pipe = plain_pipeline(pipeline, scheduler)
        extra = {"image": edges, "controlnet_conditioning_scale": settings.controlnet_conditioning_scale}
    if masks := [style.mask for style in styles if style.mask is not None]:
        extra["cross_attention_kwargs"] = {"ip_adapter_masks": [torch.stack(masks)[None]]}
    pictures = [style.picture for style in styles] or [Image.new("RGB", (224, 224))]
    pipe.set_ip_adapter_scale(settings.ip_adapter_scale if styles else 0.0)
    pipe.set_progress_bar_config(disable=True)
    if lora:
        pipe.load_lora_weights(str(lora.parent), weight_name=lora.name)
    made = pipe(
        settings.prompt,
        negative_prompt=settings.negative_prompt,
        ip_adapter_image=[pictures],
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        num_images_per_prompt=settings.num_images,
        generator=[torch.Generator().manual_seed(settings.seed + n) for n in range(settings.num_images)],
        output_type="latent",
        **extra,
    ).images
    if lora:
        pipe.unload_lora_weights()
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare our latents with plain diffusers'.")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--schedulers", default=",".join(SCHEDULERS))
    asked = parser.parse_args()
    settings = GenerationSettings("a castle", "blurry", 3, asked.steps, 5.0, "ddim", asked.side, asked.side)
    edges = torch.zeros(1, 3, asked.side, asked.side)
    edges[:, :, asked.side // 4] = edges[:, :, :, asked.side // 2] = 1
    noise = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    one, other = (Reference(Image.fromarray(pixels)) for pixels in noise)
    style, both, worst = [one], [one, other], 0.0
    left = (torch.arange(asked.side) < asked.side // 2).float().expand(asked.side, asked.side)
    apart = [replace(one, mask=left), replace(other, mask=1 - left)]
    with tempfile.TemporaryDirectory() as folder:
        pipeline = load_random(Path(folder), asked.size)
        lora = write_lora(Path(folder) / "lora.safetensors", pipeline, LORA_RANK, LORA_LAYERS)
        cases = [(f"{name}, edges and style", replace(settings, scheduler=name), edges, style, None)
                 for name in asked.schedulers.split(",")]  # fmt: skip
        cases += [
            ("edges alone", settings, edges, [], None),
            ("style alone", settings, None, style, None),
            ("neither", settings, None, [], None),
            ("two references", settings, edges, both, None),
            ("a masked reference", settings, edges, apart[:1], None),
            ("two references, a mask each", settings, edges, apart, None),
            ("batch of 2", replace(settings, num_images=2), edges, style, None),
            ("without guidance", replace(settings, guidance_scale=1.0), edges, style, None),
            ("a LoRA", settings, edges, style, lora),
        ]
        for name, chosen, control, styles, file in cases:
            changed = add_lora(pipeline, file, 1.0) if file else pipeline
            ours = generate(changed, chosen, control, styles).latents
            difference = float((ours - plain_latents(pipeline, chosen, control, styles, file)).abs().max())
            worst = max(worst, difference)
            print(json.dumps({"benchmark": "parity", "case": name, "largest_difference": difference}), flush=True)
    about = {"benchmark": "parity", "size": asked.size, "side": asked.side, "steps": asked.steps}
    print(json.dumps(about | {"cases": len(cases), "largest_difference": worst, "allowed": ALLOWED}))
    sys.exit(worst > ALLOWED)


if __name__ == "__main__":
    main()
