"""A picture's own PNG makes it again, byte for byte, after the knowledge base has grown by pictures that fit better."""

from __future__ import annotations

import copy
import io
import json
import shutil
from typing import Any

import numpy as np
import pytest
from comfy_client import ComfyError
from comfyui import ComfyServer
from PIL import Image
from places import ROOT
from test_quickstart import QUICKSTART, node_id, picture, quickstart

Json = dict[str, Any]
STYLES = ROOT / "styles"
EDITOR = json.loads((ROOT / "workflows" / "quickstart.json").read_text(encoding="utf-8"))
PROMPT = {"PrimitiveStringMultiline": {"value": "a house and a tree as a blueprint"}}
RETRIEVE, SAMPLER = node_id("RetrieveStyle"), node_id("ControlNetIPAdapterSampler")


class Library:
    """A knowledge base whose source is a folder of its own in ComfyUI's input folder."""

    def __init__(self, server: ComfyServer, name: str) -> None:
        self.server, self.name = server, name
        self.folder = server.base / "input" / name

    def add(self, *styles: str) -> None:
        for style in styles:
            for path in (STYLES / style).iterdir():
                target = self.folder / style / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)

    def workflow(self, **changes: Json) -> Json:
        return quickstart(StyleKnowledgeBase={"name": self.name, "sources": self.name}, **(PROMPT | changes))

    def paint(self, api: Json, workflow: Json | None = None) -> Image.Image:
        """The PNG of a workflow that runs in full, however much of it ComfyUI has in its cache."""
        self.server.free()
        entry = self.server.wait(self.server.post_prompt(api, workflow))
        assert entry["status"]["status_str"] == "success", entry["status"]
        return Image.open(io.BytesIO(picture(self.server, entry)))


def prompt_of(png: Image.Image) -> Json:
    return json.loads(png.info["prompt"])


def names_of(png: Image.Image) -> list[str]:
    return [reference["name"] for reference in json.loads(png.info["style_rag"])["references"]]


def cached_nodes(entry: Json) -> list[str]:
    return next(data["nodes"] for kind, data in entry["status"]["messages"] if kind == "execution_cached")


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.tobytes() == other.tobytes() and one.info == other.info


def editor_form(**changes: list[Any]) -> Json:
    workflow = copy.deepcopy(EDITOR)
    for node in workflow["nodes"]:
        node["widgets_values"] = changes.get(node["type"], node.get("widgets_values"))
    return workflow


def widgets_of(workflow: Json, class_type: str) -> list[Any]:
    return next(node["widgets_values"] for node in workflow["nodes"] if node["type"] == class_type)


def test_a_png_makes_its_picture_again_after_the_knowledge_base_has_grown(comfy_server: ComfyServer) -> None:
    library = Library(comfy_server, "grows")
    library.add("noir", "ukiyo-e", "watercolour")
    api = library.workflow(RetrieveStyle={"top_k": 2})
    first = library.paint(api)
    library.add("blueprint", "pop-art", "art-deco")
    searched = library.paint(api)
    assert not set(names_of(first)) & set(names_of(searched))
    assert not np.array_equal(np.asarray(first), np.asarray(searched))
    again = library.paint(prompt_of(first))
    assert same(first, again)
    assert names_of(again) == names_of(first)


def test_the_references_are_pinned_though_the_search_was_cached(comfy_server: ComfyServer) -> None:
    library = Library(comfy_server, "cached")
    library.add("noir", "watercolour")
    library.paint(library.workflow())
    entry = comfy_server.run(library.workflow(ControlNetIPAdapterSampler={"seed": 5}))
    assert RETRIEVE in cached_nodes(entry)
    first = Image.open(io.BytesIO(picture(comfy_server, entry)))
    library.add("blueprint")
    assert same(first, library.paint(prompt_of(first)))


def test_a_picture_that_was_saved_from_the_cache_has_its_references_in_its_workflow(
    comfy_server: ComfyServer,
) -> None:
    """Its prompt is as it was posted: pinned there, the search would be another one than that in the cache."""
    library = Library(comfy_server, "saved twice")
    library.add("noir", "watercolour")
    posted = editor_form()
    first = library.paint(library.workflow(), posted)
    api = library.workflow(SaveImage={"filename_prefix": "again"})
    entry = comfy_server.wait(comfy_server.post_prompt(api, posted))
    assert SAMPLER in cached_nodes(entry)
    saved = Image.open(io.BytesIO(picture(comfy_server, entry)))
    assert saved.tobytes() == first.tobytes()
    assert (saved.info["style_rag"], saved.info["workflow"]) == (first.info["style_rag"], first.info["workflow"])
    assert prompt_of(saved)[RETRIEVE]["inputs"]["pinned"] == ""
    assert entry["prompt"][3]["extra_pnginfo"]["workflow"] == posted

    library.add("blueprint")
    pins = widgets_of(json.loads(saved.info["workflow"]), "RetrieveStyle")[-1]
    again = library.paint(library.workflow(RetrieveStyle={"pinned": pins}))
    assert saved.tobytes() == again.tobytes()
    assert saved.tobytes() != library.paint(library.workflow()).tobytes()


