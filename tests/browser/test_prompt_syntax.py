"""What is typed into a prompt is sent as ComfyUI's own text node beside it sends it."""

import pytest
from comfy_page import ComfyPage

WIDGETS = {
    "CLIPTextEncode": ("text",),
    "RetrieveStyle": ("prompt", "avoid"),
    "ControlNetIPAdapterSampler": ("prompt", "negative_prompt"),
    "ScoreStyledImage": ("prompt",),
}
SEND = """([kinds, text]) => {
    app.graph.clear();
    for (const [kind, names] of Object.entries(kinds)) {
        const node = LiteGraph.createNode(kind);
        app.graph.add(node);
        for (const widget of node.widgets.filter(({name}) => names.includes(name))) widget.value = text;
    }
    return app.graphToPrompt().then(({output}) => Object.values(output).flatMap(
        ({class_type, inputs}) => kinds[class_type].map((name) => inputs[name])));
}"""


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("a {day|day} house", "a day house"),
        ("a /* small */ house // by me\nat night", "a  house \nat night"),
        ("a \\{b\\} BREAK (x:1.2) AND", "a {b} BREAK (x:1.2) AND"),
    ],
)
def test_a_prompt_is_sent_as_the_stock_node_sends_it(browser_page: ComfyPage, typed: str, sent: str) -> None:
    browser_page.open("RetrieveStyle")
    assert browser_page.page.evaluate(SEND, [WIDGETS, typed]) == [sent] * 6
