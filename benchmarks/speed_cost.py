"""What each part of `balanced` and `turbo` costs and saves on the bundled models, on layouts they never saw.

    .venv/bin/python benchmarks/speed_cost.py [--layouts 24 --models models --sheet output/speed.png]

Prints one JSON object a variant: edge F1, share of pictures whose style is told to be the reference's, mean difference
of pixels (0..1) from `exact`, share of its arithmetic (torch's FlopCounterMode: denoising and decoding) and of its
processor time. `another seed` tells how far apart two pictures are that are equally good. The contact sheet has a
row for each of the first layouts: reference, edges, then the variants in the order that is printed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from pack import MODELS, ROOT
from PIL import Image
from quality import SETTINGS, Bench, trials
from style_pack.generation import plan
from style_pack.generation.edges.score import score_edges
from style_pack.generation.loading.pipeline import add_lora
from style_pack.generation.settings import GenerationSettings
from torch.utils.flop_counter import FlopCounterMode

LORA = "lora-tiny/lcm-lora_tiny.safetensors"
SHEET_ROWS = 8
BALANCED = replace(SETTINGS, speed="balanced")


@dataclass
class Variant:
    """How to paint, and what came of it: pictures (256, 256, 3) uint8 and processor seconds of each."""

    name: str
    settings: GenerationSettings
    changed: dict[str, Any] = field(default_factory=dict)  # of the plan's module
    fast: bool = False
    pictures: list[np.ndarray] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def variants(with_lora: bool) -> list[Variant]:
    every_step, all_guided = {"_with_reuse": lambda steps: steps}, {"GUIDED_SIGMAS": (-1.0, float("inf"))}
    found = [
        Variant("exact", SETTINGS),
        Variant("another seed", replace(SETTINGS, seed=1)),
        Variant("guidance in the interval", BALANCED, every_step),
        Variant("deep features at every second step", BALANCED, all_guided),
        Variant("deep features at two of three steps", BALANCED, all_guided | {"FULL_EVERY": 3}),
        Variant("ControlNet until 0.7", replace(SETTINGS, control_guidance_end=0.7)),
        Variant("balanced", BALANCED),
    ]
    for steps in (4, 6, 8) if with_lora else ():
        settings = replace(SETTINGS, speed="turbo", num_inference_steps=steps)
        found.append(Variant(f"turbo, {steps} steps", settings, fast=True))
    return found


@contextmanager
def planned(changes: dict[str, Any]) -> Iterator[None]:
    """Let the plan of steps be made otherwise."""
    before = {name: getattr(plan, name) for name in changes}
    vars(plan).update(changes)
    try:
        yield
    finally:
        vars(plan).update(before)


def paint_all(bench: Bench, variant: Variant, layouts: int, lora: Path) -> float:
    """Fill in the variant's pictures, and return the giga floating point operations of one."""
    plain = bench.pipeline
    bench.pipeline = add_lora(plain, lora, 1.0) if variant.fast else plain
    counter = FlopCounterMode(display=False)
    with planned(variant.changed):
        for number, trial in enumerate(trials(bench.data, layouts, [variant.settings])):
            told = (bench.edges(trial.target), np.asarray(bench.data.pictures[trial.reference]), trial.settings)
            if number == 0:
                bench.paint(*told)  # encodes the reference
                with counter:
                    bench.paint(*told)
            start = time.process_time()
            variant.pictures.append(bench.paint(*told))
            variant.seconds.append(time.process_time() - start)
    bench.pipeline = plain
    return counter.get_total_flops() / 1e9


def describe(bench: Bench, variant: Variant, exact: Variant, layouts: int) -> dict[str, Any]:
    chosen = trials(bench.data, layouts, [variant.settings])
    styles = [bench.data.entries[trial.reference].style for trial in chosen]
    f1 = [score_edges(p, bench.edges(t.target)).f1 for p, t in zip(variant.pictures, chosen, strict=True)]
    right = [bench.judge.style_of(p) == style for p, style in zip(variant.pictures, styles, strict=True)]
    apart = [np.abs(a.astype(float) - b).mean() / 255 for a, b in zip(variant.pictures, exact.pictures, strict=True)]
    return {
        "variant": variant.name,
        "pictures": len(chosen),
        "edge_f1": round(fmean(f1), 3),
        "style_is_the_references": round(fmean(right), 3),
        "distance_from_exact": round(float(fmean(apart)), 4),
        "seconds": round(fmean(variant.seconds), 3),
    }


def contact_sheet(bench: Bench, painted: list[Variant], layouts: int) -> Image.Image:
    rows = []
    for number, trial in enumerate(trials(bench.data, layouts, [SETTINGS])[:SHEET_ROWS]):
        page = np.repeat(255 - bench.edges(trial.target)[..., None], 3, axis=2)
        reference = np.asarray(bench.data.pictures[trial.reference])
        rows.append(np.hstack([reference, page, *(variant.pictures[number] for variant in painted)]))
    return Image.fromarray(np.vstack(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost and gain of what balanced and turbo leave out.")
    parser.add_argument("--layouts", type=int, default=24)
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--sheet", type=Path, default=ROOT / "output" / "speed.png")
    asked = parser.parse_args()
    bench, lora = Bench(asked.models), asked.models / LORA
    painted = variants(lora.is_file())
    work: dict[str, float] = {}
    for variant in painted:
        work[variant.name] = paint_all(bench, variant, asked.layouts, lora)
        found = describe(bench, variant, painted[0], asked.layouts)
        found |= {"gflop": round(work[variant.name], 1), "of_exact": round(work[variant.name] / work["exact"], 3)}
        print(json.dumps({"benchmark": "speed_cost"} | found), flush=True)
    asked.sheet.parent.mkdir(exist_ok=True)
    contact_sheet(bench, painted, asked.layouts).save(asked.sheet)


if __name__ == "__main__":
    main()