def test_a_picture_without_a_match_is_made_again_without_one(comfy_server: ComfyServer) -> None:
    library = Library(comfy_server, "abstains")
    library.add("noir")
    api = library.workflow(RetrieveStyle={"filter": "tag:blueprint"})
    first = library.paint(api)
    library.add("blueprint")
    assert names_of(first) == []
    assert names_of(library.paint(api)) != []
    assert prompt_of(first)[RETRIEVE]["inputs"]["pinned"] == "none"
    assert same(first, library.paint(prompt_of(first)))


def test_the_picture_of_the_best_match_is_pinned_too(comfy_server: ComfyServer) -> None:
    library = Library(comfy_server, "by picture")
    library.add("noir", "watercolour")
    api = library.workflow()
    api[SAMPLER]["inputs"]["reference_image"] = [RETRIEVE, 1]
    del api[SAMPLER]["inputs"]["references"]
    first = library.paint(api)
    library.add("blueprint")
    assert not np.array_equal(np.asarray(first), np.asarray(library.paint(api)))
    assert same(first, library.paint(prompt_of(first)))


def test_a_pinned_picture_that_is_gone_is_named_in_one_sentence(comfy_server: ComfyServer) -> None:
    library = Library(comfy_server, "shrinks")
    library.add("noir", "watercolour")
    first = library.paint(library.workflow())
    [name] = names_of(first)
    for path in library.folder.glob(f"{name}.*"):
        path.unlink()
    api = {id: {key: node[key] for key in ("class_type", "inputs")} for id, node in prompt_of(first).items()}
    with pytest.raises(ComfyError, match=r"pinned style '[0-9a-f]{64}' is not in knowledge base 'shrinks', or no "):
        comfy_server.run(api)  # without `is_changed`, by which ComfyUI would take the folder for unchanged


def test_the_pngs_workflow_is_pinned_and_its_seed_fixed_and_nobody_elses(comfy_server: ComfyServer) -> None:
    """What ComfyUI keeps in its history, and the editor opens from there, is what was posted."""
    library = Library(comfy_server, "editor")
    library.add("noir", "watercolour")
    seeds = [*widgets_of(EDITOR, "ControlNetIPAdapterSampler")]
    seeds[3] = "randomize"
    posted = editor_form(ControlNetIPAdapterSampler=seeds)
    comfy_server.free()
    prompt_id = comfy_server.post_prompt(library.workflow(), posted)
    entry = comfy_server.wait(prompt_id)
    png = Image.open(io.BytesIO(picture(comfy_server, entry)))
    written = json.loads(png.info["workflow"])
    [reference] = json.loads(png.info["style_rag"])["references"]
    pins = widgets_of(written, "RetrieveStyle")[-1]
    assert pins == prompt_of(png)[RETRIEVE]["inputs"]["pinned"]
    assert pins.split()[0] == reference["id"]
    assert float(pins.split()[1]) == pytest.approx(reference["score"], abs=1e-4)
    assert widgets_of(written, "ControlNetIPAdapterSampler") == [*seeds[:3], "fixed", *seeds[4:]]
    _, _, prompt, extra, *_ = entry["prompt"]
    assert prompt[RETRIEVE]["inputs"]["pinned"] == ""
    assert extra["extra_pnginfo"]["workflow"] == posted


@pytest.mark.parametrize("workflow", [{"nodes": None}, {"nodes": [1]}, {"nodes": [{"id": 5, "inputs": [2]}]}])
def test_a_workflow_that_no_editor_wrote_costs_no_picture(comfy_server: ComfyServer, workflow: Json) -> None:
    api = quickstart(ControlNetIPAdapterSampler={"seed": 77 + len(str(workflow))})
    png = Image.open(io.BytesIO(picture(comfy_server, comfy_server.wait(comfy_server.post_prompt(api, workflow)))))
    assert json.loads(png.info["workflow"]) == workflow
    assert prompt_of(png).keys() == QUICKSTART.keys()


def test_a_prompt_that_was_posted_bare_has_info_in_its_png(comfy_server: ComfyServer) -> None:
    body = {"prompt": quickstart(ControlNetIPAdapterSampler={"seed": 90})}
    prompt_id = comfy_server.post_json("/prompt", body)["prompt_id"]
    png = Image.open(io.BytesIO(picture(comfy_server, comfy_server.wait(prompt_id))))
    assert json.loads(png.info["style_rag"])["settings"]["seed"] == 90


def test_a_picture_that_was_painted_over_is_not_taken_for_the_old_one(comfy_server: ComfyServer) -> None:
    library = Library(comfy_server, "painted over")
    library.add("noir", "watercolour")
    first = library.paint(library.workflow())
    [name] = names_of(first)
    file = next(path for path in library.folder.glob(f"{name}.*") if path.suffix != ".json")
    Image.new("RGB", (64, 64), "red").save(file)
    api = prompt_of(first)
    api[node_id("StyleKnowledgeBase")]["inputs"]["update"] = "open"
    comfy_server.free()
    with pytest.raises(ComfyError, match="can't be used, its file shows another picture now"):
        comfy_server.run(api)
