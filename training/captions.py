"""Writes captions for training pictures and remembers what each one mentions.

Knows words, not models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .dataset import Entry
from .vocabulary import ADJECTIVES, OTHER_NOUNS, SCENE_WORDS, STYLE_WORDS, TEMPLATES


@dataclass(frozen=True)
class Caption:
    """A prompt with the style and the kind of scene it names, either None if it does not."""

    text: str
    style: str | None
    kind: str | None


def pick(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(rng.integers(len(words)))]


def fill_in(template: str, style: str, kind: str, rng: np.random.Generator) -> Caption:
    """A template with synonyms in its gaps; unrelated nouns and adjectives come by chance."""
    scene = pick(rng, SCENE_WORDS[kind])
    if rng.random() < 0.15:
        scene = f"{pick(rng, ADJECTIVES)} {scene}"
    text = template.format(
        style=pick(rng, STYLE_WORDS[style]),
        style2=pick(rng, STYLE_WORDS[style]),
        scene=scene,
        adjective=pick(rng, ADJECTIVES),
        noun=pick(rng, OTHER_NOUNS),
    )
    return Caption(text, style, kind if "{scene}" in template else None)


def scene_caption(kind: str, rng: np.random.Generator) -> Caption:
    """A prompt that names the scene only."""
    form = pick(rng, ("{}", "a {}", "the {}", "a picture of a {}", "an old {}", "{} by the sea", "draw a {} please"))
    return Caption(form.format(pick(rng, SCENE_WORDS[kind])), None, kind)


def describe(entry: Entry, rng: np.random.Generator) -> Caption:
    """One of the many captions of a picture; `flat` pictures have no style to name."""
    if entry.style not in STYLE_WORDS or rng.random() < 0.25:
        return scene_caption(entry.kind, rng)
    return fill_in(pick(rng, TEMPLATES), entry.style, entry.kind, rng)


def held_out_prompts(templates: Sequence[str], per_style: int, seed: int) -> list[Caption]:
    """Prompts from templates that training never fills in."""
    rng = np.random.default_rng(seed)
    kinds = tuple(SCENE_WORDS)
    return [
        fill_in(pick(rng, templates), style, pick(rng, kinds), rng) for style in STYLE_WORDS for _ in range(per_style)
    ]
