"""Where our sampler and stock KSampler + ControlNet + IP-Adapter differ by definition, and by how much.

    .venv/bin/python benchmarks/stock_differences.py [--size small --side 128 --steps 8]

Both have the same random weights, seed, prompt, edges, reference and settings. The differences are taken away one
after the other: sigmas, the scale of the starting noise. What is left then is the order of sums. One JSON object a
case: largest and mean difference of the latents, in units of their own standard deviation.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from full_size import SIZES, load_random
from PIL import Image
from stock_graph import SAMPLERS, StockGraph
from style_pack.generation.conditioning.references import Reference, encode_references
from style_pack.generation.conditioning.text import encode_prompts
from style_pack.generation.loading.weights import CONFIGS
from style_pack.generation.sampler import generate
from style_pack.generation.schedulers import build_scheduler
from style_pack.generation.settings import GenerationSettings


def difference(case: str, ours: torch.Tensor, theirs: torch.Tensor) -> dict[str, Any]:
    apart = (ours - theirs).abs() / ours.std()
    return {"case": case, "largest": float(f"{apart.max():.2g}"), "mean": float(f"{apart.mean():.2g}")}


def with_our_sigmas(stock: StockGraph, settings: GenerationSettings, config: Any, same_start: bool) -> torch.Tensor:
    """Latents of ComfyUI's euler sampler over our sigmas; same_start: from noise of our scale too."""
    scheduler = build_scheduler("euler", config)
    scheduler.set_timesteps(settings.num_inference_steps)
    sigmas = scheduler.sigmas
    start = float(scheduler.init_noise_sigma) if same_start else None
    return stock.euler(settings.seed, settings.guidance_scale, settings.height, sigmas, start)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description="Our latents against those of the stock ComfyUI graph.")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--steps", type=int, default=8)
    asked = parser.parse_args()
    settings = GenerationSettings("a castle", "blurry", 3, asked.steps, 5.0, "euler", asked.side, asked.side)
    edges = torch.zeros(1, 3, asked.side, asked.side)
    edges[:, :, asked.side // 4] = edges[:, :, :, asked.side // 2] = 1
    noise = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    references = [Reference(Image.fromarray(noise))]
    with tempfile.TemporaryDirectory() as folder:
        pipeline = load_random(Path(folder), asked.size)
        # SD 1.5's published one: it leaves the spacing of timesteps to each scheduler.
        pipeline.scheduler_config = json.loads((CONFIGS / "scheduler" / "scheduler_config.json").read_text("utf-8"))
        stock = StockGraph(pipeline, Path(folder) / "comfyui")
        text, no_text = encode_prompts(pipeline, {"prompt": settings.prompt, "negative_prompt": "blurry"})
        style, no_style, _ = encode_references(pipeline, references, settings)
        stock.prepare(text, no_text, style, no_style, edges, (1.0, settings.ip_adapter_scale))
        about = {"benchmark": "stock_differences", "size": asked.size, "side": asked.side, "steps": asked.steps}

        def tell(case: str, ours: torch.Tensor, theirs: torch.Tensor) -> None:
            print(json.dumps(about | difference(case, ours, theirs)), flush=True)

        made = {}
        for name in SAMPLERS:
            made[name] = generate(pipeline, replace(settings, scheduler=name), edges, references).latents
            latent = stock.sample(settings.seed, asked.steps, settings.guidance_scale, name, asked.side)
            tell(f"{name} against {' + '.join(SAMPLERS[name])}", made[name], latent["samples"] * stock.scale)
        for case, same_start in (("euler, our sigmas", False), ("euler, our sigmas and noise", True)):
            theirs = with_our_sigmas(stock, settings, pipeline.scheduler_config, same_start)
            tell(case, made["euler"], theirs)
        stock.prepare(text, no_text, style, no_style, edges, (1.0, settings.ip_adapter_scale), middle=False)
        theirs = with_our_sigmas(stock, settings, pipeline.scheduler_config, True)
        tell("the same, no style in the middle block", made["euler"], theirs)


if __name__ == "__main__":
    main()
