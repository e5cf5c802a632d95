"""What bad input answers over HTTP: one sentence, before any weights are loaded."""

from typing import Any

import pytest
from comfy_client import ComfyError, PromptRejected
from comfyui import ComfyServer
from test_quickstart import quickstart

Json = dict[str, Any]
LOADS = "Requested to load UNet2DConditionModel"  # in the log


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"StyleKnowledgeBase": {"sources": "no such folder"}}, "source 'no such folder' does not exist (looked for "),
        ({"StyleKnowledgeBase": {"sources": "ftp://example.org"}}, "only http:// and https:// are fetched"),
        ({"StyleKnowledgeBase": {"name": "../outside"}}, "can't name a knowledge base"),
        (
            {"LoadStylePipeline": {"base_model": "missing.safetensors"}},
            "base_model 'missing.safetensors' was not found: looked in ",
        ),
        ({"LoadStylePipeline": {"precision": "int3"}}, "precision 'int3' does not exist"),
        ({"RetrieveStyle": {"filter": "blue"}}, "filter 'blue', character 1: 'blue' is not understood"),
        (
            {"RetrieveStyle": {"prompt": "word " * 10_000}},
            "prompt has 50,000 characters (10,000 words); at most 8,000 are allowed",
        ),
        ({"PrimitiveStringMultiline": {"value": "word " * 10_000}}, "prompt has 50,000 characters (10,000 words)"),
        (
            {"CannyFromSketch": {"width": 8, "height": 8}},
            "a picture of 8x8 can't be made: each side must be 64 to 2048",
        ),
        ({"CannyFromSketch": {"width": 8192, "height": 8192}}, "a picture of 8192x8192 can't be made"),
        ({"CannyFromSketch": {"mode": "triangle"}}, "mode 'triangle' does not exist"),
        (
            {"ControlNetIPAdapterSampler": {"control_start": 0.5, "control_end": 0.5}},
            "control_start is 0.5 and",
        ),
        ({"ControlNetIPAdapterSampler": {"prompt": "(a house:1e999)"}}, "prompt gives 'a house' the weight inf"),
        ({"StyleKnowledgeBase": {"name": "empty", "update": "open"}}, "knowledge base 'empty' is empty"),
    ],
)
def test_bad_input_answers_one_sentence_before_the_pipeline_loads(
    comfy_server: ComfyServer, changes: Json, sentence: str
) -> None:
    comfy_server.free()
    before = comfy_server.log_text().count(LOADS)
    with pytest.raises(ComfyError) as error:
        comfy_server.run(quickstart(**changes))
    assert sentence in str(error.value)
    assert comfy_server.log_text().count(LOADS) == before


def test_loading_the_pipeline_is_in_the_log_as_the_test_above_reads_it(comfy_server: ComfyServer) -> None:
    comfy_server.free()
    before = comfy_server.log_text().count(LOADS)
    comfy_server.run(quickstart(ControlNetIPAdapterSampler={"seed": 44}))
    assert comfy_server.log_text().count(LOADS) == before + 1


def test_an_input_out_of_range_is_refused_by_its_range(comfy_server: ComfyServer) -> None:
    with pytest.raises(PromptRejected, match="top_k"):
        comfy_server.run(quickstart(RetrieveStyle={"top_k": 17}))
