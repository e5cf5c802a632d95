"""What the bundled models can do, on layouts that training never saw, through the pack's own code.

    .venv/bin/python benchmarks/quality.py [--layouts 50 --seeds 3 --models models]

Prints one JSON object: structure (edge F1 against the control, lines and parts that are there), sharpness, style (told
by a judge that is none of the models, see style_judge.py), retrieval (held-out wordings in the starter library) and
text (which scene the prompt alone gives).
Writes the contact sheet output/quality.png: references across, sketches down, the last of kinds that training never
showed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from pack import MODELS, ROOT, import_pack, load_bundled
from PIL import Image

import_pack()
from line_scores import lines_found, mean_gradient, parts_found  # noqa: E402
from style_judge import StyleJudge  # noqa: E402
from style_pack.generation.conditioning.references import Reference  # noqa: E402
from style_pack.generation.edges.score import score_edges  # noqa: E402
from style_pack.generation.loading.pipeline import StylePipeline  # noqa: E402
from style_pack.generation.sampler import generate  # noqa: E402
from style_pack.generation.settings import GenerationSettings  # noqa: E402
from style_pack.retrieval.encoders.encoder import StyleEncoder  # noqa: E402
from style_pack.retrieval.ingest import ingest  # noqa: E402
from style_pack.retrieval.search import StyleQuery, search  # noqa: E402
from style_pack.retrieval.store.store import StyleStore  # noqa: E402

from training.captions import held_out_prompts  # noqa: E402
from training.dataset import (  # noqa: E402
    SIZE,
    Dataset,
    Entry,
    draw_entry,
    line_art,
    open_dataset,
    palette_of,
    plan,
    scene_of,
)
from training.figures import FIGURES, draw_figure  # noqa: E402
from training.geometry import Scene  # noqa: E402
from training.styles import render  # noqa: E402
from training.vocabulary import HELD_OUT_TEMPLATES, SCENE_WORDS, STYLE_WORDS  # noqa: E402

WORK = ROOT / "training" / ".work"
# The judge is fitted on the first groups of the training set, the models are tried on none of it.
TRAINING = plan(135, 7, held_out=False)
HELD_OUT = plan(60, 4, held_out=True)
# The guidance of the bundled workflows.
SETTINGS = GenerationSettings("", "", 0, 15, 1.5, "ddim", SIZE, SIZE, ip_adapter_scale=1.0)
NO_CONTROL = replace(SETTINGS, controlnet_conditioning_scale=0.0)
NO_STYLE = replace(SETTINGS, ip_adapter_scale=0.0)
PROMPTS_PER_STYLE = 8


@dataclass(frozen=True)
class Trial:
    """One picture to paint: whose edges, whose style, and what decides the rest."""

    target: int
    reference: int
    settings: GenerationSettings


def paint(
    pipeline: StylePipeline, edges: np.ndarray | None, reference: np.ndarray | None, settings: GenerationSettings
) -> np.ndarray:
    """(256, 256, 3) uint8 from edges (256, 256) of 0 and 255 and a picture, either None."""
    lines = None if edges is None else torch.from_numpy(edges / 255).float().expand(1, 3, SIZE, SIZE)
    styles = [] if reference is None else [Reference(Image.fromarray(reference))]
    image = generate(pipeline, settings, lines, styles).images[0]
    return (image.numpy() * 255).round().astype(np.uint8)


class Bench:
    """Models, held-out pictures and the judge."""

    def __init__(self, models: Path) -> None:
        self.pipeline = load_bundled(models)
        tokenizer = models / "clip-tiny"
        self.encoder = StyleEncoder("bundled/clip-tiny", models / "clip-tiny", tokenizer)
        self.data = open_dataset(WORK / "held-out", HELD_OUT)
        self.judge = StyleJudge.fit(open_dataset(WORK / "judge", TRAINING))

    def paint(self, edges: np.ndarray | None, reference: np.ndarray | None, settings: GenerationSettings) -> np.ndarray:
        return paint(self.pipeline, edges, reference, settings)

    def edges(self, index: int) -> np.ndarray:
        return self.data.control(index, 0) * np.uint8(255)


def trials(data: Dataset, layouts: int, settings: list[GenerationSettings]) -> list[Trial]:
    """Held-out layouts, each with a reference of any style, once for every one of the settings."""
    rng = np.random.default_rng(7)
    styled = [index for index, entry in enumerate(data.entries) if entry.style in STYLE_WORDS]
    targets = rng.choice(styled, size=layouts, replace=False)
    references = [int(rng.choice(styled)) for _ in targets]
    return [Trial(int(t), r, one) for one in settings for t, r in zip(targets, references, strict=True)]


def asked_for(target: Entry, reference: Entry) -> np.ndarray:
    """The real render of what a trial asks for: the target's layout in the reference's style and colours."""
    return draw_entry(replace(target, style=reference.style, group=reference.group))[0]


def measure(bench: Bench, chosen: list[Trial]) -> dict[str, object]:
    """What the pictures have of the drawing and of the style, beside the real renders of the same."""
    painted, real = Tally(), Tally()
    for trial in chosen:
        edges, target, reference = (
            bench.edges(trial.target),
            *(bench.data.entries[n] for n in (trial.target, trial.reference)),
        )
        picture = bench.paint(edges, np.asarray(bench.data.pictures[trial.reference]), trial.settings)
        for tally, shown in ((painted, picture), (real, asked_for(target, reference))):
            tally.add(shown, edges, scene_of(target), reference.style, bench.judge.style_of(shown))
    return {
        "pictures": len(chosen),
        **painted.summary(),
        "of_real_renders": real.summary(),
        "sharpness": painted.sharpness(real),
        "style_by_style": painted.styles(),
    }


class Tally:
    """Figures of some pictures, each beside the style that it should have."""

    def __init__(self) -> None:
        self.f1: list[float] = []
        self.found: list[float] = []
        self.breaks: list[int] = []
        self.parts: list[tuple[int, int]] = []
        self.gradients: dict[str, list[float]] = {}
        self.right: dict[str, list[bool]] = {}

    def add(self, picture: np.ndarray, edges: np.ndarray, scene: Scene, style: str, told: str) -> None:
        found, breaks = lines_found(picture, edges)
        self.f1.append(score_edges(picture, edges).f1)
        self.found.append(found)
        self.breaks.append(breaks)
        self.parts.append(parts_found(picture, scene))
        self.gradients.setdefault(style, []).append(mean_gradient(picture))
        self.right.setdefault(style, []).append(told == style)

    def summary(self) -> dict[str, float]:
        found, parts = (sum(column) for column in zip(*self.parts, strict=True))
        return {
            "edge_f1": round(fmean(self.f1), 3),
            "lines_found": round(fmean(self.found), 3),
            "breaks_a_picture": round(fmean(self.breaks), 1),
            "parts_found": round(found / parts, 3),
            "style_is_the_references": round(fmean(hit for hits in self.right.values() for hit in hits), 3),
        }

    def sharpness(self, real: Tally) -> dict[str, float]:
        """Mean gradient as a share of the real renders', overall and by style."""
        everything = {"overall": [one for some in self.gradients.values() for one in some]} | self.gradients
        theirs = {"overall": [one for some in real.gradients.values() for one in some]} | real.gradients
        return {style: round(fmean(everything[style]) / fmean(theirs[style]), 2) for style in sorted(everything)}

    def styles(self) -> dict[str, float]:
        return {style: round(fmean(hits), 2) for style, hits in sorted(self.right.items())}


