"""The files in workflows/: complete, in agreement with each other, and free of the machine that made them."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image
from places import ROOT

WORKFLOWS = ROOT / "workflows"
RETRIEVAL = {"RetrieveStyle", "StyleKnowledgeBase"}
PAINTING = RETRIEVAL | {"CannyFromSketch", "LoadStylePipeline", "ControlNetIPAdapterSampler"}
OURS = {
    "build_knowledge_base": RETRIEVAL | {"LoadStylePipeline"},
    "compare_with_and_without_rag": PAINTING | {"ScoreStyledImage"},
    "quickstart": PAINTING,
    "several_references": PAINTING,
    "style_rag_native": RETRIEVAL | {"CannyFromSketch"},
    "style_rag_sd15": PAINTING,
    "turbo": PAINTING,
}
"""Which of the pack's nodes each workflow shows."""

NAMES = tuple(OURS)
STOCK_NODES = {
    "CheckpointLoaderSimple",
    "CLIPTextEncode",
    "CLIPVisionEncode",
    "CLIPVisionLoader",
    "ControlNetApplyAdvanced",
    "ControlNetLoader",
    "EmptyLatentImage",
    "ImageStitch",
    "KSampler",
    "LoadImage",
    "PreviewAny",
    "PreviewImage",
    "PrimitiveStringMultiline",
    "SaveImage",
    "StyleModelApply",
    "StyleModelLoader",
    "VAEDecode",
}
APPS = ("compare_with_and_without_rag", "quickstart", "turbo")
"""The workflows that a page with app mode opens as apps."""

NOTE = "MarkdownNote"
TITLE_HEIGHT = 30

FOLDER_OF = {
    "base_model": "checkpoints",
    "ckpt_name": "checkpoints",
    "clip_name": "clip_vision",
    "control_net_name": "controlnet",
    "controlnet": "controlnet",
    "ip_adapter": "ipadapter",
    "style_model_name": "style_models",
}
"""Which folder of ComfyUI's models a widget looks into."""

BUNDLED = {path.name for path in (ROOT / "styles" / "sketches").iterdir() if path.suffix in (".png", ".jpg")}
Json = dict[str, Any]


def read(path: str) -> Json:
    return json.loads((WORKFLOWS / path).read_text(encoding="utf-8"))


def our_nodes() -> set[str]:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "nodes").glob("*.py"))
    return set(re.findall(r'node_id="(\w+)"', source))


def editor_links(editor: Json) -> set[tuple[str, str, str, int]]:
    """(node, input, source node, source slot) of each link."""
    nodes = {node["id"]: node for node in editor["nodes"]}
    return {
        (str(target), nodes[target]["inputs"][slot]["name"], str(source), source_slot)
        for _, source, source_slot, target, slot, _ in editor["links"]
    }


def api_links(api: Json) -> set[tuple[str, str, str, int]]:
    return {
        (node_id, name, *value)
        for node_id, node in api.items()
        for name, value in node["inputs"].items()
        if isinstance(value, list)
    }


def file_widgets(api: Json) -> Iterator[tuple[int, str, str]]:
    """(node, widget, file name) of each widget that names a model file."""
    for node_id, node in api.items():
        for name, value in node["inputs"].items():
            if isinstance(value, str) and re.search(r"\.(safetensors|ckpt|pth?|bin)$", value):
                yield int(node_id), name, value


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)


