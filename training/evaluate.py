"""Measures exported models on layouts that training never saw, and draws a contact sheet.

Uses the stock diffusers pipeline, as the pack does. Run as `python -m training.evaluate`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline
from PIL import Image
from transformers import CLIPModel, CLIPTokenizer

from .captions import held_out_prompts
from .dataset import HIGH_THRESHOLD, LOW_THRESHOLD, Dataset, open_dataset, plan
from .export import MODELS
from .statistics import StyleJudge
from .train_clip import clip_pixels, image_embeds, text_embeds
from .vocabulary import HELD_OUT_TEMPLATES, STYLE_WORDS

HELD_OUT_GROUPS, HELD_OUT_PER_GROUP = 60, 4
WORK = Path(__file__).resolve().parent / ".work"


@dataclass(frozen=True)
class Trial:
    """One picture to paint: whose edges, whose style, and how strongly."""

    target: int
    reference: int
    control: float = 1.0
    style: float = 1.0


def load_pipeline(folder: Path) -> StableDiffusionControlNetPipeline:
    """The exported stack in single precision, as the stock classes load it."""
    controlnet = ControlNetModel.from_pretrained(folder / "controlnet-canny-tiny", torch_dtype=torch.float32)
    pipeline = StableDiffusionControlNetPipeline.from_pretrained(
        folder / "sd-tiny", controlnet=controlnet, torch_dtype=torch.float32, local_files_only=True
    )
    pipeline.load_ip_adapter(
        str(folder / "ip-adapter-tiny"),
        subfolder="",
        weight_name="ip-adapter_tiny.safetensors",
        image_encoder_folder="image_encoder",
        local_files_only=True,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def paint(
    pipeline: StableDiffusionControlNetPipeline, edges: np.ndarray, reference: np.ndarray, trial: Trial
) -> np.ndarray:
    """A picture (256, 256, 3) uint8 from edges (256, 256) 0 or 1 and a reference picture; no words."""
    pipeline.set_ip_adapter_scale(trial.style)
    page = Image.fromarray(np.repeat(edges[..., None] * np.uint8(255), 3, axis=2))
    output = pipeline(
        "",
        image=page,
        ip_adapter_image=Image.fromarray(reference),
        num_inference_steps=15,
        guidance_scale=1.5,
        controlnet_conditioning_scale=trial.control,
        generator=torch.Generator().manual_seed(trial.target),
    )
    return np.asarray(output.images[0])


def canny(picture: np.ndarray) -> np.ndarray:
    """Edges of an RGB picture, bool."""
    return cv2.Canny(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), LOW_THRESHOLD, HIGH_THRESHOLD) > 0


def edge_f1(found: np.ndarray, wanted: np.ndarray, tolerance: int = 2) -> float:
    """F1 of two edge maps; an edge counts when the other map has one within `tolerance` pixels."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * tolerance + 1,) * 2)
    near_wanted, near_found = (cv2.dilate(edges.astype(np.uint8), disc) > 0 for edges in (wanted, found))
    precision = (found & near_wanted).sum() / max(1, found.sum())
    recall = (wanted & near_found).sum() / max(1, wanted.sum())
    return float(2 * precision * recall / max(1e-9, precision + recall))


def trials_of(data: Dataset, count: int, control: float, style: float) -> list[Trial]:
    """Held-out layouts, each with a reference of any style but `flat`."""
    rng = np.random.default_rng(7)
    styled = [index for index, entry in enumerate(data.entries) if entry.style in STYLE_WORDS]
    targets = rng.choice(styled, size=count, replace=False)
    return [Trial(int(target), int(rng.choice(styled)), control, style) for target in targets]


def measure(
    pipeline: StableDiffusionControlNetPipeline, data: Dataset, judge: StyleJudge, trials: list[Trial]
) -> dict[str, float]:
    """Mean edge F1 of the trials and of the real renders, and how often the style is the reference's."""
    scores, ceilings, right = [], [], []
    for trial in trials:
        edges = data.control(trial.target, 0)
        picture = paint(pipeline, edges, np.asarray(data.pictures[trial.reference]), trial)
        scores.append(edge_f1(canny(picture), edges > 0))
        ceilings.append(edge_f1(canny(np.asarray(data.pictures[trial.target])), edges > 0))
        right.append(judge.style_of(picture) == data.entries[trial.reference].style)
    means = {"edge_f1": scores, "edge_f1_of_real_renders": ceilings, "style_accuracy": right}
    return {name: round(float(np.mean(values)), 3) for name, values in means.items()}


@torch.no_grad()
def measure_retrieval(folder: Path, data: Dataset) -> dict[str, float]:
    """Share of held-out prompts whose nearest held-out picture has the right style, or the right scene."""
    clip = CLIPModel.from_pretrained(folder / "clip-tiny", dtype=torch.float32).eval()
    tokenizer = CLIPTokenizer.from_pretrained(folder / "clip-tiny")
    chosen = [index for index, entry in enumerate(data.entries) if entry.style in STYLE_WORDS]
    images = torch.nn.functional.normalize(image_embeds(clip, clip_pixels(np.asarray(data.pictures)[chosen])), dim=1)
    prompts = held_out_prompts(HELD_OUT_TEMPLATES, 20, seed=8)
    texts = text_embeds(clip, tokenizer, [prompt.text for prompt in prompts])
    nearest = [data.entries[chosen[index]] for index in (texts @ images.T).argmax(dim=1)]
    styles = [entry.style == prompt.style for entry, prompt in zip(nearest, prompts, strict=True)]
    kinds = [entry.kind == prompt.kind for entry, prompt in zip(nearest, prompts, strict=True) if prompt.kind]
    return {
        "retrieval_style_top1": round(float(np.mean(styles)), 3),
        "retrieval_scene_top1": round(float(np.mean(kinds)), 3),
    }


def contact_sheet(pipeline: StableDiffusionControlNetPipeline, data: Dataset, sketches: list[np.ndarray]) -> np.ndarray:
    """References across, sketches (256, 256) down."""
    firsts = {entry.style: index for index, entry in reversed(list(enumerate(data.entries)))}
    references = [np.asarray(data.pictures[firsts[style]]) for style in STYLE_WORDS]
    rows = [[np.full((256, 256, 3), 255, np.uint8), *references]]
    for number, edges in enumerate(sketches):
        page = np.repeat((1 - edges)[..., None] * np.uint8(255), 3, axis=2)
        rows.append([page, *[paint(pipeline, edges, reference, Trial(number, 0)) for reference in references]])
    return np.vstack([np.hstack(row) for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure exported models on held-out layouts.")
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--count", type=int, default=50)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    data = open_dataset(arguments.work / "held-out", plan(HELD_OUT_GROUPS, HELD_OUT_PER_GROUP, held_out=True))
    judge = StyleJudge.fit(open_dataset(arguments.work / "pictures", plan(540, 7, held_out=False)))
    pipeline = load_pipeline(arguments.models)
    results: dict[str, object] = {
        "judge_on_real_renders": judge.accuracy(data),
        **measure_retrieval(arguments.models, data),
    }
    for control, style in ((1.0, 1.0), (0.0, 1.0), (1.0, 0.0)):
        trials = trials_of(data, arguments.count, control, style)
        results[f"control {control:g}, style {style:g}"] = measure(pipeline, data, judge, trials)
    (arguments.work / "figures.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    sketches = [data.control(index, 0) for index in (1, 21, 41, 62, 83)]
    Image.fromarray(contact_sheet(pipeline, data, sketches)).save(arguments.work / "contact-sheet.jpg", quality=90)


if __name__ == "__main__":
    main()
