"""A PNG that is dropped onto ComfyUI's page brings the workflow that makes its picture again."""

from __future__ import annotations

import copy
import io
import json
import shutil
from typing import Any

from comfy_page import ComfyPage
from comfyui import ComfyServer
from PIL import Image
from places import ROOT

NAME = "dropped"
QUICKSTART = json.loads((ROOT / "workflows" / "quickstart.json").read_text(encoding="utf-8"))
SAVED = str(next(node["id"] for node in QUICKSTART["nodes"] if node["type"] == "SaveImage"))
DROP = """async image => {
    const answer = await fetch("/view?" + new URLSearchParams(image));
    await app.handleFile(new File([await answer.blob()], "picture.png", {type: "image/png"}));
}"""


def add(server: ComfyServer, *styles: str) -> None:
    for style in styles:
        shutil.copytree(ROOT / "styles" / style, server.base / "input" / NAME / style)


def workflow() -> dict[str, Any]:
    """The quickstart with a knowledge base of its own, few steps, and a new seed after each run."""
    opened = copy.deepcopy(QUICKSTART)
    for node in opened["nodes"]:
        if node["type"] == "StyleKnowledgeBase":
            node["widgets_values"][:2] = NAME, NAME
        if node["type"] == "ControlNetIPAdapterSampler":
            node["widgets_values"][3:5] = "randomize", 4
    return opened


def run(page: ComfyPage) -> dict[str, str]:
    page.page.evaluate("app.nodeOutputs = {}")
    page.queue()
    return page.wait_for_output(SAVED)["images"][0]


def value_of(page: ComfyPage, node_type: str, widget: str) -> Any:
    found = "app.graph.nodes.find(n => n.type === type).widgets.find(w => w.name === name).value"
    return page.page.evaluate(f"([type, name]) => {found}", [node_type, widget])


def test_a_dropped_png_makes_its_picture_again_after_the_knowledge_base_has_grown(
    browser_page: ComfyPage, comfy_server: ComfyServer
) -> None:
    add(comfy_server, "noir", "watercolour")
    browser_page.open("RetrieveStyle")
    browser_page.load_workflow(workflow(), "dropped")
    first = run(browser_page)
    assert value_of(browser_page, "RetrieveStyle", "pinned") == ""
    assert value_of(browser_page, "ControlNetIPAdapterSampler", "control_after_generate") == "randomize"

    add(comfy_server, "blueprint")
    comfy_server.free()
    browser_page.page.evaluate(DROP, first)
    browser_page.page.wait_for_function(
        "app.graph.nodes.find(n => n.type === 'RetrieveStyle').widgets.some(w => w.name === 'pinned' && w.value)"
    )
    browser_page.show_graph()
    second = run(browser_page)
    assert second["filename"] != first["filename"]
    pictures = [Image.open(io.BytesIO(comfy_server.get_image(image))) for image in (first, second)]
    assert pictures[0].tobytes() == pictures[1].tobytes()
    made = [json.loads(picture.info["style_rag"]) for picture in pictures]
    assert made[0] == made[1]
    assert not browser_page.unexpected_errors()
