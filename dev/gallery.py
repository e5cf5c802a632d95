"""docs/gallery.jpg: six sketches (down) painted in six styles (across), each by the reference that its words found.

    .venv/bin/python dev/gallery.py

The quickstart in a ComfyUI of its own, with the bundled models: run this again after training.
"""

from __future__ import annotations

import copy
import json
import sys

from comfy_client import ComfyError, Json
from comfyui import ComfyServer
from PIL import Image, ImageDraw, ImageFont
from places import ROOT
from progress import say
from workflow_thumbnails import SKETCHES, shown_by, square

WORKFLOW = ROOT / "workflows" / "api" / "quickstart.json"
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


def main() -> int:
    try:
        with ComfyServer() as server:
            rows = [[paint(server, name, words, style) for style in STYLES] for name, words in DRAWN.items()]
    except ComfyError as error:
        say(f"The gallery could not be made: {error}")
        return 1
    sheet(rows).save(TARGET, quality=88)
    say(f"{TARGET.relative_to(ROOT)} is written.")
    return 0


def paint(server: ComfyServer, sketch: str, words: str, style: str) -> Image.Image:
    say(f"{words} in {style} style ...")
    return shown_by(server, server.run(workflow(sketch, f"{words} in {style} style")), "SaveImage")


def workflow(sketch: str, prompt: str) -> Json:
    api = copy.deepcopy(json.loads(WORKFLOW.read_text(encoding="utf-8")))
    for node in api.values():
        if node["class_type"] == "LoadImage":
            node["inputs"]["image"] = f"style_rag/{sketch}"
        elif node["class_type"] == "PrimitiveStringMultiline":
            node["inputs"]["value"] = prompt
    return api


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
    sys.exit(main())
