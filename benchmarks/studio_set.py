"""A studio's reference library, drawn on the fly: 360 pictures in 30 labelled styles, described as studios do.

A style is one of training's renderers with a palette of its own: the published one, or one that a mood has tinted. Half
of the folders say what they hold, half are numbered; a third of the pictures has caption and tags, a third a few words,
a third nothing. Knows files, not retrieval.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from training.captions import Caption, fill_in, pick
from training.draw import KINDS, save_picture
from training.palettes import Palette, published_palette, vary
from training.scenes import lay_out
from training.styles import STYLES, render
from training.vocabulary import SCENE_WORDS, STYLE_WORDS

SIZE = 256
# Layout seeds that neither training, the starter library nor the sketches use.
SEED = 7_000_000
FEW_WORDS, NO_WORDS = 1, 2  # which pictures of a style are described sparsely, and not at all: number % 3

# Mood -> tint in hexadecimal, how much of it (0..1), and the words for it: the studio writes the first two.
MOODS: dict[str, tuple[str, float, tuple[str, ...]]] = {
    "dusk": ("d08060", 0.7, ("at dusk", "sunset", "in the evening", "twilight")),
    "moonlit": ("3050a0", 0.7, ("moonlit", "by moonlight", "under the moon at midnight", "blue night")),
    "winter": ("c8d8e8", 0.8, ("winter", "snowy", "in the cold", "frosty")),
    "autumn": ("c08030", 0.7, ("autumn", "fall colours", "with yellow leaves", "october")),
    "sepia": ("a08050", 0.95, ("sepia", "aged brown tones", "old photograph colours", "brownish")),
    "verdigris": ("40a090", 0.8, ("verdigris", "green patina", "turquoise", "oxidised copper")),
    "crimson": ("c02030", 0.85, ("crimson", "deep red", "scarlet", "blood red")),
    "violet": ("8040c0", 0.8, ("violet", "purple", "lilac", "amethyst")),
    "black": ("303030", 0.95, ("on black", "black background", "inverted to black", "jet black")),
}
TINTED = (
    *(("cyberpunk-neon", "verdigris"), ("pastel-anime", "autumn"), ("industrial-rust", "moonlit")),
    *(("pencil-sketch", "sepia"), ("blueprint", "black"), ("watercolour", "winter"), ("ukiyo-e", "dusk")),
    *(("stained-glass", "crimson"), ("pixel-art", "violet"), ("noir", "sepia"), ("art-deco", "crimson")),
    *(("pop-art", "violet"), ("impasto", "moonlit"), ("paper-cut", "winter"), ("watercolour", "dusk")),
    ("ukiyo-e", "autumn"),
)
LABELS: tuple[tuple[str, str], ...] = (*((style, "") for style in STYLES), *TINTED)


@dataclass(frozen=True)
class Asked:
    """What is asked for and what answers it. mood: "" when any will do."""

    style: str
    mood: str = ""
    text: str = ""
    picture: Image.Image | None = None


def draw_studio(folder: Path) -> dict[str, tuple[str, str]]:
    """Draw every style on twelve scenes; return file -> (style, mood)."""
    labels = {}
    for number, (style, mood) in enumerate(LABELS):
        named = f"{style} {mood}".strip() if number % 2 else f"set {number:02d}"
        for at, kind in enumerate(KINDS):
            file = folder / named / f"{at:02d}.png"
            save_picture(_draw(style, mood, kind, SEED + 100 * number + at), file)
            _describe(file, style, mood, kind, at)
            labels[str(file)] = (style, mood)
    return labels


def queries_by_picture(labels: tuple[tuple[str, str], ...], per_label: int) -> list[Asked]:
    """Other scenes in each style, in a sibling of its palette."""
    asked = []
    for number, (style, mood) in enumerate(labels):
        for at in range(per_label):
            kind = KINDS[(5 * number + at) % len(KINDS)]
            drawn = _draw(style, mood, kind, 2 * SEED + 100 * number + at)
            asked.append(Asked(style, mood, picture=Image.fromarray(drawn)))
    return asked


def queries_by_words(
    labels: tuple[tuple[str, str], ...], templates: list[str], joined: str, per_label: int, seed: int
) -> list[Asked]:
    """Sentences that name style, scene and mood. joined: how the mood is added, such as `{text}, {mood}`."""
    rng = np.random.default_rng(seed)
    asked = []
    for style, mood in labels:
        for _ in range(per_label):
            caption: Caption = fill_in(pick(rng, templates), style, pick(rng, tuple(SCENE_WORDS)), rng)
            text = joined.format(text=caption.text, mood=pick(rng, MOODS[mood][2])) if mood else caption.text
            asked.append(Asked(style, mood, text))
    return asked


def _draw(style: str, mood: str, kind: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    palette = vary(published_palette(style), rng, 0.3)
    return render(lay_out(kind, seed), style, _tint(palette, mood) if mood else palette, SIZE, rng)


def _tint(palette: Palette, mood: str) -> Palette:
    """Each colour a step towards the mood's, keeping its place between black and white."""
    code, share, _ = MOODS[mood]
    tint = np.array(tuple(bytes.fromhex(code))) / 255
    tinted = {}
    for role, colours in palette.colours.items():
        light = colours.mean(axis=1, keepdims=True)  # (K, 1)
        towards = np.where(light < 0.5, 2 * light * tint, 1 - 2 * (1 - light) * (1 - tint))
        tinted[role] = (1 - share) * colours + share * towards
    return Palette(tinted)


def _describe(file: Path, style: str, mood: str, kind: str, at: int) -> None:
    scene = SCENE_WORDS[kind][0]
    words = MOODS[mood][2][:2] if mood else ()
    if at % 3 == FEW_WORDS:
        file.with_suffix(".txt").write_text(" ".join([scene, *words[:1]]), encoding="utf-8")
    elif at % 3 != NO_WORDS:
        synonyms = STYLE_WORDS[style][:4]
        caption = ", ".join([f"{scene} in {synonyms[0]} style", *words])
        sidecar = {"caption": caption, "tags": [style, *synonyms[1:], *words], "license": "CC0-1.0"}
        file.with_suffix(".json").write_text(json.dumps(sidecar), encoding="utf-8")
