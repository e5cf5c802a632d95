"""The editor in Chinese, as a browser that asks for it gets it: node titles, inputs, tooltips and the Styles tab."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from comfy_page import ComfyPage
from comfyui import ComfyServer
from node_texts import read_texts
from playwright.sync_api import Browser, expect

ZH = read_texts("zh")


@pytest.fixture(scope="module")
def editor(browser: Browser, comfy_server: ComfyServer) -> Iterator[ComfyPage]:
    context = browser.new_context(viewport={"width": 1600, "height": 900}, locale="zh-CN")
    page = ComfyPage(context.new_page(), comfy_server.base_url)
    page.open("RetrieveStyle")
    page.page.wait_for_function("app.extensionManager.setting.get('Comfy.Locale') === 'zh'")
    yield page
    context.close()


@pytest.mark.parametrize("node_id", sorted(ZH))
def test_a_node_has_its_chinese_title_inputs_outputs_and_widgets(editor: ComfyPage, node_id: str) -> None:
    shown = editor.page.evaluate(
        """id => { app.graph.clear(); const node = LiteGraph.createNode(id); app.graph.add(node);
        const label = slot => slot.label ?? slot.localized_name ?? slot.name;
        return {title: node.title, outputs: node.outputs.map(label),
            inputs: Object.fromEntries(node.inputs.map(input => [input.name, label(input)])),
            widgets: Object.fromEntries((node.widgets ?? []).map(w => [w.name, w.label ?? w.name]))} }""",
        node_id,
    )
    texts = ZH[node_id]
    assert shown["title"] == texts["display_name"]
    assert shown["outputs"] == [output["name"] for output in texts["outputs"].values()]
    assert shown["inputs"] == {name: text["name"] for name, text in texts["inputs"].items()}
    for name, label in shown["widgets"].items():
        assert name not in texts["inputs"] or label == texts["inputs"][name]["name"]
    assert not editor.unexpected_errors()


def test_a_pointer_on_an_input_shows_its_chinese_tooltip(editor: ComfyPage) -> None:
    spot = editor.page.evaluate(
        """() => { app.graph.clear(); const node = LiteGraph.createNode('RetrieveStyle'); app.graph.add(node);
        app.canvas.ds.scale = 1; app.canvas.ds.offset = [500, 300]; node.pos = [0, 0]; app.canvas.draw(true, true);
        const slot = node.inputs.findIndex(input => input.name === 'query_image');
        return app.canvas.convertOffsetToCanvas(node.getConnectionPos(true, slot)) }"""
    )
    left, top = editor.page.locator("#graph-canvas").evaluate(
        "c => [c.getBoundingClientRect().x, c.getBoundingClientRect().y]"
    )
    editor.page.mouse.move(left + spot[0] + 40, top + spot[1])
    editor.page.mouse.move(left + spot[0] + 2, top + spot[1])
    expect(editor.page.locator(".node-tooltip")).to_have_text(ZH["RetrieveStyle"]["inputs"]["query_image"]["tooltip"])


def test_a_node_is_found_by_its_chinese_name(editor: ComfyPage) -> None:
    page = editor.page
    page.evaluate("app.graph.clear()")
    box = editor.search_nodes("风格图像评分")
    page.get_by_text("ScoreStyledImage").or_(page.get_by_text("风格图像评分")).first.wait_for()
    box.press("Enter")
    page.wait_for_function("app.graph.nodes.some(node => node.type === 'ScoreStyledImage')")
    assert page.evaluate("app.graph.nodes[0].title") == "风格图像评分"


def test_the_styles_tab_is_in_chinese(editor: ComfyPage) -> None:
    editor.sidebar_tab("风格库").click()
    tab = editor.page.locator(".style-rag")
    expect(tab.get_by_label("搜索风格")).to_be_visible()
    expect(tab.get_by_role("button", name="添加图片")).to_be_visible()
    expect(tab.get_by_label("知识库", exact=True).locator("option").last).to_have_text("新建知识库……")
    assert not editor.unexpected_errors()
