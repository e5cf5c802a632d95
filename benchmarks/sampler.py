"""Seconds a picture at SD 1.5's size: our three speeds, plain diffusers and the stock ComfyUI graph, turn about.

    .venv/bin/python benchmarks/sampler.py [--size small|full --side 256 --steps 20 --measured 6 --rounds 3]

All sides share one set of random weights in one process, in fp32 on the processor; `full` takes 15 GB of memory and,
on two idle cores, a quarter of an hour. Ours and the stock graph have prompt and reference encoded, as from the
second run on; diffusers' pipeline encodes both every time.

`measured` steps are taken of those speeds whose steps are all alike. A picture's seconds are then all of that run,
its fixed parts included, and the median step once more for each step that is missing. `balanced` and `turbo` take all
of theirs. One JSON object a speed with the medians of the rounds, and one for a second run with another seed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from full_size import SIZES, load_random, plain_pipeline, write_lora
from PIL import Image
from stock_graph import SAMPLERS, StockGraph, each_step
from style_pack.generation.conditioning.references import Reference, encode_references
from style_pack.generation.conditioning.text import encode_prompts
from style_pack.generation.loading.pipeline import add_lora
from style_pack.generation.sampler import generate
from style_pack.generation.schedulers import build_scheduler
from style_pack.generation.settings import GenerationSettings

# What product.md asks for: shares of plain diffusers' and of the stock graph's seconds, and of the time elsewhere.
OF_DIFFUSERS = {"exact": 0.95, "balanced": 0.6, "turbo": 0.25}
OF_STOCK = {"exact": 0.82}
ELSEWHERE = 0.03
# lcm-lora-sdv1-5's rank and the UNet's layers that it changes.
LORA_RANK = 64
LORA_LAYERS = (".to_q", ".to_k", ".to_v", ".to_out.0", "proj_in", "proj_out", ".net.0.proj", ".net.2", ".conv1",
               ".conv2", ".conv_shortcut", ".conv", ".time_emb_proj")  # fmt: skip


@dataclass(frozen=True)
class Timed:
    """One run: all of its seconds, and those between its steps."""

    total: float
    steps: list[float]

    def picture(self, steps: int) -> float:
        """Seconds of a picture of so many steps, where this run had fewer of the same kind."""
        return self.total + (steps - len(self.steps) - 1) * median(self.steps)


def timed(paint: Callable[[Callable[[], None]], Any], taken: int, clock: Callable[[], float]) -> Timed:
    """Run `paint`, which calls what it is given at every one of the steps that it takes."""
    moments: list[float] = []
    start = clock()
    paint(lambda: moments.append(clock()))
    end = clock()
    assert len(moments) == taken, f"{len(moments)} steps were told of, {taken} were asked for"
    return Timed(end - start, [late - early for early, late in zip(moments, moments[1:], strict=False)])


class Sides:
    """One set of weights, and the same picture by each side."""

    def __init__(self, folder: Path, settings: GenerationSettings, size: str, measured: int) -> None:
        self.settings, self.measured = settings, measured
        self.pipeline = load_random(folder, size)
        file = write_lora(folder / "lcm.safetensors", self.pipeline, LORA_RANK, LORA_LAYERS, strength=0.01)
        self.fast = add_lora(self.pipeline, file, 1.0)
        side = settings.height
        self.edges = torch.zeros(1, 3, side, side)
        self.edges[:, :, side // 4] = self.edges[:, :, :, side // 2] = 1
        noise = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
        self.reference = Image.fromarray(noise)
        self.plain = plain_pipeline(self.pipeline, build_scheduler(settings.scheduler, self.pipeline.scheduler_config))
        self.stock = StockGraph(self.pipeline, folder / "comfyui")
        prompts = {"prompt": settings.prompt, "negative_prompt": settings.negative_prompt}
        with torch.inference_mode():
            text, no_text = encode_prompts(self.pipeline, prompts)
            style, no_style, _ = encode_references(self.pipeline, [Reference(self.reference)], settings)
            strengths = (settings.controlnet_conditioning_scale, settings.ip_adapter_scale)
            self.stock.prepare(text, no_text, style, no_style, self.edges, strengths)

    def ours(self, speed: str, steps: int, on_step: Callable[[], None]) -> dict[str, float]:
        settings = replace(self.settings, speed=speed, num_inference_steps=steps)
        pipeline = self.fast if speed == "turbo" else self.pipeline
        references = [Reference(self.reference)]
        return generate(pipeline, settings, self.edges, references, lambda *step: on_step()).seconds

    def diffusers(self, on_step: Callable[[], None]) -> None:
        def told(pipe: Any, step: int, moment: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            on_step()
            return tensors

        self.plain.set_ip_adapter_scale(self.settings.ip_adapter_scale)
        self.plain(
            self.settings.prompt,
            negative_prompt=self.settings.negative_prompt,
            image=self.edges,
            ip_adapter_image=self.reference,
            num_inference_steps=self.measured,
            guidance_scale=self.settings.guidance_scale,
            generator=torch.Generator().manual_seed(self.settings.seed),
            callback_on_step_end=told,
        )

    def comfyui(self, on_step: Callable[[], None]) -> None:
        chosen = self.settings
        with torch.inference_mode(), each_step(on_step):
            latent = self.stock.sample(
                chosen.seed, self.measured, chosen.guidance_scale, chosen.scheduler, chosen.height
            )
            self.stock.decode(latent)


def measure(sides: Sides, rounds: int, clock: Callable[[], float]) -> dict[str, dict[str, Any]]:
    """Medians of the rounds: seconds of a picture, and of a step."""
    steps, some = sides.settings.num_inference_steps, sides.measured
    runs: dict[str, tuple[int, int, Callable[[Callable[[], None]], Any]]] = {  # of a picture, taken, how
        "diffusers": (steps, some, sides.diffusers),
        "exact": (steps, some, partial(sides.ours, "exact", some)),
        "stock": (steps, some, sides.comfyui),
        "balanced": (steps, steps, partial(sides.ours, "balanced", steps)),
        "turbo, 8 steps": (8, 8, partial(sides.ours, "turbo", 8)),
        "turbo, 4 steps": (4, 4, partial(sides.ours, "turbo", 4)),
    }
    found: dict[str, list[Timed]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, (_, taken, paint) in runs.items():
            found[name].append(timed(paint, taken, clock))
    return {
        name: {
            "seconds": round(median(run.picture(steps) for run in found[name]), 3),
            "seconds_a_step": round(median(sum(run.steps) / len(run.steps) for run in found[name]), 3),
            "steps": steps,
        }
        for name, (steps, _, _) in runs.items()
    }


def second_seed(sides: Sides, rounds: int) -> dict[str, Any]:
    """Share of a run's time that is neither denoising nor decoding, when only the seed is another."""
    shares = []
    for number in range(rounds):
        sides.settings = replace(sides.settings, seed=sides.settings.seed + 1 + number)
        start = time.perf_counter()
        seconds = sides.ours("exact", sides.measured, lambda: None)
        total = time.perf_counter() - start
        whole = total + seconds["sampling"] * (sides.settings.num_inference_steps / sides.measured - 1)
        shares.append((total - seconds["sampling"] - seconds["decoding"]) / whole)
    return {"what": "another seed: time outside denoising and decoding", "share": round(median(shares), 5)}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Seconds a picture against plain diffusers and the stock graph.")
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--side", type=int, default=256, help="pixels")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--measured", type=int, default=6, help="steps that are taken of those that are all alike")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scheduler", choices=SAMPLERS, default="dpmpp_2m_karras")
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall", help="processor: on a busy machine")
    return parser.parse_args()


