"""How often a search finds the style that was asked for, and how often it says that there is none.

    .venv/bin/python benchmarks/retrieval_quality.py [--choose] [--models models]

Prints one JSON object. Two libraries: the starter library, and a studio's of 360 pictures in 30 labelled styles, drawn
on the fly. Prompts: wordings that training never saw, naming style and scene (and mood, in the studio's). A match is
right when it has the style, and the mood where one is named. `--choose` prints what the constants of `search` and the
documented min_score were chosen by: the same libraries under wordings of training, which the report does not use.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from pathlib import Path
from statistics import fmean
from typing import Any
from unittest.mock import patch

import numpy as np
from pack import MODELS, ROOT, import_pack
from PIL import Image

import_pack()
from studio_set import LABELS, Asked, draw_studio, queries_by_picture, queries_by_words  # noqa: E402
from style_pack.retrieval.encoders.encoder import StyleEncoder  # noqa: E402
from style_pack.retrieval.ingest import ingest  # noqa: E402
from style_pack.retrieval.pictures.reader import content_id  # noqa: E402
from style_pack.retrieval.ranking import fusion  # noqa: E402
from style_pack.retrieval.search import StyleQuery, search  # noqa: E402
from style_pack.retrieval.store.store import StyleStore  # noqa: E402

from training.styles import STYLES  # noqa: E402
from training.vocabulary import HELD_OUT_TEMPLATES, TEMPLATES  # noqa: E402

TEXT_STRATEGIES = ("semantic", "keyword", "hybrid")
MIN_SCORE = 0.99  # what docs/measurements/retrieval.md advises, chosen with --choose
THRESHOLDS = (0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)
DEPTH = 20  # how far down the first right match is looked for
PER_LABEL = 8  # prompts
CHOSEN_BY = 40  # prompts a label that weights are chosen by: weights differ by a few in a thousand
COVERAGES = (0, 1, 2, 3)  # the exponent; 0: BM25 alone
WEIGHTS = (0.25, 0.5, 0.75, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)  # of words


class Remembering(StyleEncoder):
    """Encodes each picture and each text once, however often it is asked for."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._seen: dict[str, np.ndarray] = {}

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        return self._remembered([content_id(image) for image in images], images, super().encode_images)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return self._remembered([f"text {text}" for text in texts], texts, super().encode_texts)

    def _remembered(self, keys: list[str], values: Sequence[Any], encode: Callable[[Any], np.ndarray]) -> np.ndarray:
        new = {key: value for key, value in zip(keys, values, strict=True) if key not in self._seen}
        if new:
            self._seen |= dict(zip(new, encode(list(new.values())), strict=True))
        return np.stack([self._seen[key] for key in keys])


@dataclass
class Library:
    """A knowledge base, its pictures' labels, (style, mood) by file, and the questions about it."""

    store: StyleStore
    labels: dict[str, tuple[str, str]]
    asked: list[Asked]
    asked_by_picture: list[Asked] = field(default_factory=list)

    def is_right(self, asked: Asked, file: str) -> bool:
        style, mood = self.labels[file]
        return style == asked.style and asked.mood in ("", mood)

    def without(self, style: str) -> str:
        """The filter that leaves a style out: by its folders, for not every picture has a tag."""
        folders = {Path(file).parent.name for file, (its, _) in self.labels.items() if its == style}
        return " ".join(f'-folder:"{folder}"' for folder in sorted(folders))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the retrieval.")
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--choose", action="store_true", help="measure what the constants were chosen by")
    options = parser.parse_args()
    model = options.models / "clip-tiny"
    encoder = Remembering("bundled/clip-tiny", model, model)
    result: dict[str, Any] = {"benchmark": "retrieval_quality", "encoder": encoder.identity}
    with tempfile.TemporaryDirectory() as folder:
        for name, open_library in {"starter": starter_library, "studio": studio_library}.items():
            library = open_library(encoder, Path(folder), options.choose)
            result[name] = (choose if options.choose else report)(library, encoder)
    print(json.dumps(result))


def starter_library(encoder: StyleEncoder, place: Path, choose: bool) -> Library:
    store = StyleStore(place / "starter")
    ingest(store, encoder, [ROOT / "styles"], "sync")
    labels = {file: (Path(file).parent.name, "") for file in store.said.all()}
    return Library(store, labels, *_questions(tuple((style, "") for style in STYLES), choose))