def measure_retrieval(bench: Bench) -> dict[str, object]:
    """Share of held-out wordings whose best match in the starter library has the style that they name."""
    prompts = held_out_prompts(HELD_OUT_TEMPLATES, PROMPTS_PER_STYLE, seed=8)
    shares = {}
    with tempfile.TemporaryDirectory() as folder:
        store = StyleStore(Path(folder) / "starter")
        ingest(store, bench.encoder, [ROOT / "styles"], "sync")
        for strategy in ("semantic", "keyword", "hybrid"):
            found = [search(store, bench.encoder, StyleQuery(prompt.text, strategy)) for prompt in prompts]
            hits = [bool(m) and prompt.style in m[0].record.tags for m, prompt in zip(found, prompts, strict=True)]
            shares[strategy] = round(fmean(hits), 3)
    return {"prompts": len(prompts), "style_is_first": shares}


def measure_text(bench: Bench, seeds: int) -> dict[str, object]:
    """Share of pictures from words alone whose nearest scene word, by the tiny CLIP, is the one that was asked for.

    At the nodes' own guidance, 7.5.
    """
    kinds = [kind for kind in SCENE_WORDS if kind != "shapes"]
    words = bench.encoder.encode_texts([f"a {SCENE_WORDS[kind][0]}" for kind in kinds])

    def kinds_of(pictures: list[np.ndarray]) -> list[str]:
        vectors = bench.encoder.encode_images([Image.fromarray(picture) for picture in pictures])
        return [kinds[place] for place in (vectors @ words.T).argmax(axis=1)]

    painted, asked = [], []
    for seed in range(seeds):
        for number, kind in enumerate(kinds):
            style = STYLE_WORDS[list(STYLE_WORDS)[(seed * 5 + number) % len(STYLE_WORDS)]][0]
            prompt = f"a {SCENE_WORDS[kind][0]} in {style} style"
            painted.append(bench.paint(None, None, replace(SETTINGS, prompt=prompt, seed=seed, guidance_scale=7.5)))
            asked.append(kind)
    shown = [(p, e.kind) for p, e in zip(bench.data.pictures, bench.data.entries, strict=True) if e.kind in kinds]
    real = kinds_of([np.asarray(picture) for picture, _ in shown])
    return {
        "pictures": len(asked),
        "scene_is_the_prompts": round(fmean(a == b for a, b in zip(kinds_of(painted), asked, strict=True)), 3),
        "the_same_of_real_renders": round(fmean(a == b for a, (_, b) in zip(real, shown, strict=True)), 3),
        "chance": round(1 / len(kinds), 3),
    }


