"""Writes workflows/ (editor form, API form, thumbnail) and the blueprint of subgraphs/, by ComfyUI's own front end.

    .venv/bin/python dev/export_workflows.py [quickstart turbo ...]

A workflow is changed in ComfyUI's editor and saved over workflows/NAME.json. This opens it, and writes it back in one
form whatever the editor has added, with the API form of the same graph. Thumbnails show what the bundled models make:
run this again after training.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path
from typing import Any

from blueprint import FILE, export_blueprint
from comfy_client import ComfyError, Json
from comfy_page import BrowserMissing, ComfyPage, open_browser
from comfyui import ComfyServer
from PIL import Image
from places import ROOT
from progress import say
from workflow_thumbnails import RESULTS, fit

WORKFLOWS = ROOT / "workflows"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))

STILL = """async () => {
  const { setting } = app.extensionManager
  await setting.set('Comfy.Workflow.ShowMissingModelsWarning', false)
  await setting.set('Comfy.EnableWorkflowViewRestore', false)
  await setting.set('Comfy.Minimap.Visible', false)
}"""
"""Nothing lies over an opened workflow, and nothing moves its view."""

SKETCH = [1, "image", {"description": "Sketch: a drawing or a photo"}]
PROMPT = [3, "value", {"description": "Prompt: what, and in which style"}]
PAINTER = [[7, "control_strength"], [7, "style_strength"], [7, "seed"]]
APPS = {
    "compare_with_and_without_rag": {"inputs": [SKETCH, PROMPT], "outputs": [24, 8]},
    "quickstart": {"inputs": [SKETCH, PROMPT, *PAINTER], "outputs": [8, 10]},
    "turbo": {"inputs": [SKETCH, PROMPT, *PAINTER], "outputs": [8, 10]},
}
"""What a page with app mode shows of a workflow: inputs as [node, widget], and the nodes whose pictures it shows."""

CORNER = (120, 200)
"""Where the graph begins on the page: right of and below everything that lies over it."""

MARGIN = 30


def main() -> int:
    parser = argparse.ArgumentParser(description="Write workflows/ and subgraphs/ as ComfyUI's front end exports them.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"which: all of {', '.join(NAMES)} when none is named")
    chosen = parser.parse_args().names or NAMES
    if unknown := sorted(set(chosen) - set(NAMES)):
        parser.error(f"no workflow is called {unknown[0]!r}: choose from {', '.join(NAMES)}")
    try:
        with ComfyServer() as server, open_browser() as browser:
            page = ComfyPage(browser.new_page(), server.base_url)
            page.open("RetrieveStyle")
            page.page.evaluate(STILL)
            for name in chosen:
                export(page, name)
                if name in RESULTS:
                    picture = RESULTS[name](server, run(server, name))
                else:
                    picture = graph_picture(server, page, name)
                picture.save(WORKFLOWS / f"{name}.jpg", quality=88)
                say(f"workflows/{name}: .json, .jpg and api/{name}.json are written.")
            if "quickstart" in chosen:
                export_blueprint(page, read_json(api_path("quickstart")))
                say(f"{FILE.relative_to(ROOT)} is written.")
    except (ComfyError, BrowserMissing) as error:
        say(f"The workflows could not be written: {error}")
        return 1
    return 0


# --- both forms --------------------------------------------------------------------------------------------------


def export(page: ComfyPage, name: str) -> None:
    """Has the page open a workflow, and writes both its forms. The same graph gives the same files."""
    page.load_workflow(read_json(editor_path(name)), name)
    exported = page.export()
    editor = exported["workflow"] | {"extra": as_app(name)}  # else its version and a view; without one it shows all
    editor["models"] = unnamed_models(editor)
    write_json(editor_path(name), editor)
    write_json(api_path(name), {node_id: exported["api"][node_id] for node_id in sorted(exported["api"], key=int)})


def as_app(name: str) -> Json:
    """What has the page open a workflow as an app, where it has an app mode: since 1.43, or earlier."""
    return {"linearMode": True, "linearData": APPS[name]} if name in APPS else {}


def unnamed_models(editor: Json) -> list[Json]:
    """The nodes' models that no widget names. The editor offers to fetch these only when listed for the whole graph."""
    return [
        model
        for node in editor["nodes"]
        for model in node["properties"].get("models", [])
        if model["name"] not in node["widgets_values"]
    ]


def editor_path(name: str) -> Path:
    return WORKFLOWS / f"{name}.json"


def api_path(name: str) -> Path:
    return WORKFLOWS / "api" / f"{name}.json"


def read_json(path: Path) -> Json:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8", newline="\n")


# --- thumbnails --------------------------------------------------------------------------------------------------


def run(server: ComfyServer, name: str) -> Json:
    """Runs a workflow and returns its history entry, with what every node has shown."""
    say(f"Running {name} for its thumbnail ...")
    server.free()  # else what another workflow has shown is not shown again
    return server.run(read_json(api_path(name)))


def graph_picture(server: ComfyServer, page: ComfyPage, name: str) -> Image.Image:
    """The groups of the open graph, with the edges drawn but no picture: that takes models of gigabytes."""
    editor = read_json(editor_path(name))
    page.load_workflow(editor, name)
    edges = next(str(node["id"]) for node in editor["nodes"] if node.get("title") == "Edges")
    client_id = page.page.evaluate("comfyAPI.api.api.clientId")
    server.free()  # else what another workflow has shown is not shown again
    server.post_prompt(upstream(read_json(api_path(name)), edges), client_id=client_id)
    page.wait_for_output(edges)
    return fit(photograph(page, editor["groups"]))


def upstream(api: Json, node_id: str) -> Json:
    """A node with all that it depends on. Queued by itself it leaves the page's seeds as they are."""
    sources = [value[0] for value in api[node_id]["inputs"].values() if isinstance(value, list)]
    return {node_id: api[node_id]} | {key: node for source in sources for key, node in upstream(api, source).items()}


def photograph(page: ComfyPage, groups: list[Json]) -> Image.Image:
    """The groups in the page's own pixels."""
    boxes = [group["bounding"] for group in groups]
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
    width = max(box[0] + box[2] for box in boxes) - left + 2 * MARGIN
    height = max(box[1] + box[3] for box in boxes) - top + 2 * MARGIN
    page.page.set_viewport_size({"width": width + 2 * CORNER[0], "height": height + 2 * CORNER[1]})
    offset = [CORNER[0] + MARGIN - left, CORNER[1] + MARGIN - top]
    look_at = "offset => { app.canvas.ds.scale = 1; app.canvas.ds.offset = offset; app.canvas.setDirty(true, true) }"
    page.page.evaluate(look_at, offset)
    page.wait_for_pictures()
    page.page.wait_for_timeout(1000)  # the page draws when it is idle
    shot = page.page.screenshot(clip={"x": CORNER[0], "y": CORNER[1], "width": width, "height": height})
    return Image.open(io.BytesIO(shot)).convert("RGB")


if __name__ == "__main__":
    sys.exit(main())
