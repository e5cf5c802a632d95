"""ComfyUI's pages of the last year: every bundled workflow opens clean on each."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from comfy_page import ComfyPage, PageError
from comfyui import ComfyServer
from front_end import OTHERS, chosen_version
from places import ROOT
from playwright.sync_api import Browser

Json = dict[str, Any]
WORKFLOWS = ROOT / "workflows"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
SKETCHES = sorted(path.name for path in (ROOT / "styles" / "sketches").iterdir() if path.suffix in (".png", ".jpg"))
OF_NEWER = "Style Knowledge Base rejected the value for sources."
"""What pages since 1.49 say themselves of a widget that a node refuses; the node's sentence is among the details."""

VALUES = "node => node.widgets.find(widget => widget.name === 'image').options.values"


def read(name: str) -> Json:
    return json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))


def models() -> Iterator[Json]:
    for name in NAMES:
        workflow = read(name)
        yield from workflow.get("models", [])
        for node in workflow["nodes"]:
            yield from node["properties"].get("models", [])


@pytest.fixture(scope="module")
def server_with_models(comfy_server: ComfyServer) -> Iterator[ComfyServer]:
    """The server with a file under the name of every model that a bundled workflow asks for."""
    header = json.dumps({"one": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    files = {comfy_server.base / "models" / model["directory"] / model["name"] for model in models()}
    made = [file for file in files if not file.exists()]
    for file in made:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    yield comfy_server
    for file in made:
        file.unlink()


@pytest.fixture(scope="module", params=["", *OTHERS], ids=lambda version: version or "own")
def editor(request: pytest.FixtureRequest, browser: Browser, server_with_models: ComfyServer) -> Iterator[ComfyPage]:
    context = browser.new_context(viewport={"width": 1600, "height": 900})
    editor = ComfyPage(context.new_page(), server_with_models.base_url, request.param or chosen_version())
    editor.open("RetrieveStyle")
    yield editor
    context.close()


def settle(editor: ComfyPage) -> None:
    """Gives the page the time in which it looks for what a workflow lacks."""
    editor.wait_for_pictures()
    editor.page.wait_for_timeout(500)


def of_workflows(errors: list[PageError]) -> list[PageError]:
    """Without those about models that are to be had elsewhere: of the page's own first graph as well."""
    return [error for error in errors if "huggingface.co" not in error.text + error.url]


def test_it_is_the_version_that_was_asked_for(editor: ComfyPage) -> None:
    if editor.version:
        assert editor.page.evaluate("window.__COMFYUI_FRONTEND_VERSION__") == editor.version


def test_every_workflow_opens_with_nothing_red_and_no_dialog(editor: ComfyPage) -> None:
    for name in NAMES:
        editor.load_workflow(read(name), name)
        settle(editor)
        assert sorted(editor.node_types()) == sorted(node["type"] for node in read(name)["nodes"])
        assert (name, editor.red_nodes(), editor.warnings()) == (name, [], [])
    assert not of_workflows(editor.unexpected_errors())


def test_what_a_workflow_lacks_would_have_been_seen(editor: ComfyPage) -> None:
    workflow = read("quickstart")
    for node in workflow["nodes"]:
        if node["type"] == "LoadImage":
            node["widgets_values"][0] = "style_rag/none.png"
        elif node["type"] == "CannyFromSketch":
            node["type"] = "NoSuchNode"
    editor.load_workflow(workflow, "lacking")
    editor.page.wait_for_function("app.graph.nodes.some(node => node.type === 'NoSuchNode')")
    assert "NoSuchNode" in editor.red_nodes()
    if editor.version:
        editor.page.wait_for_function("app.graph.nodes.find(node => node.type === 'LoadImage').has_errors")
    said = editor.page.get_by_role("dialog").or_(editor.page.get_by_test_id("error-overlay"))
    said.first.wait_for()
    editor.page.keyboard.press("Escape")


def test_every_bundled_sketch_can_be_picked(editor: ComfyPage, comfy_server: ComfyServer) -> None:
    editor.page.evaluate("app.graph.clear()")
    for again in (False, True):
        if again:
            editor.page.evaluate("app.refreshComboInNodes().then(() => null)")
        editor.page.evaluate("() => { app.graph.add(LiteGraph.createNode('LoadImage')) }")
        for values in editor.page.evaluate(f"app.graph.nodes.map({VALUES})"):
            assert [value for value in values if value.startswith("style_rag/")] == [f"style_rag/{s}" for s in SKETCHES]
    picked = comfy_server.base / "input" / "style_rag" / "windmill_small.png"
    picked.unlink(missing_ok=True)
    pick = "widget => { widget.value = 'style_rag/windmill_small.png'; widget.callback(widget.value) }"
    editor.page.evaluate(f"app.graph.nodes[0].widgets.filter(widget => widget.name === 'image').forEach({pick})")
    editor.page.wait_for_function("app.graph.nodes[0].imgs?.[0]?.src.includes('windmill_small')")
    editor.page.wait_for_function("app.graph.nodes[0].imgs[0].naturalWidth > 0")
    assert picked.read_bytes() == (ROOT / "styles" / "sketches" / "windmill_small.png").read_bytes()


def test_a_workflow_that_was_saved_with_the_copies_in_temp_opens_clean(editor: ComfyPage) -> None:
    workflow = read("quickstart")
    for node in workflow["nodes"]:
        if node["type"] == "LoadImage":
            node["widgets_values"][0] += " [temp]"
    editor.load_workflow(workflow, "old")
    settle(editor)
    assert (editor.red_nodes(), editor.warnings()) == ([], [])
    [loaded] = [node for node in editor.export()["api"].values() if node["class_type"] == "LoadImage"]
    assert loaded["inputs"]["image"] == "style_rag/house_lineart.png"


def test_a_mistake_is_told_in_one_sentence_at_its_widget(editor: ComfyPage) -> None:
    editor.load_workflow(read("quickstart"), "mistaken")
    settle(editor)
    editor.page.evaluate(
        """() => app.graph.nodes.find(node => node.type === 'StyleKnowledgeBase')
            .widgets.find(widget => widget.name === 'sources').value = 'no such folder'"""
    )
    editor.queue()
    marked = "app.graph.nodes.flatMap(node => (node.inputs ?? []).filter(input => input.hasErrors).map(i => i.name))"
    editor.page.wait_for_function(f"{marked}.length")
    assert editor.page.evaluate(marked) == ["sources"]
    if editor.version:
        assert editor.red_nodes() == ["StyleKnowledgeBase"]
        said = editor.page.get_by_test_id("error-overlay")
        said.wait_for()
        if "rejected" not in said.inner_text():  # 1.43 has the sentence below this button alone, newer ones beside it
            editor.page.get_by_test_id("error-overlay-see-errors").click()
    sentence = "source 'no such folder' does not exist"
    told = editor.page.get_by_text(sentence).or_(editor.page.get_by_text(OF_NEWER))
    told.first.wait_for()
    body = editor.page.inner_text("body")
    assert body.count(sentence) + body.count(OF_NEWER) == 1
    editor.page.keyboard.press("Escape")
