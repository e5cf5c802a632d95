"""Writes workflows/ (editor form, API form, thumbnail) and the blueprint of subgraphs/, by ComfyUI's own front end.

    .venv/bin/python dev/export_workflows.py [quickstart turbo ...]

What the nodes do is read from workflows/api/NAME.json and written back as the front end exports it; how they lie comes
from workflow_layouts.py. Thumbnails show what the bundled models make: run this again after training.
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
from graph_layout import Layout
from PIL import Image
from places import ROOT
from progress import say
from workflow_layouts import LAYOUTS, QUICKSTART
from workflow_thumbnails import RESULTS, fit

WORKFLOWS = ROOT / "workflows"
BUILD = (ROOT / "dev" / "build_graph.js").read_text(encoding="utf-8")

STILL = """async () => {
  const { setting } = app.extensionManager
  await setting.set('Comfy.Workflow.ShowMissingModelsWarning', false)
  await setting.set('Comfy.EnableWorkflowViewRestore', false)
  await setting.set('Comfy.Minimap.Visible', false)
}"""
"""Nothing lies over an opened workflow, and nothing moves its view."""

CORNER = (120, 200)
"""Where the graph begins on the page: right of and below everything that lies over it."""

MARGIN = 30


def main() -> int:
    parser = argparse.ArgumentParser(description="Write workflows/ and subgraphs/ as ComfyUI's front end exports them.")
    names = [layout.name for layout in LAYOUTS]
    parser.add_argument("names", nargs="*", metavar="name", help=f"which: all of {', '.join(names)} when none is named")
    chosen = parser.parse_args().names or names
    if unknown := sorted(set(chosen) - set(names)):
        parser.error(f"no workflow is called {unknown[0]!r}: choose from {', '.join(names)}")
    try:
        with ComfyServer() as server, open_browser() as browser:
            page = ComfyPage(browser.new_page(), server.base_url)
            page.open("RetrieveStyle")
            page.page.evaluate(STILL)
            for layout in (layout for layout in LAYOUTS if layout.name in chosen):
                export(page, layout)
                if layout.name in RESULTS:
                    picture = RESULTS[layout.name](server, run(server, layout))
                else:
                    picture = graph_picture(server, page, layout)
                picture.save(WORKFLOWS / f"{layout.name}.jpg", quality=88)
                say(f"workflows/{layout.name}: .json, .jpg and api/{layout.name}.json are written.")
            if QUICKSTART.name in chosen:
                export_blueprint(page, read_json(api_path(QUICKSTART)))
                say(f"{FILE.relative_to(ROOT)} is written.")
    except (ComfyError, BrowserMissing) as error:
        say(f"The workflows could not be written: {error}")
        return 1
    return 0


# --- both forms --------------------------------------------------------------------------------------------------


def export(page: ComfyPage, layout: Layout) -> None:
    """Has the page build the graph, and writes both its forms. The same input gives the same files."""
    api = read_json(api_path(layout))
    if {str(spot.id) for spot, _ in layout.places()} != set(api):
        raise ComfyError(f"dev/workflow_layouts.py and {api_path(layout)} do not name the same nodes.")
    built = json.loads(page.page.evaluate(BUILD, {"api": api, "layout": layout.for_page()}))
    editor = built["workflow"] | {"extra": {}}  # else the view and the front end's version; without a view it shows all
    editor["models"] = unnamed_models(editor)
    write_json(WORKFLOWS / f"{layout.name}.json", editor)
    write_json(api_path(layout), {node_id: built["api"][node_id] for node_id in sorted(built["api"], key=int)})


def unnamed_models(editor: Json) -> list[Json]:
    """The nodes' models that no widget names. The editor offers to fetch these only when listed for the whole graph."""
    return [
        model
        for node in editor["nodes"]
        for model in node["properties"].get("models", [])
        if model["name"] not in node["widgets_values"]
    ]


def api_path(layout: Layout) -> Path:
    return WORKFLOWS / "api" / f"{layout.name}.json"


def read_json(path: Path) -> Json:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8", newline="\n")


# --- thumbnails --------------------------------------------------------------------------------------------------


def run(server: ComfyServer, layout: Layout) -> Json:
    """Runs a workflow and returns its history entry, with what every node has shown."""
    say(f"Running {layout.name} for its thumbnail ...")
    server.free()  # else what another workflow has shown is not shown again
    return server.run(read_json(api_path(layout)))


def graph_picture(server: ComfyServer, page: ComfyPage, layout: Layout) -> Image.Image:
    """The groups of the open graph, with the edges drawn but no picture: that takes models of gigabytes."""
    page.load_workflow(read_json(WORKFLOWS / f"{layout.name}.json"), layout.name)
    edges = next(str(spot.id) for spot, _ in layout.places() if spot.title == "Edges")
    client_id = page.page.evaluate("comfyAPI.api.api.clientId")
    server.free()  # else what another workflow has shown is not shown again
    server.post_prompt(upstream(read_json(api_path(layout)), edges), client_id=client_id)
    page.wait_for_output(edges)
    return fit(photograph(page, layout))


def upstream(api: Json, node_id: str) -> Json:
    """A node with all that it depends on. Queued by itself it leaves the page's seeds as they are."""
    sources = [value[0] for value in api[node_id]["inputs"].values() if isinstance(value, list)]
    return {node_id: api[node_id]} | {key: node for source in sources for key, node in upstream(api, source).items()}


def photograph(page: ComfyPage, layout: Layout) -> Image.Image:
    """The groups in the page's own pixels."""
    left, top, width, height = layout.bounding()
    width, height = width + 2 * MARGIN, height + 2 * MARGIN
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
