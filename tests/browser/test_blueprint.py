"""The subgraph blueprint: listed by ComfyUI, added to the canvas from the search box as a person does, and run."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
from blueprint import DESCRIPTION, FILE, NAME, PLACES
from comfy_page import ComfyPage
from comfyui import ComfyServer
from pack_names import SERVED_FOLDER
from PIL import Image
from places import ROOT

Json = dict[str, Any]
QUICKSTART = json.loads((ROOT / "workflows" / "api" / "quickstart.json").read_text(encoding="utf-8"))

ADD_ENDS = """file => {
  const [whole] = app.graph.nodes
  const add = type => { const node = LiteGraph.createNode(type); app.graph.add(node); return node }
  const sketch = add('LoadImage')
  sketch.widgets.find(widget => widget.name === 'image').value = file
  const save = add('SaveImage')
  sketch.connect(0, whole, whole.inputs.findIndex(input => input.name === 'image'))
  sketch.connect(1, whole, whole.inputs.findIndex(input => input.name === 'mask'))
  whole.connect(whole.outputs.findIndex(output => output.name === 'image'), save, 0)
  return String(save.id)
}"""


def node_of(class_type: str, api: Json) -> str:
    return next(node_id for node_id, node in api.items() if node["class_type"] == class_type)


def add_blueprint(editor: ComfyPage) -> None:
    page = editor.page
    page.evaluate("app.graph.clear()")
    box = editor.search_nodes(NAME)
    page.get_by_text("Subgraph Blueprints").first.wait_for()
    box.press("Enter")
    page.wait_for_function("app.graph.nodes.length === 1")


def values(node: Json) -> Json:
    """A node's inputs that are no links."""
    return {name: value for name, value in node["inputs"].items() if not isinstance(value, list)}


def pixels(server: ComfyServer, images: list[Json]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(server.get_image(images[0]))))


def test_comfyui_lists_the_blueprint_and_gives_its_one_node(comfy_server: ComfyServer) -> None:
    [(key, entry)] = comfy_server.get_json("/global_subgraphs").items()
    assert (entry["name"], entry["info"]["node_pack"]) == (NAME, f"custom_nodes.{SERVED_FOLDER}")
    data = comfy_server.get_json(f"/global_subgraphs/{key}")["data"]
    assert data == FILE.read_text(encoding="ascii")
    content = json.loads(data)
    [node], [subgraph] = content["nodes"], content["definitions"]["subgraphs"]
    assert node["type"] == subgraph["id"]
    assert content["extra"]["BlueprintDescription"] == DESCRIPTION


def test_added_and_run_it_gives_the_picture_of_the_quickstart(
    browser_page: ComfyPage, comfy_server: ComfyServer
) -> None:
    comfy_server.free()  # else what another test has shown is not shown again
    expected = comfy_server.run(QUICKSTART)["outputs"][node_of("SaveImage", QUICKSTART)]["images"]
    comfy_server.free()
    browser_page.open("RetrieveStyle")
    add_blueprint(browser_page)
    assert not browser_page.cut_nodes()
    save = browser_page.page.evaluate(ADD_ENDS, values(QUICKSTART[node_of("LoadImage", QUICKSTART)])["image"])
    api = browser_page.export()["api"]
    prompt = values(QUICKSTART[node_of("PrimitiveStringMultiline", QUICKSTART)])["value"]
    for node_id in map(str, PLACES):
        wanted = QUICKSTART[node_id]
        [inside] = [node for key, node in api.items() if key.endswith(f":{node_id}")]
        assert inside["class_type"] == wanted["class_type"]
        with_prompt = {"prompt": prompt} if "prompt" in wanted["inputs"] else {}
        assert values(inside) == values(wanted) | with_prompt
    browser_page.queue()
    made = browser_page.wait_for_output(save)["images"]
    np.testing.assert_array_equal(pixels(comfy_server, made), pixels(comfy_server, expected))
    assert not browser_page.red_nodes()
    assert not browser_page.unexpected_errors()


def test_what_is_changed_on_the_one_node_reaches_the_nodes_inside(browser_page: ComfyPage) -> None:
    browser_page.open("RetrieveStyle")
    add_blueprint(browser_page)
    browser_page.page.evaluate(
        """changes => Object.entries(changes).forEach(([name, value]) => {
            app.graph.nodes[0].widgets.find(widget => widget.name === name).value = value
        })""",
        {"prompt": "a castle", "knowledge_base": "mine", "sources": "my styles", "seed": 5, "cfg": 7, "width": 512},
    )
    api = {node["class_type"]: node["inputs"] for node in browser_page.export()["api"].values()}
    assert api["RetrieveStyle"]["prompt"] == api["ControlNetIPAdapterSampler"]["prompt"] == "a castle"
    assert (api["StyleKnowledgeBase"]["name"], api["StyleKnowledgeBase"]["sources"]) == ("mine", "my styles")
    assert (api["ControlNetIPAdapterSampler"]["seed"], api["ControlNetIPAdapterSampler"]["cfg"]) == (5, 7)
    assert api["CannyFromSketch"]["width"] == 512