def studio_library(encoder: StyleEncoder, place: Path, choose: bool) -> Library:
    labels = draw_studio(place / "pictures")
    store = StyleStore(place / "studio")
    ingest(store, encoder, [place / "pictures"], "sync")
    return Library(store, labels, *_questions(LABELS, choose))


def _questions(labels: tuple[tuple[str, str], ...], choose: bool) -> tuple[list[Asked], list[Asked]]:
    if choose:
        return queries_by_words(labels, TEMPLATES, "{mood}, {text}", CHOSEN_BY, seed=3), []
    by_words = queries_by_words(labels, HELD_OUT_TEMPLATES, "{text}, {mood}", PER_LABEL, seed=8)
    return by_words, queries_by_picture(labels, 2)


def report(library: Library, encoder: StyleEncoder) -> dict[str, Any]:
    asked = dict.fromkeys(TEXT_STRATEGIES, library.asked) | {"image": library.asked_by_picture}
    return {
        "pictures": len(library.store),
        "labels": len(set(library.labels.values())),
        "prompts": len(library.asked),
        "query_pictures": len(library.asked_by_picture),
        "found": {name: measures(ranks_of_right(library, encoder, name, these)) for name, these in asked.items()},
        "min_score": MIN_SCORE,
        "no_match": {name: abstentions(library, encoder, name, these, [MIN_SCORE])[0] for name, these in asked.items()},
    }


def ranks_of_right(library: Library, encoder: StyleEncoder, strategy: str, asked: Sequence[Asked]) -> list[int]:
    """The rank, from 1, of each question's first right match; 0 without one."""
    ranks = []
    for one in asked:
        found = search(library.store, encoder, StyleQuery(one.text, strategy, DEPTH, image=one.picture))
        right = (rank for rank, match in enumerate(found, 1) if library.is_right(one, match.record.file))
        ranks.append(next(right, 0))
    return ranks


def measures(ranks: Sequence[int]) -> dict[str, float]:
    """recall@k: the share of questions with a right match among the first k. MRR: the mean of 1 / its rank."""
    return {
        "recall@1": round(fmean(rank == 1 for rank in ranks), 3),
        "recall@3": round(fmean(0 < rank <= 3 for rank in ranks), 3),
        "mrr": round(fmean(1 / rank if rank else 0 for rank in ranks), 3),
    }


def abstentions(
    library: Library, encoder: StyleEncoder, strategy: str, asked: Sequence[Asked], thresholds: Sequence[float]
) -> list[dict[str, float]]:
    """At each min_score, ascending, how right "no match" is, and how many of the questions without a match get it.

    Every question is asked twice: of the whole library, and with its style left out.
    """
    ask = partial(search, library.store, encoder)
    pairs = []  # is the style left out; how many of the thresholds something reached
    for one in asked:
        for left_out in ("", library.without(one.style)):
            query = partial(StyleQuery, one.text, strategy, 1, filter=left_out, image=one.picture)
            answers = takewhile(bool, (ask(query(min_score=at)) for at in thresholds))
            pairs.append((bool(left_out), sum(1 for _ in answers)))
    return [_no_match(pairs, number) for number in range(len(thresholds))]


def _no_match(pairs: Sequence[tuple[bool, int]], number: int) -> dict[str, float]:
    said = [without for without, reached in pairs if reached <= number]
    return {
        "precision": round(fmean(said), 3) if said else 0.0,
        "recall": round(sum(said) / sum(without for without, _ in pairs), 3),
    }


def choose(library: Library, encoder: StyleEncoder) -> dict[str, Any]:
    """How hybrid does for each exponent of coverage and weight of words, and "no match" at each threshold."""

    def found(strategy: str) -> dict[str, float]:
        return measures(ranks_of_right(library, encoder, strategy, library.asked))

    by_constants = {}
    for coverage in COVERAGES:
        for weight in WEIGHTS:
            with patch.multiple(fusion, COVERAGE=coverage, KEYWORD=weight):
                by_constants[f"coverage {coverage}, weight {weight:g}"] = found("hybrid")
    few = library.asked[:: CHOSEN_BY // PER_LABEL]
    abstained = abstentions(library, encoder, "hybrid", few, THRESHOLDS)
    return {
        "alone": {strategy: found(strategy) for strategy in ("semantic", "keyword")},
        "hybrid": by_constants,
        "no_match_by_min_score": dict(zip(THRESHOLDS, abstained, strict=True)),
    }


if __name__ == "__main__":
    main()
