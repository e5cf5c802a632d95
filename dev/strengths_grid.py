"""docs/strengths.jpg: one sketch and one reference, by control strength (down) and style strength (across).

    .venv/bin/python dev/strengths_grid.py

The quickstart in a ComfyUI of its own, with the bundled models: run this again after training.
"""

from __future__ import annotations

import sys

from comfyui import ComfyServer
from PIL import Image, ImageDraw, ImageFont
from places import ROOT
from workflow_thumbnails import painted, write_sheet

TARGET = ROOT / "docs" / "strengths.jpg"
CONTROL = (0.0, 0.5, 1.0, 1.5)
STYLE = (0.0, 0.2, 0.4, 1.0)
STYLE_WORDS, PROMPT = "stained glass window", "a house and a tree"
"""What finds the reference, and what is painted: the style is in the picture only as far as the reference brings it."""

SIDE, MARGIN, GAP = 192, 92, 4
"""Side of one picture, room for the labels, and what lies between pictures, in pixels."""


def strengths(server: ComfyServer) -> Image.Image:
    return grid({(control, style): paint(server, control, style) for control in CONTROL for style in STYLE})


def paint(server: ComfyServer, control: float, style: float) -> Image.Image:
    sampled = {"control_strength": control, "style_strength": style, "prompt": PROMPT}
    inputs = {"ControlNetIPAdapterSampler": sampled, "PrimitiveStringMultiline": {"value": STYLE_WORDS}}
    return painted(server, inputs)


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
    sys.exit(write_sheet(TARGET, strengths))
