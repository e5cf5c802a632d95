"""The thumbnails of the bundled workflows, and README's comparison: what each workflow makes on the bundled models."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

from comfy_client import ComfyError, Json
from comfyui import ComfyServer
from demo import Panel, compose, find_nodes, graph_of, preview_of
from PIL import Image, ImageDraw, ImageFont
from places import ROOT
from progress import say

QUICKSTART = ROOT / "workflows" / "api" / "quickstart.json"
SKETCHES = ROOT / "styles" / "sketches"
COMPARED = ROOT / "docs" / "compare.png"
SIZE = (640, 400)
PAPER, INK = "#1b1b1b", "#f2f2f2"
ATTEMPTS = ("Words alone", "With the sketch", "With the reference", "With both")
CHOICES = ("The best one", "The best four", "Four that differ")

Picture = Image.Image


def new_sheet() -> tuple[Picture, ImageDraw.ImageDraw]:
    sheet = Image.new("RGB", SIZE, PAPER)
    return sheet, ImageDraw.Draw(sheet)


def fit(picture: Picture) -> Picture:
    """The picture as large as it can be in the middle of a thumbnail."""
    sheet, _ = new_sheet()
    picture.thumbnail(SIZE, Image.Resampling.LANCZOS)
    sheet.paste(picture, ((sheet.width - picture.width) // 2, (sheet.height - picture.height) // 2))
    return sheet


def square(picture: Picture, side: int) -> Picture:
    """The picture on white, fitted into a square."""
    picture = picture.convert("RGBA")
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    sheet = Image.new("RGB", (side, side), "white")
    sheet.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2), picture)
    return sheet


def tile(pictures: Sequence[Picture], side: int, columns: int) -> Picture:
    """Pictures in rows within a square, with a gap of 4 pixels."""
    sheet = Image.new("RGB", (side, side), PAPER)
    step = (side + 4) // columns
    for n, picture in enumerate(pictures):
        sheet.paste(square(picture, step - 4), (n % columns * step, n // columns * step))
    return sheet


def result_sheet(upper: Picture, lower: Picture, result: Picture) -> Picture:
    """Two pictures above each other, and what they make: upper + lower = result."""
    sheet, brush = new_sheet()
    sheet.paste(square(upper, 178), (8, 8))
    sheet.paste(square(lower, 178), (8, 214))
    sheet.paste(result.convert("RGB").resize((384, 384), Image.Resampling.LANCZOS), (248, 8))
    brush.text((97, 200), "+", INK, ImageFont.load_default(28), anchor="mm")
    brush.text((217, 200), "=", INK, ImageFont.load_default(44), anchor="mm")
    return sheet


# --- what a run has shown ----------------------------------------------------------------------------------------


def shown_by(server: ComfyServer, entry: Json, class_type: str) -> Picture:
    """The first picture that a node of `class_type` has saved."""
    info = entry["outputs"][next(find_nodes(entry, class_type))]["images"][0]
    return Image.open(io.BytesIO(server.get_image(info)))


def painted(server: ComfyServer, changes: Json) -> Picture:
    """What the quickstart paints with other inputs: type of a node -> its inputs."""
    api = json.loads(QUICKSTART.read_text(encoding="utf-8"))
    for node in api.values():
        node["inputs"] |= changes.get(node["class_type"], {})
    return shown_by(server, server.run(api), "SaveImage")


def write_sheet(target: Path, draw: Callable[[ComfyServer], Picture]) -> int:
    """Write what is drawn of pictures that a ComfyUI of its own paints; the exit code of a program that does this."""
    try:
        with ComfyServer() as server:
            draw(server).save(target, quality=88)
    except ComfyError as error:
        say(f"{target.name} could not be made: {error}")
        return 1
    say(f"{target.relative_to(ROOT)} is written.")
    return 0


def sketch_of(entry: Json) -> Picture:
    """The bundled sketch that a workflow begins with."""
    name = graph_of(entry)[next(find_nodes(entry, "LoadImage"))]["inputs"]["image"]
    return Image.open(SKETCHES / name.removeprefix("style_rag/"))


def cut_strip(strip: Picture, count: int) -> list[Picture]:
    """The square pictures that Image Stitch has put side by side."""
    step = (strip.width + strip.height // 32) // count
    return [strip.crop((n * step, 0, n * step + strip.height, strip.height)) for n in range(count)]


def styles_of(server: ComfyServer, name: str, ids: Sequence[str]) -> list[Picture]:
    route = f"/style_rag/{quote(name)}/styles/"
    return [Image.open(io.BytesIO(server.request(f"{route}{one}/thumbnail"))) for one in ids]


def references_of(server: ComfyServer, entry: Json, node_id: str) -> list[Picture]:
    """The matches of a RetrieveStyle, best first."""
    base = graph_of(entry)[graph_of(entry)[node_id]["inputs"]["knowledge_base"][0]]["inputs"]["name"]
    matches = json.loads(entry["outputs"][node_id]["text"][0])
    return styles_of(server, base, [match["id"] for match in matches])


# --- a thumbnail each --------------------------------------------------------------------------------------------


def result(server: ComfyServer, entry: Json) -> Picture:
    """Sketch + reference = picture."""
    return result_sheet(
        sketch_of(entry), preview_of(server, entry, "RetrieveStyle"), shown_by(server, entry, "SaveImage")
    )


def comparison(server: ComfyServer, entry: Json) -> Picture:
    """Sketch and reference above the four pictures. README's larger one is written too."""
    attempts = cut_strip(shown_by(server, entry, "SaveImage").convert("RGB"), len(ATTEMPTS))
    scorers = sorted(find_nodes(entry, "ScoreStyledImage"), key=int)
    given = [sketch_of(entry), preview_of(server, entry, "RetrieveStyle")]
    captions = [
        f"{title}\n{entry['outputs'][scorer]['text'][0]}" for title, scorer in zip(ATTEMPTS, scorers, strict=True)
    ]
    titles = ["Sketch", "Retrieved reference", *captions]
    shown = [Panel(picture, title) for picture, title in zip([*given, *attempts], titles, strict=True)]
    compose(shown).quantize(256, dither=Image.Dither.NONE).save(COMPARED, optimize=True)
    sheet, brush = new_sheet()
    for n, picture in enumerate(given):
        sheet.paste(square(picture, 192), (120 + n * 208, 8))
    for n, picture in enumerate(attempts):
        sheet.paste(picture.resize((150, 150), Image.Resampling.LANCZOS), (8 + n * 158, 212))
        brush.text((83 + n * 158, 380), ATTEMPTS[n], INK, ImageFont.load_default(15), anchor="mm")
    return sheet