def main() -> None:
    asked = parse_arguments()
    prompt = "a castle on a hill at night"
    settings = GenerationSettings(prompt, "blurry", 3, asked.steps, 7.5, asked.scheduler, asked.side, asked.side)
    clock = time.perf_counter if asked.clock == "wall" else time.process_time
    about = {"benchmark": "sampler", "rounds": asked.rounds, "threads": torch.get_num_threads()}
    about |= {key: getattr(asked, key) for key in ("size", "side", "scheduler", "measured", "clock")}
    with tempfile.TemporaryDirectory() as folder:
        sides = Sides(Path(folder), settings, asked.size, asked.measured)
        for warm_up in (sides.diffusers, sides.comfyui, partial(sides.ours, "exact", 2)):
            warm_up(lambda: None)
        medians = measure(sides, asked.rounds, clock)
        for name, found in medians.items():
            line: dict[str, Any] = about | {"what": name} | found
            if name not in ("diffusers", "stock"):
                speed = name.partition(",")[0]
                line |= {"of_diffusers": round(found["seconds"] / medians["diffusers"]["seconds"], 3)}
                line |= {"of_stock": round(found["seconds"] / medians["stock"]["seconds"], 3)}
                line |= {"of_diffusers_wanted": OF_DIFFUSERS[speed], "of_stock_wanted": OF_STOCK.get(speed)}
            print(json.dumps(line), flush=True)
        print(json.dumps(about | second_seed(sides, asked.rounds) | {"wanted": ELSEWHERE}), flush=True)


if __name__ == "__main__":
    main()
