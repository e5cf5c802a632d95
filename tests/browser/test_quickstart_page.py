"""The bundled workflows in ComfyUI's own page, as a newcomer meets them: opened, and the quickstart run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from comfy_page import ComfyPage, PageError
from comfyui import ComfyServer
from PIL import Image
from places import ROOT

WORKFLOWS = ROOT / "workflows"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
RESULT_SIZE = 256


def read(path: str) -> dict[str, Any]:
    return json.loads((WORKFLOWS / path).read_text(encoding="utf-8"))


def node_of(class_type: str, api: dict[str, Any]) -> str:
    return next(node_id for node_id, node in api.items() if node["class_type"] == class_type)


def sketch_sizes(api: dict[str, Any]) -> dict[str, list[int]]:
    """Width and height of the bundled sketch that each Load Image names; every workflow begins with one."""
    files = {id: node["inputs"]["image"] for id, node in api.items() if node["class_type"] == "LoadImage"}
    assert files
    sketches = {id: ROOT / "styles" / "sketches" / Path(file).name for id, file in files.items()}
    return {id: list(Image.open(sketch).size) for id, sketch in sketches.items()}


def without_downloads(errors: list[PageError]) -> list[PageError]:
    """For a missing model the editor asks how large its file is, which a closed network and its own policy refuse."""
    return [error for error in errors if "huggingface.co" not in error.text and "file size" not in error.text]


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_opens_whole_and_exports_its_api_form(browser_page: ComfyPage, name: str):
    browser_page.open("RetrieveStyle")
    browser_page.load_workflow(read(f"{name}.json"), name)
    assert sorted(browser_page.node_types()) == sorted(node["type"] for node in read(f"{name}.json")["nodes"])
    assert not browser_page.red_nodes()
    assert not browser_page.cut_nodes()
    assert browser_page.export()["api"] == read(f"api/{name}.json")
    shown = browser_page.wait_for_pictures()
    for node_id, size in sketch_sizes(read(f"api/{name}.json")).items():
        assert shown[node_id] == [size]
    assert not without_downloads(browser_page.unexpected_errors())


def test_style_rag_sd15_offers_every_file_that_is_missing(browser_page: ComfyPage):
    workflow = read("style_rag_sd15.json")
    needed = [model for node in workflow["nodes"] for model in node["properties"].get("models", [])]
    browser_page.open("RetrieveStyle")
    browser_page.load_workflow(workflow, "style_rag_sd15")
    for model in needed:
        row = browser_page.page.get_by_text(f"{model['directory']} / {model['name']}")
        row.wait_for()
    assert len(needed) == 4


def test_the_quickstart_is_opened_from_its_card_and_run(browser_page: ComfyPage, comfy_server: ComfyServer):
    [(folder, names)] = comfy_server.get_json("/workflow_templates").items()
    assert sorted(names) == NAMES
    browser_page.open("RetrieveStyle")
    with browser_page.page.expect_response(lambda answer: answer.url.endswith("/quickstart.jpg")) as thumbnail:
        browser_page.show_templates(folder)
    assert thumbnail.value.status == 200
    browser_page.template("quickstart").click()
    browser_page.page.wait_for_function("app.graph.nodes.some(node => node.type === 'RetrieveStyle')")
    browser_page.show_graph()

    browser_page.queue()
    result = node_of("SaveImage", read("api/quickstart.json"))
    images = browser_page.wait_for_output(result)["images"]
    assert [image["type"] for image in images] == ["output"]
    assert browser_page.wait_for_pictures()[result] == [[RESULT_SIZE, RESULT_SIZE]]
    assert not browser_page.red_nodes()
    assert not browser_page.unexpected_errors()
