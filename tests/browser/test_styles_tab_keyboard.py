"""The Styles tab without a mouse, and its filter by licence."""

from __future__ import annotations

import json

import pytest
from comfy_page import ComfyPage
from comfyui import ComfyServer
from http_calls import ENCODER, add, call, make_picture
from playwright.sync_api import Locator, expect

NAME, LICENSED = "by keyboard", "of many licences"
WORDS = ["a harbour", "a house", "a cat", "a bridge", "a forest", "a castle", "a village"]
LICENCES = {"lake": "CC0-1.0", "wall": "CC0-1.0", "tower": "CC-BY-4.0", "road": ""}
SLOW_MS = 60_000
expect.set_options(timeout=SLOW_MS)


def open_tab(editor: ComfyPage, name: str) -> Locator:
    editor.open("RetrieveStyle")
    editor.sidebar_tab("Styles").click()
    tab = editor.page.locator(".style-rag")
    tab.get_by_label("Knowledge base").select_option(name)
    return tab


def captions(tab: Locator) -> list[str]:
    return tab.locator(".style-rag-cell span").all_inner_texts()


@pytest.fixture
def licensed(comfy_server: ComfyServer) -> str:
    """A knowledge base of pictures in a folder, with licences beside them."""
    folder = comfy_server.base / "input" / "licensed"
    folder.mkdir(exist_ok=True)
    for number, (name, licence) in enumerate(LICENCES.items()):
        (folder / f"{name}.png").write_bytes(make_picture(3900 + number))
        (folder / f"{name}.json").write_text(json.dumps({"caption": f"a {name}", "license": licence}))
    inputs = {"name": LICENSED, "sources": "licensed", "encoder": ENCODER, "update": "sync"}
    comfy_server.run(
        {
            "1": {"class_type": "StyleKnowledgeBase", "inputs": inputs},
            "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 1]}},
        }
    )
    return LICENSED


def test_keys_choose_open_remove_and_bring_back(browser_page: ComfyPage, comfy_server: ComfyServer) -> None:
    add(comfy_server, NAME, range(3800, 3800 + len(WORDS)), "\n".join(WORDS))
    tab, page = open_tab(browser_page, NAME), browser_page.page
    expect(tab.locator(".style-rag-cell span")).to_have_count(len(WORDS))
    shown = captions(tab)
    assert sorted(shown) == sorted(WORDS)
    page.evaluate("app.graph.clear()")
    page.evaluate(
        "const node = LiteGraph.createNode('RetrieveStyle'); app.graph.add(node); app.canvas.selectNode(node)"
    )
    grid, chosen = tab.locator(".style-rag-grid"), tab.locator(".style-rag-cell[aria-selected=true] span")
    columns = int(grid.evaluate("grid => Math.floor(grid.clientWidth / 116)"))
    assert columns > 1
    grid.focus()
    steps = {"ArrowRight": 1, "ArrowDown": 1 + columns, "ArrowLeft": columns, "ArrowUp": 0, "End": 6, "Home": 0}
    for key, at in steps.items():
        page.keyboard.press(key)
        expect(chosen).to_have_text(shown[at])

    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(tab.get_by_label("Caption")).to_be_focused()
    expect(tab.get_by_label("Caption")).to_have_value(shown[1])
    page.keyboard.press("Escape")
    expect(tab.get_by_label("Chosen style")).to_be_hidden()
    expect(grid).to_be_focused()

    page.keyboard.press("Delete")
    expect(tab.get_by_role("status")).to_contain_text(f"Removed “{shown[1]}”.")
    assert captions(tab) == shown[:1] + shown[2:]
    expect(chosen).to_have_text(shown[2])  # what came into its place
    expect(grid).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(tab.get_by_role("button", name="Undo")).to_be_focused()
    page.keyboard.press("Enter")
    expect(tab.get_by_role("status")).to_have_text(f"“{shown[1]}” is back.")
    styles = call(comfy_server, "GET", "by%20keyboard/styles").json["styles"]
    assert sorted(style["caption"] for style in styles) == sorted(WORDS)
    assert browser_page.node_types() == ["RetrieveStyle"]  # its own keys were not meant
    assert not browser_page.unexpected_errors()


def test_a_licence_filters_what_is_shown_and_what_is_found(browser_page: ComfyPage, licensed: str) -> None:
    tab = open_tab(browser_page, licensed)
    expect(tab.locator(".style-rag-cell span")).to_have_count(4)
    licence = tab.get_by_label("Licence", exact=True)
    expect(licence.locator("option")).to_have_text(["All licences", "CC0-1.0 (2)", "CC-BY-4.0 (1)"])
    licence.select_option("CC0-1.0")
    expect(tab.get_by_role("status")).to_have_text("2 styles")
    assert sorted(captions(tab)) == ["a lake", "a wall"]
    tab.get_by_label("Search styles").fill("a tower")
    expect(tab.get_by_role("status")).to_have_text("2 best of “a tower”")
    assert sorted(captions(tab)) == ["a lake", "a wall"]
    licence.select_option("CC-BY-4.0")
    expect(tab.get_by_role("status")).to_have_text("1 best of “a tower”")
    assert captions(tab) == ["a tower"]
    licence.select_option("")
    expect(tab.get_by_role("status")).to_have_text("4 best of “a tower”")
    assert not browser_page.unexpected_errors()
