"""The nodes as the page's Nodes 2.0 draws them: elements of the page in place of a canvas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from comfy_page import READY_MS, ComfyPage
from comfyui import ComfyServer
from front_end import OTHERS, chosen_version
from http_calls import add, call
from places import ROOT
from playwright.sync_api import Browser, Locator, expect

Json = dict[str, Any]
WORKFLOW = json.loads((ROOT / "workflows" / "quickstart.json").read_text(encoding="utf-8"))
NODES = {node["type"]: node for node in WORKFLOW["nodes"]}
OTHER = "beside nodes 2.0"
OURS = ("StyleKnowledgeBase", "RetrieveStyle", "CannyFromSketch", "LoadStylePipeline", "ControlNetIPAdapterSampler")


@pytest.fixture
def page(browser: Browser, comfy_server: ComfyServer) -> Iterator[ComfyPage]:
    context = browser.new_context(viewport={"width": 1900, "height": 1100})
    page = ComfyPage(context.new_page(), comfy_server.base_url, chosen_version() or OTHERS[-1])
    page.open("RetrieveStyle")
    page.page.evaluate("app.extensionManager.setting.set('Comfy.VueNodes.Enabled', true)")
    yield page
    page.page.evaluate("app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")
    context.close()


expect.set_options(timeout=READY_MS)


def element(page: ComfyPage, node_type: str) -> Locator:
    return page.page.locator(f'[data-node-id="{NODES[node_type]["id"]}"]').first


def test_the_quickstart_is_drawn_run_and_given_a_style(page: ComfyPage, comfy_server: ComfyServer) -> None:
    add(comfy_server, OTHER, [4700], "a harbour")
    page.load_workflow(WORKFLOW, "quickstart")
    for node_type, node in NODES.items():
        expect(element(page, node_type)).to_be_visible()
        widgets = [each["name"] for each in node["inputs"] if each.get("widget") and not each["link"]]
        for name in widgets if node_type in OURS else ():
            expect(element(page, node_type).get_by_text(name, exact=True).first).to_be_attached()
    page.queue()
    page.wait_for_output(str(NODES["SaveImage"]["id"]))
    for node_type, width in {"RetrieveStyle": 224, "CannyFromSketch": 256, "SaveImage": 256}.items():
        expect(element(page, node_type).locator("img").last).to_have_js_property("naturalWidth", width)
    assert not page.red_nodes()

    page.sidebar_tab("Styles").click()
    tab = page.page.locator(".style-rag")
    tab.get_by_label("Knowledge base").select_option("starter")
    cell = tab.locator(".style-rag-cell").first
    expect(cell.locator("img")).to_be_visible()
    cell.drag_to(element(page, "RetrieveStyle").get_by_text("diversity", exact=True))
    [first] = call(comfy_server, "GET", "starter/styles?limit=1").json["styles"]
    pinned = "id => app.graph.getNodeById(id).widgets.find(widget => widget.name === 'pinned').value"
    assert page.page.evaluate(pinned, NODES["RetrieveStyle"]["id"]) == first["id"]

    tab.get_by_label("Knowledge base").select_option(OTHER)
    expect(tab.get_by_role("status")).to_have_text("1 styles")
    element(page, "SaveImage").get_by_text("Save Image", exact=True).click(button="right")
    page.page.get_by_text(f"Save as style in “{OTHER}”", exact=True).click()
    expect(tab.get_by_role("status")).to_have_text("2 styles")
    assert call(comfy_server, "GET", f"{quote(OTHER)}/styles").json["total"] == 2
    assert not page.unexpected_errors()
