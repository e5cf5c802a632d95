"""Workflows that were saved with released versions: today's nodes read them as they were meant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from places import ROOT

Json = dict[str, Any]
SAVED = ROOT / "tests" / "saved_workflows"
NAMES = sorted(path.relative_to(SAVED).as_posix() for path in SAVED.glob("*/*.json"))


def read(path: Path) -> Json:
    return json.loads(path.read_text(encoding="utf-8"))


def editor_form(name: str) -> Json:
    return read(SAVED / name)


def api_form(name: str) -> Json:
    return read((SAVED / name).parent / "api" / Path(name).name)


def inputs_of(node: Any) -> dict[str, Any]:
    """A node's inputs as ComfyUI lists them, in the order of its widgets."""
    types = node.INPUT_TYPES()
    return {**types["required"], **types.get("optional", {})}


def widgets_of(node: Any) -> Iterator[str]:
    """The names of a node's widgets, in the order in which a page stores their values."""
    for name, (kind, *options) in inputs_of(node).items():
        settings = options[0] if options else {}
        is_widget = isinstance(kind, list) or kind in ("STRING", "INT", "FLOAT", "BOOLEAN", "COMBO")
        if is_widget and not settings.get("forceInput"):
            yield name
            if settings.get("control_after_generate"):
                yield "control_after_generate"


def ours(nodes: dict[str, Any], name: str) -> list[tuple[Json, Any]]:
    return [(node, nodes[node["type"]]) for node in editor_form(name)["nodes"] if node["type"] in nodes]


def test_every_release_has_its_workflows() -> None:
    assert {Path(name).parts[0] for name in NAMES} >= {"0.1.0"}
    assert all((SAVED / name).parent.joinpath("api", Path(name).name).is_file() for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
class TestSavedWorkflow:
    def test_its_stored_values_reach_the_widgets_that_they_were_meant_for(
        self, comfy_nodes: dict[str, Any], name: str
    ) -> None:
        api, found = api_form(name), ours(comfy_nodes, name)
        assert found
        for node, cls in found:
            widgets = list(widgets_of(cls))
            assert len(node["widgets_values"]) <= len(widgets), node["type"]
            read_by_position = dict(zip(widgets, node["widgets_values"], strict=False))
            meant = api[str(node["id"])]["inputs"]
            fixed = {widget: value for widget, value in meant.items() if not isinstance(value, list)}
            assert {widget: read_by_position.get(widget) for widget in fixed} == fixed, node["type"]

    def test_its_nodes_have_every_input_that_it_names_and_need_no_other(
        self, comfy_nodes: dict[str, Any], name: str
    ) -> None:
        for node in api_form(name).values():
            if cls := comfy_nodes.get(node["class_type"]):
                assert set(node["inputs"]) <= set(inputs_of(cls)), node["class_type"]
                assert set(cls.INPUT_TYPES()["required"]) <= set(node["inputs"]), node["class_type"]

    def test_its_choices_are_still_offered(self, comfy_nodes: dict[str, Any], name: str) -> None:
        for node in api_form(name).values():
            if cls := comfy_nodes.get(node["class_type"]):
                for widget, (kind, *options) in inputs_of(cls).items():
                    choices = kind if isinstance(kind, list) else options[0].get("options") if options else None
                    value = node["inputs"].get(widget)
                    if choices and isinstance(value, str) and "." not in value:  # a file of a model may be elsewhere
                        assert value in choices, (node["class_type"], widget)

    def test_its_links_carry_what_they_carried(self, comfy_nodes: dict[str, Any], name: str) -> None:
        editor = editor_form(name)
        by_id = {node["id"]: node for node in editor["nodes"]}
        for link, source, slot, target, _, kind in editor["links"]:
            if cls := comfy_nodes.get(by_id[source]["type"]):
                output = by_id[source]["outputs"][slot]
                assert (cls.RETURN_NAMES[slot], cls.RETURN_TYPES[slot]) == (output["name"], output["type"])
            if cls := comfy_nodes.get(by_id[target]["type"]):
                wanted = next(each for each in by_id[target]["inputs"] if each.get("link") == link)
                declared = inputs_of(cls)[wanted["name"]][0]
                assert kind in declared.split(","), (by_id[target]["type"], wanted["name"])