def rectangle(node: Json) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a node with its title."""
    (left, top), (width, height) = node["pos"], node["size"]
    return left, top - TITLE_HEIGHT, left + width, top + height


def overlap(one: Json, other: Json) -> bool:
    a, b = rectangle(one), rectangle(other)
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def lies_in(node: Json, group: Json) -> bool:
    left, top, width, height = group["bounding"]
    box = rectangle(node)
    return left <= box[0] and top <= box[1] and box[2] <= left + width and box[3] <= top + height


def test_every_workflow_has_an_editor_form_an_api_form_and_a_thumbnail():
    assert {path.name for path in WORKFLOWS.iterdir() if path.is_file()} == {
        f"{name}.{suffix}" for name in NAMES for suffix in ("json", "jpg")
    }
    assert {path.name for path in (WORKFLOWS / "api").iterdir()} == {f"{name}.json" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
class TestWorkflow:
    def test_both_forms_have_the_same_nodes(self, name: str):
        editor = {str(node["id"]): node["type"] for node in read(f"{name}.json")["nodes"] if node["type"] != NOTE}
        assert editor == {node_id: node["class_type"] for node_id, node in read(f"api/{name}.json").items()}

    def test_both_forms_have_the_same_links(self, name: str):
        assert editor_links(read(f"{name}.json")) == api_links(read(f"api/{name}.json"))

    def test_it_uses_only_nodes_of_the_pack_and_of_comfyui(self, name: str):
        used = {node["class_type"] for node in read(f"api/{name}.json").values()}
        assert used - our_nodes() <= STOCK_NODES
        assert used & our_nodes() == OURS[name]

    def test_every_model_file_comes_with_its_address_and_folder(self, name: str):
        models = {node["id"]: node["properties"].get("models", []) for node in read(f"{name}.json")["nodes"]}
        for node_id, widget, file in file_widgets(read(f"api/{name}.json")):
            entry = next((model for model in models[node_id] if model["name"] == file), None)
            assert entry is not None, f"{file} has no entry"
            assert entry["directory"] == FOLDER_OF[widget]
            assert entry["url"].startswith("https://huggingface.co/")

    def test_it_names_no_path_of_a_machine(self, name: str):
        editor = read(f"{name}.json")
        nodes = [node for node in editor["nodes"] if node["type"] != NOTE]
        for text in strings([nodes, read(f"api/{name}.json")]):
            assert "\\" not in text
            assert not re.match(r"/|~|[A-Za-z]:|file:", text)

    def test_its_sketches_are_the_bundled_ones(self, name: str):
        images = [
            node["inputs"]["image"] for node in read(f"api/{name}.json").values() if node["class_type"] == "LoadImage"
        ]
        assert images
        assert {image.partition("style_rag/")[2] for image in images} <= BUNDLED

    def test_it_keeps_nothing_that_changes_from_export_to_export(self, name: str):
        assert set(read(f"{name}.json")["extra"]) == ({"linearMode", "linearData"} if name in APPS else set())

    def test_its_nodes_lie_apart_and_each_in_a_group(self, name: str):
        editor = read(f"{name}.json")
        assert not [(a["type"], b["type"]) for a, b in itertools.combinations(editor["nodes"], 2) if overlap(a, b)]
        for node in editor["nodes"]:
            groups = [group["title"] for group in editor["groups"] if lies_in(node, group)]
            assert len(groups) == (0 if node["type"] == NOTE else 1), node["type"]

    def test_its_thumbnail_is_small(self, name: str):
        path = WORKFLOWS / f"{name}.jpg"
        assert Image.open(path).size == (640, 400)
        assert path.stat().st_size <= 80_000


@pytest.mark.parametrize("name", APPS)
class TestApp:
    def test_it_opens_as_an_app(self, name: str):
        assert read(f"{name}.json")["extra"]["linearMode"] is True

    def test_its_inputs_are_widgets_that_no_link_feeds_with_the_sketch_and_the_prompt_first(self, name: str):
        api = read(f"api/{name}.json")
        inputs = [(str(node_id), widget) for node_id, widget, *_ in app_of(name)["inputs"]]
        for node_id, widget in inputs:
            assert not isinstance(api[node_id]["inputs"][widget], list)
        assert [api[node_id]["class_type"] for node_id, _ in inputs[:2]] == ["LoadImage", "PrimitiveStringMultiline"]
        assert len(set(inputs)) == len(inputs) <= 5

    def test_its_outputs_are_nodes_that_show_pictures_with_the_saved_one_first(self, name: str):
        api = read(f"api/{name}.json")
        shown = [api[str(node_id)]["class_type"] for node_id in app_of(name)["outputs"]]
        assert shown == ["SaveImage", "PreviewImage"]


def app_of(name: str) -> Json:
    return read(f"{name}.json")["extra"]["linearData"]


def test_the_page_lists_the_bundled_sketches():
    script = (ROOT / "web" / "js" / "sketches.js").read_text(encoding="utf-8")
    assert sorted(re.findall(r'^  "(.+\.\w+)",$', script, re.MULTILINE)) == sorted(BUNDLED)


def test_the_image_encoder_of_the_ip_adapter_is_offered_though_no_widget_names_it():
    models = [model["name"] for model in read("style_rag_sd15.json")["models"]]
    assert models == ["CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors"]


def test_the_quickstart_needs_no_file_and_repeats_its_picture():
    assert not list(file_widgets(read("api/quickstart.json")))
    sampler = next(n for n in read("quickstart.json")["nodes"] if n["type"] == "ControlNetIPAdapterSampler")
    assert "fixed" in sampler["widgets_values"]
