"""What each block of the UNet takes over from a reference: style, layout, at which cost in structure.

    .venv/bin/python benchmarks/style_blocks.py [--references 14]

Shows the reference to one block at a time, on the bundled models and the starter library, with edges and without.
Prints one JSON object a variant. style: the share of the other styles' references from which the picture lies farther
than from its own, by colours and textures (0.5 = chance). layout: how much more its light and shade, at 16x16, agree
with its own reference's than with the others' (difference of correlations, 0 = chance). edge_f1: against the edges.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import cv2
import numpy as np
import torch
from pack import ROOT, import_pack, load_bundled
from PIL import Image

import_pack()
from style_judge import statistics_of  # noqa: E402
from style_pack.generation import denoise  # noqa: E402
from style_pack.generation.conditioning.references import Reference  # noqa: E402
from style_pack.generation.edges.score import score_edges  # noqa: E402
from style_pack.generation.sampler import generate  # noqa: E402
from style_pack.generation.settings import GenerationSettings  # noqa: E402

SIDE = 256
SETTINGS = GenerationSettings("", "", 0, 10, 1.5, "ddim", SIDE, SIDE, ip_adapter_scale=1.0)
SKETCHES = ("house_lineart", "factory_lineart", "cat_lineart", "lighthouse_ink", "mountains_ink")
BLOCKS = ("down_blocks.1", "down_blocks.2", "mid_block", "up_blocks.0", "up_blocks.1")
VARIANTS: dict[str, tuple[GenerationSettings, tuple[str, ...] | None]] = {
    "none": (replace(SETTINGS, ip_adapter_scale=0.0), None),
    "full": (SETTINGS, None),
    **{f"{block} alone": (SETTINGS, (block,)) for block in BLOCKS},
    "style": (replace(SETTINGS, style_mode="style"), None),
    "composition": (replace(SETTINGS, style_mode="composition"), None),
    "full, balanced": (replace(SETTINGS, speed="balanced"), None),
}


def only_in(blocks: tuple[str, ...]) -> Callable[[Any, str, float], None]:
    """Stands for `set_style`, with blocks that no mode has."""

    def set_style(unet: Any, mode: str, strength: float) -> None:
        for name, processor in unet.attn_processors.items():
            if hasattr(processor, "scale"):
                processor.scale = [strength if name.startswith(blocks) else 0.0]

    return set_style


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def layout_of(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (16, 16), interpolation=cv2.INTER_AREA).ravel()


class Library:
    """One reference of each style, and how near a picture is to each."""

    def __init__(self) -> None:
        folders = sorted(path for path in (ROOT / "styles").iterdir() if path.is_dir() and path.name != "sketches")
        self.pictures = [read(sorted((*folder.glob("*.jpg"), *folder.glob("*.png")))[0]) for folder in folders]
        features = np.stack([statistics_of(picture) for picture in self.pictures])
        self.mean, self.spread = features.mean(axis=0), features.std(axis=0) + 1e-6
        self.features = (features - self.mean) / self.spread

    def compare(self, picture: np.ndarray, own: int) -> tuple[float, float]:
        """Return (style, layout) of a picture against its own reference."""
        distances = np.abs(self.features - (statistics_of(picture) - self.mean) / self.spread).sum(axis=1)
        others = [number for number in range(len(self.pictures)) if number != own]
        agree = [np.corrcoef(layout_of(picture), layout_of(other))[0, 1] for other in self.pictures]
        style = fmean(float(distances[number] > distances[own]) for number in others)
        return style, float(agree[own] - fmean(agree[number] for number in others))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what each block of the UNet takes over from a reference.")
    parser.add_argument("--references", type=int, default=14)
    count = parser.parse_args().references
    pipeline, library, found = load_bundled(), Library(), {}
    usual = denoise.set_style
    for own in range(count):
        sketch = read(ROOT / "styles" / "sketches" / f"{SKETCHES[own % len(SKETCHES)]}.png")
        edges = cv2.Canny(cv2.cvtColor(sketch, cv2.COLOR_RGB2GRAY), 50, 150)
        lines = torch.from_numpy(edges / 255).float().expand(1, 3, SIDE, SIDE)
        for name, (settings, blocks) in VARIANTS.items():
            denoise.set_style = only_in(blocks) if blocks else usual
            for control in (lines, None):
                styles = [Reference(Image.fromarray(library.pictures[own]))]
                image = generate(pipeline, replace(settings, seed=own), control, styles).images[0]
                picture = (image.numpy() * 255).round().astype(np.uint8)
                style, layout = library.compare(picture, own)
                kept = found.setdefault(name, {"with edges": [], "without edges": []})
                key = "without edges" if control is None else "with edges"
                kept[key].append((style, layout, score_edges(picture, edges).f1))
    for name, kept in found.items():
        rows = {key: [round(fmean(column), 3) for column in zip(*values, strict=True)] for key, values in kept.items()}
        about = {"benchmark": "style_blocks", "variant": name, "pictures": count}
        named = {key: dict(zip(("style", "layout", "edge_f1"), row, strict=True)) for key, row in rows.items()}
        print(json.dumps(about | named))


if __name__ == "__main__":
    main()