def choices(server: ComfyServer, entry: Json) -> Picture:
    """The references of each choice above its picture."""
    pictures = cut_strip(shown_by(server, entry, "SaveImage").convert("RGB"), len(CHOICES))
    sheet, brush = new_sheet()
    for n, node_id in enumerate(sorted(find_nodes(entry, "RetrieveStyle"), key=int)):
        references = references_of(server, entry, node_id)
        left = 26 + n * 210
        sheet.paste(tile(references, 168, 1 if len(references) == 1 else 2), (left, 8))
        sheet.paste(pictures[n].resize((168, 168), Image.Resampling.LANCZOS), (left, 196))
        brush.text((left + 84, 382), CHOICES[n], INK, ImageFont.load_default(15), anchor="mm")
    return sheet


def new_library(server: ComfyServer, entry: Json) -> Picture:
    """The picture from the graph + the starter library = what is found with both."""
    base = next(find_nodes(entry, "StyleKnowledgeBase"))
    name = graph_of(entry)[base]["inputs"]["name"]
    styles = server.get_json(f"/style_rag/{quote(name)}/styles?limit=200")["styles"]
    some = [style["id"] for style in styles[4 :: len(styles) // 9]][:9]
    found = references_of(server, entry, next(find_nodes(entry, "RetrieveStyle")))
    return result_sheet(sketch_of(entry), tile(styles_of(server, name, some), 178, 3), tile(found, 384, 2))


RESULTS: dict[str, Callable[[ComfyServer, Json], Picture]] = {
    "quickstart": result,
    "compare_with_and_without_rag": comparison,
    "several_references": choices,
    "build_knowledge_base": new_library,
    "turbo": result,
}
"""Workflow to what draws the thumbnail from its run. The others take models of gigabytes, and show their graph."""
