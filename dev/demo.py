"""`make demo`: a sketch and a prompt become a picture, in a ComfyUI of its own, by the same client a user would write.

Progress goes to stderr. stdout gets one line: the reference's name, its score, seconds, and both pictures' paths.
"""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from comfy_client import ComfyError, Json
from comfyui import ComfyServer
from PIL import Image, ImageDraw, ImageFont
from places import OUTPUT, ROOT
from progress import say

SKETCH = ROOT / "styles" / "sketches" / "house_lineart.png"
PROMPT = "a house and a tree as a blueprint"
CLIENT = ROOT / "docs" / "sketch_to_picture.py"
WORKFLOW = ROOT / "workflows" / "api" / "quickstart.json"

PANEL = 384
"""Side of one picture in the explanation, in pixels."""

MARGIN = 16
CAPTION = 64
FONT_SIZE = 18


@dataclass(frozen=True)
class Panel:
    picture: Image.Image
    caption: str


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped on the way out
    try:
        run_demo()
    except ComfyError as error:
        say(f"The demo failed: {error}")
        return 1
    except KeyboardInterrupt:
        say("Stopped.")
        return 130
    return 0


def run_demo() -> None:
    missing = [str(file.relative_to(ROOT)) for file in (SKETCH, CLIENT, WORKFLOW) if not file.is_file()]
    if missing:
        raise ComfyError(f"this checkout is incomplete: {', '.join(missing)} is missing.")
    OUTPUT.mkdir(exist_ok=True)
    result, explained = OUTPUT / "demo.png", OUTPUT / "demo_explained.png"
    with ComfyServer() as server:
        seconds = run_client(server, result)
        entry = last_entry(server)
        best = best_match(entry)
        compose(list(panels(server, entry, best, result))).save(explained)
    places = " ".join(str(path.relative_to(ROOT)) for path in (result, explained))
    print(f"reference {best['name']!r} (score {best['score']:.2f}), {seconds:.1f} s: {places}")


def run_client(server: ComfyServer, result: Path) -> float:
    """Runs the documented client as a user would, and returns how long it took in seconds."""
    say(f"Turning {SKETCH.relative_to(ROOT)} into a picture of {PROMPT!r} ...")
    started = time.monotonic()
    command = [sys.executable, CLIENT, SKETCH, PROMPT, result, server.base_url]
    client = subprocess.run(command, capture_output=True, text=True, check=False)
    if client.returncode:
        raise ComfyError(f"{client.stderr.strip()}\nComfyUI's log ends with:\n{server.log_tail()}")
    return time.monotonic() - started


def last_entry(server: ComfyServer) -> Json:
    """The history entry of the one workflow that this server has run."""
    return next(iter(server.get_json("/history").values()))


def best_match(entry: Json) -> Json:
    """The first match of the explanation that RetrieveStyle shows."""
    node_id = next(find_nodes(entry, "RetrieveStyle"))
    matches = json.loads(entry["outputs"][node_id]["text"][0])
    if not matches[0]["match"]:
        raise ComfyError(f"no style was retrieved for the demo's prompt: {matches[0]['reason']}.")
    return matches[0]


def panels(server: ComfyServer, entry: Json, best: Json, result: Path) -> Iterator[Panel]:
    yield Panel(Image.open(SKETCH), f"Sketch\n{PROMPT}")
    yield Panel(preview_of(server, entry, "CannyFromSketch"), "Its edges\ngive the structure")
    reference = f"Retrieved: {best['name']}\nscore {best['score']:.2f}, gives the style"
    yield Panel(preview_of(server, entry, "RetrieveStyle"), reference)
    yield Panel(Image.open(result), "Result")


def preview_of(server: ComfyServer, entry: Json, class_type: str) -> Image.Image:
    """The picture shown by the PreviewImage node that is linked to a node of `class_type`."""
    sources = set(find_nodes(entry, class_type))
    for node_id in find_nodes(entry, "PreviewImage"):
        if graph_of(entry)[node_id]["inputs"]["images"][0] in sources:
            info = entry["outputs"][node_id]["images"][0]
            return Image.open(io.BytesIO(server.get_image(info)))
    raise ComfyError(f"the quickstart workflow shows no preview of {class_type}.")


def find_nodes(entry: Json, class_type: str) -> Iterator[str]:
    return (node_id for node_id, node in graph_of(entry).items() if node["class_type"] == class_type)


def graph_of(entry: Json) -> Json:
    """The workflow in API form that a history entry was made by."""
    return entry["prompt"][2]


def compose(shown: Sequence[Panel]) -> Image.Image:
    """Pictures side by side on white, each fitted into a square with its caption below."""
    size = (MARGIN + len(shown) * (PANEL + MARGIN), PANEL + CAPTION + 2 * MARGIN)
    sheet = Image.new("RGB", size, "white")
    for index, panel in enumerate(shown):
        left = MARGIN + index * (PANEL + MARGIN)
        paste_panel(sheet, panel, left)
    return sheet


def paste_panel(sheet: Image.Image, panel: Panel, left: int) -> None:
    picture = panel.picture.convert("RGBA")
    scale = PANEL / max(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)
    corner = (left + (PANEL - picture.width) // 2, MARGIN + (PANEL - picture.height) // 2)
    sheet.paste(picture, corner, picture)
    draw = ImageDraw.Draw(sheet)
    frame = (corner[0] - 1, corner[1] - 1, corner[0] + picture.width, corner[1] + picture.height)
    draw.rectangle(frame, outline="lightgrey")
    draw_caption(draw, panel.caption, (left, MARGIN + PANEL + 8))


def draw_caption(draw: ImageDraw.ImageDraw, caption: str, place: tuple[int, int]) -> None:
    """Writes a caption, each line shortened with an ellipsis where it is wider than a panel."""
    font = ImageFont.load_default(FONT_SIZE)
    for number, line in enumerate(caption.splitlines()):
        while draw.textlength(line, font) > PANEL:
            line = line.removesuffix("…")[:-1] + "…"
        draw.text((place[0], place[1] + number * (FONT_SIZE + 6)), line, fill="black", font=font)


if __name__ == "__main__":
    sys.exit(main())
