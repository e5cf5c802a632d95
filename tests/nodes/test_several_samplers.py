"""What a PNG says of its picture when several samplers paint in one graph, and of the LoRA that turbo took."""

from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from test_execute import Nodes, module

Json = dict[str, Any]
SEARCH: Json = {"class_type": "RetrieveStyle", "inputs": {"prompt": "a house", "pinned": ""}}
PICTURES = tuple(Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))


def sampler(**inputs: Any) -> Json:
    return {"class_type": "ControlNetIPAdapterSampler", "inputs": inputs}


class Run:
    """One run of a graph: what its samplers have written, in the order in which they painted."""

    def __init__(self, comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch, prompt: Json) -> None:
        self.provenance, self.prompt, self.pnginfo = module(comfy_nodes, "provenance"), prompt, {}
        self.node, self.monkeypatch = comfy_nodes["ControlNetIPAdapterSampler"], monkeypatch
        reader = self.provenance.content_id
        records = [SimpleNamespace(record=SimpleNamespace(id=reader(one)), score=0.75) for one in PICTURES]
        self.matches = SimpleNamespace(matches=records)
        self.first = reader(PICTURES[0])

    def paint(self, id: str, matches: bool) -> Json:
        """The PNG's texts after a node has painted, with all matches of a search or with its best picture."""
        hidden = SimpleNamespace(unique_id=id, prompt=self.prompt, extra_pnginfo=self.pnginfo)
        self.monkeypatch.setattr(self.node, "hidden", hidden)
        given = (self.matches, PICTURES) if matches else (None, PICTURES[:1])
        self.provenance.write(self.node, *given, {"painted by": id})
        return dict(self.pnginfo)

    def pins(self, search: str) -> list[str]:
        return self.prompt[search]["inputs"]["pinned"].splitlines()


def test_each_picture_has_the_info_of_the_sampler_before_it_and_that_of_all_by_their_ids(
    comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = {"1": SEARCH, "2": SEARCH, "3": sampler(references=["1", 0]), "4": sampler(references=["2", 0])}
    run = Run(comfy_nodes, monkeypatch, graph)
    first, second = run.paint("3", True), run.paint("4", True)
    assert first["style_rag"] == first["style_rag_3"] == {"painted by": "3"}
    assert second["style_rag"] == second["style_rag_4"] == {"painted by": "4"}
    assert second["style_rag_3"] == {"painted by": "3"}
    assert len(run.pins("1")) == len(run.pins("2")) == 2


def test_a_sampler_alone_writes_its_info_once(comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(comfy_nodes, monkeypatch, {"1": SEARCH, "3": sampler(references=["1", 0])})
    assert {key for key in run.paint("3", True) if key.startswith("style_rag")} == {"style_rag"}


@pytest.mark.parametrize("order", ["34", "43"])
def test_the_best_picture_alone_does_not_cut_the_pins_of_all_matches(
    comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    graph = {"1": SEARCH, "3": sampler(references=["1", 0]), "4": sampler(reference_image=["1", 1])}
    run = Run(comfy_nodes, monkeypatch, graph)
    for id in order:
        run.paint(id, id == "3")
    assert run.pins("1") == [f"{match.record.id} 0.75" for match in run.matches.matches]


def test_the_best_picture_alone_is_pinned_in_the_place_of_another(
    comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = SEARCH | {"inputs": {"pinned": "0" * 64}}
    run = Run(comfy_nodes, monkeypatch, {"1": search, "4": sampler(reference_image=["1", 1])})
    run.paint("4", False)
    assert run.pins("1") == [run.first]


def test_a_painting_is_known_again_by_all_that_led_to_it_but_not_by_the_nodes_ids(comfy_nodes: Nodes) -> None:
    provenance = module(comfy_nodes, "provenance")

    def signature(prompt: Json, id: str) -> str:
        request = provenance._with_pnginfo({"prompt": prompt})
        return request["extra_data"]["extra_pnginfo"].signatures[id]

    plainly = signature({"1": SEARCH, "3": sampler(references=["1", 0])}, "3")
    assert signature({"7": SEARCH, "2": {"class_type": "Other"}, "5": sampler(references=["7", 0])}, "5") == plainly
    other = SEARCH | {"inputs": SEARCH["inputs"] | {"prompt": "a tree"}}
    changed = [
        signature({"1": other, "3": sampler(references=["1", 0])}, "3"),
        signature({"1": SEARCH, "3": sampler(references=["1", 1])}, "3"),
        signature({"1": SEARCH, "3": sampler(references=["1", 0], seed=1)}, "3"),
        signature({"3": sampler(references=["3", 0])}, "3"),  # a circle, which ComfyUI refuses later
    ]
    assert len({plainly, *changed}) == 5
