"""What the reference adds to words and sketch: 40 prompts about looks that no word describes.

    .venv/bin/python benchmarks/rag_gain.py [--looks 20 --strategy keyword --models models]

The library is a user's own: 20 looks, one picture each. A look is a bundled technique in colours of its own, so six
techniques come twice. Its caption is an invented name, which is how a prompt asks for it, and which no model knows.
Every look is asked for with two scenes that its picture does not show. Each prompt is painted four times: by words
alone, with the sketch, with the reference that was retrieved, and with both.

Prints one JSON object: how often the right picture is found, and for each of the four ways how often its look is the
one that was asked for (the nearest of all looks by colour and texture statistics, from three pictures of each that
nobody has painted from), and how much of the sketch is there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

import numpy as np
from pack import MODELS, import_pack, load_bundled
from PIL import Image

import_pack()
from line_scores import lines_found  # noqa: E402
from quality import SETTINGS as PAINTED  # noqa: E402
from quality import paint  # noqa: E402
from style_judge import statistics_of  # noqa: E402
from style_pack.generation.edges.score import score_edges  # noqa: E402
from style_pack.retrieval.encoders.encoder import StyleEncoder  # noqa: E402
from style_pack.retrieval.ingest import ingest  # noqa: E402
from style_pack.retrieval.search import StyleQuery, search  # noqa: E402
from style_pack.retrieval.store.store import StyleStore  # noqa: E402

from training.dataset import HELD_OUT_SEED, SIZE, edge_maps  # noqa: E402
from training.geometry import Scene  # noqa: E402
from training.scenes import lay_out  # noqa: E402
from training.styles import STYLES, pick_palette, render  # noqa: E402
from training.vocabulary import SCENE_WORDS  # noqa: E402

NAMES = (
    *("orvel", "tamsi", "quibo", "lurenne", "paskal", "dovrik", "myrrow", "zentha", "kubbar", "ilvane"),
    *("sarrow", "wexley", "brindo", "cafoor", "nuvale", "hestrix", "jolumi", "rakkot", "fenwild", "umbrey"),
)
KINDS = tuple(kind for kind in SCENE_WORDS if kind != "shapes")
SHOWN_ELSEWHERE = 3  # pictures of a look that tell it from the others
SETTINGS = replace(PAINTED, guidance_scale=2.5)
WORDS_GUIDANCE = 7.0  # what models/README.md recommends for words alone
WAYS = {"words": (False, False), "sketch": (True, False), "reference": (False, True), "both": (True, True)}


@dataclass(frozen=True)
class Look:
    """One look of the library. number: decides technique, colours and layouts."""

    number: int

    @property
    def name(self) -> str:
        return NAMES[self.number]

    def kind(self, place: int) -> str:
        """The scenes of a look in turn: the first is in the library, two are asked for, the others tell the look."""
        return KINDS[(self.number * 5 + place) % len(KINDS)]

    def scene(self, place: int) -> Scene:
        return lay_out(self.kind(place), HELD_OUT_SEED * 2 + 100 * self.number + place)

    def picture(self, place: int) -> np.ndarray:
        """A scene in this look, (256, 256, 3) uint8."""
        technique = STYLES[self.number % len(STYLES)]
        palette = pick_palette(technique, np.random.default_rng((70, self.number)), 0.8)
        rng = np.random.default_rng((71, self.number, 100 * self.number + place))
        return render(self.scene(place), technique, palette, SIZE, rng)


def prompts(looks: list[Look]) -> Iterator[tuple[Look, str, np.ndarray]]:
    """A look, the prompt, and the sketch's edges (256, 256) of 0 and 255."""
    for look in looks:
        for place in (1, 2):
            edges = edge_maps(look.scene(place), np.random.default_rng((72, look.number, place)))[0]
            yield look, f"a {SCENE_WORDS[look.kind(place)][0]}, {look.name}", edges * np.uint8(255)


def tells(looks: list[Look]) -> tuple[np.ndarray, list[Look], np.ndarray]:
    """Statistics of pictures of every look, in units of their spread; whose they are; and the spread."""
    shown = [(look, place) for look in looks for place in range(3, 3 + SHOWN_ELSEWHERE)]
    features = np.stack([statistics_of(look.picture(place)) for look, place in shown])
    spread = features.std(axis=0) + 1e-6
    return features / spread, [look for look, _ in shown], spread


@dataclass
class Tally:
    """What one way of painting gave, a number a prompt."""

    right: list[bool] = field(default_factory=list)
    lines: list[float] = field(default_factory=list)
    f1: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        figures = {"look_is_the_asked": self.right, "lines_found": self.lines, "edge_f1": self.f1}
        return {name: round(fmean(values), 3) for name, values in figures.items()}


class Bench:
    """Models, the library in a folder, and what tells its looks apart."""

    def __init__(self, models: Path, looks: list[Look], folder: Path) -> None:
        self.pipeline, self.looks, self.pictures = load_bundled(models), looks, folder / "my looks"
        self.encoder = StyleEncoder("bundled/clip-tiny", models / "clip-tiny", models / "clip-tiny")
        self.features, self.owners, self.spread = tells(looks)
        self.store = StyleStore(folder / "store")
        self.pictures.mkdir()
        for look in looks:
            Image.fromarray(look.picture(0)).save(self.pictures / f"{look.number}.png")
            (self.pictures / f"{look.number}.txt").write_text(look.name, encoding="utf-8")
        ingest(self.store, self.encoder, [self.pictures], "sync")

    def find(self, prompt: str, strategy: str) -> tuple[str, np.ndarray]:
        """The name of the look that is found for a prompt, and its picture."""
        best = search(self.store, self.encoder, StyleQuery(prompt, strategy))[0].record
        return best.caption, np.asarray(Image.open(self.pictures / f"{best.name}.png").convert("RGB"))

    def look_of(self, picture: np.ndarray) -> Look:
        far = np.abs(self.features - statistics_of(picture) / self.spread).sum(axis=1)
        return self.owners[int(far.argmin())]


def main() -> None:
    parser = argparse.ArgumentParser(description="What the reference adds to words and sketch.")
    parser.add_argument("--looks", type=int, default=len(NAMES), help=f"2 to {len(NAMES)}; each is asked for twice")
    parser.add_argument("--strategy", default="keyword", help="of the retrieval")
    parser.add_argument("--models", type=Path, default=MODELS)
    asked = parser.parse_args()
    looks = [Look(number) for number in range(asked.looks)]
    found, tallies = list[bool](), {way: Tally() for way in WAYS}
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(asked.models, looks, Path(name))
        for number, (look, prompt, edges) in enumerate(prompts(looks)):
            caption, reference = bench.find(prompt, asked.strategy)
            found.append(caption == look.name)
            for way, (sketched, styled) in WAYS.items():
                settings = replace(SETTINGS, prompt=prompt, seed=number)
                if way == "words":
                    settings = replace(settings, guidance_scale=WORDS_GUIDANCE)
                picture = paint(bench.pipeline, edges if sketched else None, reference if styled else None, settings)
                tallies[way].right.append(bench.look_of(picture) is look)
                tallies[way].lines.append(lines_found(picture, edges)[0])
                tallies[way].f1.append(score_edges(picture, edges).f1)
    summary = {"prompts": len(found), "reference_found": round(fmean(found), 3), "chance": round(1 / len(looks), 3)}
    print(json.dumps({"benchmark": "rag_gain"} | summary | {way: one.summary() for way, one in tallies.items()}))


if __name__ == "__main__":
    main()
