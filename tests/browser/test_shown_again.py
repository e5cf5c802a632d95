"""Which reference, and why: shown on the nodes in every run, whatever ComfyUI has in its cache."""

from __future__ import annotations

import json
from typing import Any

from comfy_page import ComfyPage
from comfyui import ComfyServer
from places import ROOT
from playwright.sync_api import Browser

Json = dict[str, Any]
WORKFLOW = json.loads((ROOT / "workflows" / "quickstart.json").read_text(encoding="utf-8"))
API = json.loads((ROOT / "workflows" / "api" / "quickstart.json").read_text(encoding="utf-8"))
SHOWING = ("RetrieveStyle", "CannyFromSketch")


def id_of(class_type: str) -> str:
    return next(id for id, node in API.items() if node["class_type"] == class_type)


def run(editor: ComfyPage) -> dict[str, Json]:
    """What the page was told that the nodes show, once the picture is there."""
    editor.queue()
    editor.wait_for_output(id_of("SaveImage"))
    return {name: editor.wait_for_output(id_of(name)) for name in SHOWING}


def opened(browser: Browser, server: ComfyServer, workflow: Json) -> ComfyPage:
    """The workflow in a page of its own, as somebody has it who opens the template again."""
    context = browser.new_context(viewport={"width": 1600, "height": 900})
    editor = ComfyPage(context.new_page(), server.base_url)
    editor.open("RetrieveStyle")
    editor.load_workflow(workflow, "again")
    return editor


def test_contact_sheet_and_overlay_come_back_in_a_page_that_is_opened_again(
    browser: Browser, comfy_server: ComfyServer
) -> None:
    comfy_server.free()
    first = opened(browser, comfy_server, WORKFLOW)
    shown = run(first)
    sizes = first.wait_for_pictures()
    assert all(shown[name]["images"] and shown[name]["text"] for name in SHOWING)
    first.page.context.close()

    again = opened(browser, comfy_server, WORKFLOW)
    assert run(again) == shown
    entry = list(comfy_server.get_json("/history").values())[-1]
    cached = next(data["nodes"] for kind, data in entry["status"]["messages"] if kind == "execution_cached")
    assert {id_of(name) for name in SHOWING} <= set(cached)
    drawn = again.wait_for_pictures()
    assert {id_of(name): drawn[id_of(name)] for name in SHOWING} == {
        id_of(name): sizes[id_of(name)] for name in SHOWING
    }
    assert not again.unexpected_errors()
    again.page.context.close()


def test_they_stay_when_only_the_painting_changes(browser: Browser, comfy_server: ComfyServer) -> None:
    editor = opened(browser, comfy_server, WORKFLOW)
    shown = run(editor)
    editor.page.evaluate(
        """() => { app.graph.nodes.find(node => node.type === 'ControlNetIPAdapterSampler')
            .widgets.find(widget => widget.name === 'seed').value += 1 }"""
    )
    before = len(comfy_server.get_json("/history"))
    editor.queue()
    while len(comfy_server.get_json("/history")) == before:
        editor.page.wait_for_timeout(200)
    assert {name: editor.wait_for_output(id_of(name)) for name in SHOWING} == shown
    drawn = editor.wait_for_pictures()
    assert all(drawn[id_of(name)] for name in SHOWING)
    editor.page.context.close()


def test_they_are_those_of_this_search_and_not_of_another(browser: Browser, comfy_server: ComfyServer) -> None:
    """Between the two runs of one prompt another one ran, under the same node ids."""
    other = json.loads(json.dumps(WORKFLOW))
    for node in other["nodes"]:
        if node["type"] == "PrimitiveStringMultiline":
            node["widgets_values"][0] = "waves in ink"
    shown = {}
    for name, workflow in (("one", WORKFLOW), ("other", other), ("other again", other)):
        editor = opened(browser, comfy_server, workflow)
        shown[name] = run(editor)["RetrieveStyle"]["text"]
        editor.page.context.close()
    assert shown["one"] != shown["other"] == shown["other again"]
