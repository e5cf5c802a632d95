"""Draws the starter library: pictures with sidecars in `styles/`, sketches in `styles/sketches/`.

Run as `python -m training.draw`. Knows files; the drawing is done elsewhere.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .palettes import published_palette, vary
from .scenes import lay_out
from .sketches import SKETCHES
from .styles import STYLES, render
from .vocabulary import SCENE_WORDS, STYLE_WORDS

STYLES_FOLDER = Path(__file__).resolve().parent.parent / "styles"
SIZE = 512
LICENSE = "CC0-1.0"
# Layout seeds that neither training nor the sketches use.
LIBRARY_SEED = 3_000_000
KINDS = (
    "city",
    "house",
    "harbour",
    "castle",
    "bridge",
    "mountains",
    "factory",
    "village",
    "forest",
    "lighthouse",
    "windmill",
    "pagoda",
)
PICTURES_PER_STYLE = 5


def kinds_of(style: str) -> list[str]:
    """The scenes that a style is shown on; the choice moves on from style to style."""
    first = STYLES.index(style) * 5
    return [KINDS[(first + number) % len(KINDS)] for number in range(PICTURES_PER_STYLE)]


def sidecar(style: str, kind: str) -> dict[str, object]:
    """Caption, tags and licence of a picture."""
    words = STYLE_WORDS[style]
    return {
        "caption": f"{SCENE_WORDS[kind][0]} in {words[0]} style",
        "tags": [style, kind, *words[1:6]],
        "license": LICENSE,
    }


def save_picture(picture: np.ndarray, file: Path) -> None:
    """PNG for flat pictures and those with transparency, else JPEG, by the file's suffix."""
    file.parent.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"quality": 88, "optimize": True} if file.suffix == ".jpg" else {"optimize": True}
    Image.fromarray(picture).save(file, **options)


def draw_styles(folder: Path) -> None:
    """Every style on its scenes, each in a slightly different palette."""
    for style in STYLES:
        suffix = ".png" if style == "pixel-art" else ".jpg"
        for number, kind in enumerate(kinds_of(style)):
            rng = np.random.default_rng((LIBRARY_SEED, STYLES.index(style), number))
            palette = vary(published_palette(style), rng, 0.3)
            scene = lay_out(kind, LIBRARY_SEED + STYLES.index(style))
            file = folder / style / f"{kind}{suffix}"
            save_picture(render(scene, style, palette, SIZE, rng), file)
            file.with_suffix(".json").write_text(json.dumps(sidecar(style, kind), indent=2) + "\n", encoding="utf-8")


def draw_sketches(folder: Path) -> None:
    """All bundled sketches."""
    for sketch in SKETCHES:
        save_picture(sketch.draw(), folder / sketch.file)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the starter styles and sketches.")
    parser.add_argument("--to", type=Path, default=STYLES_FOLDER)
    folder = parser.parse_args().to
    draw_styles(folder)
    draw_sketches(folder / "sketches")


if __name__ == "__main__":
    main()
