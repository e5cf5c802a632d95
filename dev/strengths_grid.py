"""docs/strengths.jpg: one sketch and one reference, by control strength (down) and style strength (across).

    .venv/bin/python dev/strengths_grid.py

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
from workflow_thumbnails import shown_by

WORKFLOW = ROOT / "workflows" / "api" / "quickstart.json"
TARGET = ROOT / "docs" / "strengths.jpg"
CONTROL = (0.0, 0.5, 1.0, 1.5)
STYLE = (0.0, 0.2, 0.4, 1.0)
STYLE_WORDS, PROMPT = "stained glass window", "a house and a tree"
"""What finds the reference, and what is painted: the style is in the picture only as far as the reference brings it."""

SIDE, MARGIN, GAP = 192, 92, 4
"""Side of one picture, room for the labels, and what lies between pictures, in pixels."""


def main() -> int:
    try:
        with ComfyServer() as server:
            pictures = {(control, style): paint(server, control, style) for control in CONTROL for style in STYLE}
    except ComfyError as error:
        say(f"The grid could not be made: {error}")
        return 1
    grid(pictures).save(TARGET, quality=88)
    say(f"{TARGET.relative_to(ROOT)} is written.")
    return 0


def paint(server: ComfyServer, control: float, style: float) -> Image.Image:
    return shown_by(server, server.run(workflow(control, style)), "SaveImage")


def workflow(control: float, style: float) -> Json:
    api = copy.deepcopy(json.loads(WORKFLOW.read_text(encoding="utf-8")))
    for node in api.values():
        if node["class_type"] == "ControlNetIPAdapterSampler":
            node["inputs"] |= {"control_strength": control, "style_strength": style, "prompt": PROMPT}
        elif node["class_type"] == "PrimitiveStringMultiline":
            node["inputs"]["value"] = STYLE_WORDS
    return api


def grid(pictures: dict[tuple[float, float], Image.Image]) -> Image.Image:
    step = SIDE + GAP
    sheet = Image.new("RGB", (MARGIN + step * len(STYLE), MARGIN // 2 + step * len(CONTROL)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for x, style in enumerate(STYLE):
        draw.text((MARGIN + step * x + SIDE / 2, MARGIN / 4), f"style {style:g}", "black", font, anchor="mm")
    for y, control in enumerate(CONTROL):
        draw.text((MARGIN / 2, MARGIN / 2 + step * y + SIDE / 2), f"control {control:g}", "black", font, anchor="mm")
        for x, style in enumerate(STYLE):
            small = pictures[control, style].convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            sheet.paste(small, (MARGIN + step * x, MARGIN // 2 + step * y))
    return sheet


if __name__ == "__main__":
    sys.exit(main())
