"""One mistake is one sentence, at the widget that is wrong, and nothing of the workflow runs."""

from __future__ import annotations

import copy
from typing import Any
from urllib.error import HTTPError

import pytest
from comfy_client import PromptRejected
from comfyui import ComfyServer
from http_calls import ENCODER
from test_quickstart import QUICKSTART, node_id, quickstart

Json = dict[str, Any]
KB, SEARCH, PIPELINE = (node_id(name) for name in ("StyleKnowledgeBase", "RetrieveStyle", "LoadStylePipeline"))
SAMPLER = node_id("ControlNetIPAdapterSampler")


def refused(server: ComfyServer, api: Json) -> list[tuple[str, str, str]]:
    """(node, input, sentence) of each error; the answer is that of a workflow of which nothing can be made."""
    with pytest.raises(PromptRejected) as error:
        server.post_prompt(api)
    assert error.value.body["error"]["type"] == "prompt_outputs_failed_validation"
    found = []
    for id, node in error.value.body["node_errors"].items():
        assert node["class_type"] == api[id]["class_type"]
        assert set(node["dependent_outputs"]) <= set(api)
        for reason in node["errors"]:
            name = reason["extra_info"]["input_name"]
            assert reason["details"].startswith(f"{name} - ")
            found.append((id, name, reason["details"].removeprefix(f"{name} - ")))
    return found


@pytest.mark.parametrize(
    ("node", "name", "value", "sentence"),
    [
        (KB, "sources", "no such folder", "source 'no such folder' does not exist (looked for "),
        (KB, "sources", "styles\nftp://example.org", "only http:// and https:// are fetched"),
        (KB, "name", "../outside", "name '../outside' can't name a knowledge base"),
        (KB, "encoder", "none", "encoder 'none' was not found: looked in "),
        (KB, "update", "delete", "update 'delete' does not exist: choose one of sync, add, rebuild, open."),
        (KB, "caption_encoder", "none at all", "caption_encoder 'none at all' was not found"),
        (SEARCH, "filter", "blue", "filter 'blue', character 1: 'blue' is not understood"),
        (SEARCH, "strategy", "luck", "strategy 'luck' does not exist: choose one of "),
        (PIPELINE, "base_model", "none.ckpt", "base_model 'none.ckpt' was not found: looked in "),
        (PIPELINE, "controlnet", "bundled/sd-tiny", "controlnet 'bundled/sd-tiny' was not found: looked in "),
        (PIPELINE, "ip_adapter", "none.bin", "ip_adapter 'none.bin' was not found: looked in "),
        (PIPELINE, "precision", "int3", "precision 'int3' does not exist: choose one of auto, "),
        (SAMPLER, "negative_prompt", "word " * 10_000, "negative_prompt has 50,000 characters (10,000 words)"),
    ],
)
def test_one_mistake_is_one_sentence_at_its_widget(
    comfy_server: ComfyServer, node: str, name: str, value: str, sentence: str
) -> None:
    [(id, at, said)] = refused(comfy_server, quickstart(**{QUICKSTART[node]["class_type"]: {name: value}}))
    assert (id, at) == (node, name)
    assert sentence in said
    assert said.count(sentence) == 1


def test_files_that_do_not_go_together_are_one_sentence_at_the_one_to_blame(comfy_server: ComfyServer) -> None:
    file = comfy_server.base / "models" / "controlnet" / "no_controlnet.safetensors"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes((len("{}")).to_bytes(8, "little") + b"{}")
    try:
        [(id, at, said)] = refused(comfy_server, quickstart(LoadStylePipeline={"controlnet": file.name}))
    finally:
        file.unlink()
    assert (id, at) == (PIPELINE, "controlnet")
    assert file.name in said


def test_two_mistakes_are_two_sentences(comfy_server: ComfyServer) -> None:
    wrong = quickstart(
        StyleKnowledgeBase={"name": "../outside", "sources": "no such folder"}, RetrieveStyle={"filter": "blue"}
    )
    assert {(id, name) for id, name, _ in refused(comfy_server, wrong)} == {
        (KB, "name"),
        (KB, "sources"),
        (SEARCH, "filter"),
    }


def test_nothing_runs_of_a_workflow_with_a_mistake(comfy_server: ComfyServer) -> None:
    """Older pages say nothing of an output that ComfyUI leaves out while it makes the others."""
    before = set(comfy_server.get_json("/history"))
    refused(comfy_server, quickstart(StyleKnowledgeBase={"sources": "no such folder"}))
    queue = comfy_server.get_json("/queue")
    assert (queue["queue_running"], queue["queue_pending"]) == ([], [])
    assert set(comfy_server.get_json("/history")) == before
    assert comfy_server.log_text().count("Style RAG: StyleKnowledgeBase (node") >= 1


def test_a_node_that_no_output_needs_is_not_looked_at(comfy_server: ComfyServer) -> None:
    api: Json = {
        "1": {"class_type": "PrimitiveInt", "inputs": {"value": 1}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
        "3": {"class_type": "StyleKnowledgeBase",
              "inputs": {"name": "x", "sources": "no such folder", "encoder": ENCODER, "update": "sync"}},
    }  # fmt: skip
    comfy_server.run(api)
    api["4"] = {"class_type": "PreviewAny", "inputs": {"source": ["3", 1]}}
    assert [at for _, at, _ in refused(comfy_server, api)] == ["sources"]
    body = {"prompt": api, "partial_execution_targets": ["2"]}
    comfy_server.wait(comfy_server.post_json("/prompt", body)["prompt_id"])


def test_what_is_wrong_for_comfyui_is_refused_by_comfyui(comfy_server: ComfyServer) -> None:
    for change in ({"class_type": "NoSuchNode"}, {"inputs": {"knowledge_base": ["99", 0]}}):
        api = copy.deepcopy(QUICKSTART)
        api[SEARCH] |= change
        with pytest.raises((PromptRejected, HTTPError)) as error:
            comfy_server.post_prompt(api)
        assert "Style RAG" not in str(error.value)
    with pytest.raises(PromptRejected, match="top_k"):
        comfy_server.run(quickstart(RetrieveStyle={"top_k": 17}))


@pytest.mark.parametrize("body", [b"", b"[]", b"StyleKnowledgeBase", b'{"prompt": ["StyleKnowledgeBase"]}'])
def test_what_is_no_workflow_is_left_to_comfyui(comfy_server: ComfyServer, body: bytes) -> None:
    with pytest.raises(HTTPError):
        comfy_server.request("/prompt", body, {"Content-Type": "application/json"})
    comfy_server.run(quickstart())
