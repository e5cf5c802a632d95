"""The sampler's inputs about several references, from the node's own call to what `info` tells of them."""

import importlib
import json
from typing import Any

import pytest
import torch

Nodes = dict[str, Any]

WIDGETS: dict[str, Any] = {
    "prompt": "a house", "negative_prompt": "", "seed": 1, "steps": 2, "cfg": 2.0, "scheduler": "ddim", "width": 64,
    "height": 64, "batch_size": 1, "control_strength": 1.0, "control_start": 0.0, "control_end": 1.0,
    "style_strength": 1.0, "style_start": 0.0, "style_end": 1.0, "style_mode": "full", "speed": "exact",
}  # fmt: skip


@pytest.fixture(scope="module")
def pipeline(comfy_nodes: Nodes) -> Any:
    bundled = ("bundled/sd-tiny", "bundled/controlnet-canny-tiny", "bundled/ip-adapter-tiny")
    return comfy_nodes["LoadStylePipeline"].execute(*bundled, "fp32").args[0]


@pytest.fixture(scope="module")
def references(comfy_nodes: Nodes) -> Any:
    """Two of the starter library, whose scores differ."""
    opened = comfy_nodes["StyleKnowledgeBase"].execute("shared", "styles", "bundled/clip-tiny", "sync").args[0]
    retrieve = comfy_nodes["RetrieveStyle"].execute
    found = [retrieve(opened, words, "semantic", 1, 0.0, 0.0, "").args[0] for words in ("a blueprint", "rusted metal")]
    ids = "\n".join(one.matches[0].record.id for one in found)
    return retrieve(opened, "a house as a blueprint", "semantic", 2, 0.0, 0.0, "", pinned=ids).args[0]


def picture(seed: int, height: int = 96, width: int = 96) -> torch.Tensor:
    return torch.rand(1, height, width, 3, generator=torch.Generator().manual_seed(seed))


def paint(comfy_nodes: Nodes, pipeline: Any, **given: Any) -> tuple[torch.Tensor, dict[str, Any]]:
    """The node's picture and `info`, called as ComfyUI calls it."""
    sampler = comfy_nodes["ControlNetIPAdapterSampler"]
    hidden = importlib.import_module("comfy_api.latest").io.Hidden
    held = {hidden.extra_pnginfo: {}}
    # As ComfyUI 0.3 hands it over, and as later versions do.
    clone = sampler.PREPARE_CLASS_CLONE({**held, "hidden_inputs": held})
    image, info = clone.execute(pipeline, **WIDGETS | given).args
    return image, json.loads(info)


def weights(info: dict[str, Any]) -> list[float]:
    return [reference["weight"] for reference in info["references"]]


def test_references_weigh_by_their_scores_and_info_has_what_makes_the_picture_again(
    comfy_nodes: Nodes, pipeline: Any, references: Any
) -> None:
    image, info = paint(comfy_nodes, pipeline, references=references)
    first, second = (match.score for match in references.matches)
    assert first > second + 0.01 > 0.5
    assert weights(info) == pytest.approx(
        [share / (first + second - 1) for share in (first - 0.5, second - 0.5)], abs=1e-4
    )
    written = ", ".join(map(str, weights(info)))
    again, told = paint(comfy_nodes, pipeline, references=references, reference_weights=written)
    assert torch.equal(again, image)
    assert told["references"] == info["references"]
    other, told = paint(comfy_nodes, pipeline, references=references, reference_weights="1 3")
    assert weights(told) == [0.25, 0.75]
    assert not torch.equal(other, image)
    averaged, told = paint(comfy_nodes, pipeline, references=references, combine="averaged")
    assert (told["settings"]["combine"], weights(told)) == ("averaged", weights(info))
    assert not torch.equal(averaged, image)


def test_pictures_without_a_score_weigh_the_same(comfy_nodes: Nodes, pipeline: Any) -> None:
    both = torch.cat([picture(0), picture(1)])
    image, info = paint(comfy_nodes, pipeline, reference_image=both)
    assert weights(info) == [0.5, 0.5]
    assert torch.equal(paint(comfy_nodes, pipeline, reference_image=both, reference_weights="2, 2")[0], image)
    alone, info = paint(comfy_nodes, pipeline, reference_image=picture(0), reference_weights="0.2")
    assert weights(info) == [1.0]
    assert torch.equal(alone, paint(comfy_nodes, pipeline, reference_image=picture(0), combine="averaged")[0])


def test_a_negative_reference_changes_the_picture_and_is_told_by_its_hash(comfy_nodes: Nodes, pipeline: Any) -> None:
    before, info = paint(comfy_nodes, pipeline, reference_image=picture(0))
    assert info["negative_reference"] is None
    image, info = paint(comfy_nodes, pipeline, reference_image=picture(0), negative_reference=picture(1))
    assert not torch.equal(image, before)
    assert (
        info["negative_reference"] == paint(comfy_nodes, pipeline, reference_image=picture(1))[1]["references"][0]["id"]
    )
    assert torch.equal(paint(comfy_nodes, pipeline, reference_image=picture(0))[0], before)


def test_a_mask_bounds_the_style_and_is_told_by_its_hash(comfy_nodes: Nodes, pipeline: Any) -> None:
    both = {"reference_image": torch.cat([picture(0), picture(1)])}
    before, info = paint(comfy_nodes, pipeline, **both)
    assert info["style_mask"] is None
    left = torch.zeros(1, 32, 32)
    left[:, :, :16] = 1
    one, told = paint(comfy_nodes, pipeline, **both, style_mask=left)
    each, other = paint(comfy_nodes, pipeline, **both, style_mask=torch.cat([left, 1 - left]))
    assert len({info["style_mask"], told["style_mask"], other["style_mask"]}) == 3
    assert not any(torch.equal(a, b) for a, b in ((before, one), (one, each), (before, each)))
    assert torch.equal(paint(comfy_nodes, pipeline, **both, style_mask=left[0])[0], one)
    assert torch.equal(paint(comfy_nodes, pipeline, **both)[0], before)


def test_a_fit_changes_what_is_seen_of_a_wide_reference_and_stands_in_info(comfy_nodes: Nodes, pipeline: Any) -> None:
    wide = {"reference_image": picture(0, width=200)}
    before, info = paint(comfy_nodes, pipeline, **wide)
    assert info["settings"]["reference_fit"] == "crop"
    padded, info = paint(comfy_nodes, pipeline, **wide, reference_fit="pad")
    assert info["settings"]["reference_fit"] == "pad"
    assert not torch.equal(padded, before)
    assert torch.equal(paint(comfy_nodes, pipeline, **wide)[0], before)


def test_without_a_reference_its_weights_are_nothing(comfy_nodes: Nodes, pipeline: Any) -> None:
    plain, info = paint(comfy_nodes, pipeline)
    assert info["references"] == []
    assert torch.equal(paint(comfy_nodes, pipeline, reference_weights="0.7, 0.3")[0], plain)
