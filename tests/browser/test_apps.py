"""The workflows that a page with app mode opens as apps: from a card to a picture without a node, and to the graph."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from comfy_page import READY_MS, RUN_MS, ComfyPage
from comfyui import ComfyServer
from front_end import OTHERS, chosen_version
from PIL import Image
from places import ROOT
from playwright.sync_api import Browser, Locator, expect

Json = dict[str, Any]
WORKFLOWS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "workflows").glob("*.json")}
APPS = sorted(name for name, workflow in WORKFLOWS.items() if workflow["extra"])
OPEN = "([workflow, name]) => app.loadGraphData(workflow, true, true, name)"


@pytest.fixture
def app_page(browser: Browser, comfy_server: ComfyServer) -> Iterator[ComfyPage]:
    context = browser.new_context(viewport={"width": 1600, "height": 900})
    page = ComfyPage(context.new_page(), comfy_server.base_url, chosen_version() or OTHERS[-1])
    page.open("RetrieveStyle")
    yield page
    context.close()


def node_of(node_type: str, workflow: Json) -> str:
    return next(str(node["id"]) for node in workflow["nodes"] if node["type"] == node_type)


def inputs_of(page: ComfyPage) -> Locator:
    return page.page.get_by_test_id("app-mode-widget-item")


def canvas_of(page: ComfyPage) -> Locator:
    return page.page.locator("#graph-canvas")


def test_the_quickstart_is_opened_from_its_card_and_run_without_a_node(app_page: ComfyPage, comfy_server: ComfyServer):
    [folder] = comfy_server.get_json("/workflow_templates")
    app_page.show_templates(folder)
    app_page.template("quickstart").click()
    expect(inputs_of(app_page)).to_have_count(5, timeout=READY_MS)
    expect(canvas_of(app_page)).to_be_hidden(timeout=READY_MS)
    sketch, prompt = inputs_of(app_page).nth(0), inputs_of(app_page).nth(1)
    expect(sketch).to_contain_text("Sketch: ")
    expect(sketch.locator("img")).to_have_js_property("naturalWidth", 512, timeout=READY_MS)
    expect(prompt).to_contain_text("Prompt: ")
    prompt.locator("textarea").fill("a house in winter as a woodblock print")
    assert not app_page.warnings()

    app_page.page.get_by_test_id("linear-run-button").get_by_role("button", name="Run", exact=True).click()
    [saved] = app_page.wait_for_output(node_of("SaveImage", WORKFLOWS["quickstart"]))["images"]
    picture = app_page.page.locator(f'img[src*="{saved["filename"]}"]').last
    expect(picture).to_be_visible(timeout=RUN_MS)
    expect(picture).to_have_js_property("naturalWidth", 256, timeout=READY_MS)
    made = Image.open(io.BytesIO(comfy_server.get_image(saved)))
    assert "a house in winter as a woodblock print" in made.info["prompt"]
    assert not app_page.red_nodes()
    assert not app_page.unexpected_errors()


@pytest.mark.parametrize("name", APPS)
def test_an_app_shows_its_inputs_and_leads_to_the_graph_and_back(app_page: ComfyPage, name: str):
    app_page.page.evaluate(OPEN, [WORKFLOWS[name], name])
    inputs = WORKFLOWS[name]["extra"]["linearData"]["inputs"]
    expect(inputs_of(app_page)).to_have_count(len(inputs), timeout=READY_MS)
    expect(canvas_of(app_page)).to_be_hidden(timeout=READY_MS)
    app_page.page.get_by_role("button", name="Enter node graph").click()
    expect(canvas_of(app_page)).to_be_visible(timeout=READY_MS)
    assert sorted(app_page.node_types()) == sorted(node["type"] for node in WORKFLOWS[name]["nodes"])
    assert not app_page.red_nodes()
    app_page.page.get_by_role("button", name="Enter app mode").click()
    expect(inputs_of(app_page)).to_have_count(len(inputs), timeout=READY_MS)
    assert not app_page.warnings()
    assert not app_page.unexpected_errors()


def test_a_page_without_app_mode_opens_the_graph(browser_page: ComfyPage):
    browser_page.open("RetrieveStyle")
    browser_page.load_workflow(WORKFLOWS["quickstart"], "quickstart")
    expect(canvas_of(browser_page)).to_be_visible(timeout=READY_MS)
    kept = browser_page.page.evaluate("app.graph.extra")
    assert kept["linearData"] == WORKFLOWS["quickstart"]["extra"]["linearData"]
    if not browser_page.version:  # for which every node would be a part of the app
        assert "linearMode" not in kept
