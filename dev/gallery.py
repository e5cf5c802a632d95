"""docs/gallery.jpg: six sketches (down) painted in six styles (across), each by the reference that its words found.

    .venv/bin/python dev/gallery.py

The quickstart in a ComfyUI of its own, with the bundled models: run this again after training.
"""

from __future__ import annotations

import sys

from comfyui import ComfyServer
from PIL import Image, ImageDraw, ImageFont
from places import ROOT
from progress import say
from workflow_thumbnails import SKETCHES, painted, square, write_sheet

TARGET = ROOT / "docs" / "gallery.jpg"
DRAWN = {
    "house_lineart.png": "a house and a tree",
    "harbour_transparent.png": "a harbour",
    "castle_pencil.png": "a castle",
    "pagoda_transparent.png": "a pagoda",
    "city_white_on_black.png": "a city",
    "lighthouse_ink.png": "a lighthouse",
}
"""Sketch -> what it shows, as the prompt says it."""

STYLES = ("stained glass", "ukiyo-e", "pop art", "blueprint", "watercolour", "cyberpunk neon")
SIDE, MARGIN, GAP = 168, 26, 4
"""Side of one picture, room for the names of the styles, and what lies between pictures, in pixels."""


def gallery(server: ComfyServer) -> Image.Image:
    return sheet([[paint(server, name, words, style) for style in STYLES] for name, words in DRAWN.items()])


def paint(server: ComfyServer, sketch: str, words: str, style: str) -> Image.Image:
    prompt = f"{words} in {style} style"
    say(f"{prompt} ...")
    inputs = {"LoadImage": {"image": f"style_rag/{sketch}"}, "PrimitiveStringMultiline": {"value": prompt}}
    return painted(server, inputs)


def sheet(rows: list[list[Image.Image]]) -> Image.Image:
    """The sketches in the first column, and the names of the styles above the others."""
    step = SIDE + GAP
    whole = Image.new("RGB", (step * (1 + len(STYLES)) - GAP, MARGIN + step * len(rows) - GAP), "white")
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(15)
    for x, style in enumerate(("sketch", *STYLES)):
        draw.text((step * x + SIDE / 2, MARGIN / 2), style, "black", font, anchor="mm")
    for y, (sketch, pictures) in enumerate(zip(DRAWN, rows, strict=True)):
        for x, picture in enumerate((Image.open(SKETCHES / sketch), *pictures)):
            whole.paste(square(picture, SIDE), (step * x, MARGIN + step * y))
    return whole


if __name__ == "__main__":
    sys.exit(write_sheet(TARGET, gallery))