def figures() -> dict[str, np.ndarray]:
    """Edges of the kinds of drawing that training never showed."""
    import cv2

    return {name: cv2.Canny(line_art(draw_figure(name), SIZE, 3), 50, 150) for name in FIGURES}


def measure_figures(bench: Bench) -> dict[str, object]:
    """Mean edge F1 of each unknown figure over one reference of every style, and that of its real renders."""
    shares, table = [], {}
    for name, edges in figures().items():
        painted, real = [], []
        for index in reference_of_each_style(bench.data):
            entry = bench.data.entries[index]
            drawn = render(draw_figure(name), entry.style, palette_of(entry), SIZE, np.random.default_rng(0))
            picture = bench.paint(edges, np.asarray(bench.data.pictures[index]), SETTINGS)
            painted.append(score_edges(picture, edges).f1)
            real.append(score_edges(drawn, edges).f1)
        shares.append(fmean(painted) / fmean(real))
        table[name] = {"edge_f1": round(fmean(painted), 3), "of_real_renders": round(fmean(real), 3)}
    return {"share_of_real_renders": round(fmean(shares), 3), "lowest_share": round(min(shares), 3), **table}


def reference_of_each_style(data: Dataset) -> list[int]:
    """The place of the first picture of every style."""
    firsts = {entry.style: index for index, entry in reversed(list(enumerate(data.entries)))}
    return [firsts[style] for style in STYLE_WORDS]


def contact_sheet(bench: Bench) -> Image.Image:
    """References across, sketches down."""
    references = [np.asarray(bench.data.pictures[index]) for index in reference_of_each_style(bench.data)]
    rows = [[np.full((SIZE, SIZE, 3), 255, np.uint8), *references]]
    sketches = [bench.edges(index) for index in (1, 21, 41, 62, 83)] + list(figures().values())
    for edges in sketches:
        page = np.repeat(255 - edges[..., None], 3, axis=2)
        rows.append([page, *[bench.paint(edges, reference, SETTINGS) for reference in references]])
    return Image.fromarray(np.vstack([np.hstack(row) for row in rows]))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the bundled models.")
    parser.add_argument("--layouts", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--sheet", type=Path, default=ROOT / "output" / "quality.png")
    arguments = parser.parse_args()
    bench = Bench(arguments.models)
    seeds = [replace(SETTINGS, seed=seed) for seed in range(arguments.seeds)]
    print(
        json.dumps(
            {
                "benchmark": "quality",
                "judge_right_on_held_out_renders": bench.judge.accuracy(bench.data),
                "control 1, style 1": measure(bench, trials(bench.data, arguments.layouts, seeds)),
                "control 0, style 1": measure(bench, trials(bench.data, arguments.layouts, [NO_CONTROL])),
                "control 1, style 0": measure(bench, trials(bench.data, arguments.layouts, [NO_STYLE])),
                "unknown_figures": measure_figures(bench),
                "retrieval": measure_retrieval(bench),
                "words_alone": measure_text(bench, arguments.seeds),
            }
        )
    )
    arguments.sheet.parent.mkdir(exist_ok=True)
    contact_sheet(bench).save(arguments.sheet)


if __name__ == "__main__":
    main()
