"""The contract of ids, inputs, defaults, ranges and outputs, as /object_info shows it. These names are permanent."""

from typing import Any

import pytest
from comfyui import ComfyServer
from node_texts import node_texts, read_texts
from pack_names import SERVED_FOLDER

# Input: type, default, range. Types in capitals are ComfyUI's; a tuple is what a COMBO must offer, in its order.
NODES: dict[str, dict[str, Any]] = {
    "StyleKnowledgeBase": {
        "required": {
            "name": ("STRING", "starter", None),
            "sources": ("STRING", "styles", None),
            "encoder": (
                ("bundled/clip-tiny", "openai/clip-vit-base-patch32", "openai/clip-vit-large-patch14"),
                "openai/clip-vit-base-patch32",
                None,
            ),
            "update": (("sync", "add", "rebuild", "open"), "sync", None),
        },
        "optional": {
            "images": ("IMAGE", None, None),
            "captions": ("STRING", "", None),
            "tags": ("STRING", "", None),
            "pipeline": ("STYLE_PIPELINE", None, None),
            "caption_encoder": (("none", "sentence-transformers/all-MiniLM-L6-v2"), "none", None),
        },
        "output": {"knowledge_base": "STYLE_KB", "report": "STRING"},
    },
    "RetrieveStyle": {
        "required": {
            "knowledge_base": ("STYLE_KB", None, None),
            "prompt": ("STRING", "", None),
            "strategy": (("hybrid", "semantic", "keyword", "image"), "hybrid", None),
            "top_k": ("INT", 1, (1, 16)),
            "min_score": ("FLOAT", 0.0, (0, 1)),
            "diversity": ("FLOAT", 0.0, (0, 1)),
            "filter": ("STRING", "", None),
        },
        "optional": {
            "query_image": ("IMAGE", None, None),
            "avoid": ("STRING", "", None),
            "pinned": ("STRING", "", None),
        },
        "output": {"references": "STYLE_REFERENCES", "image": "IMAGE", "images": "IMAGE", "explanation": "STRING"},
    },
    "CannyFromSketch": {
        "required": {
            "image": ("IMAGE", None, None),
            "mode": (("auto", "canny", "lineart", "edge_map"), "auto", None),
            "low_threshold": ("INT", 50, (0, 255)),
            "high_threshold": ("INT", 150, (0, 255)),
            "width": ("INT", 0, (0, 8192)),
            "height": ("INT", 0, (0, 8192)),
            "fit": (("pad", "crop", "stretch"), "pad", None),
        },
        "optional": {"mask": ("MASK", None, None)},
        "output": {"edges": "IMAGE", "report": "STRING"},
    },
    "LoadStylePipeline": {
        "required": {
            "base_model": (("bundled/sd-tiny",), None, None),
            "controlnet": (("bundled/controlnet-canny-tiny",), None, None),
            "ip_adapter": (("bundled/ip-adapter-tiny",), None, None),
            "precision": (("auto", "fp16", "bf16", "fp32", "int8"), "auto", None),
        },
        "optional": {},
        "output": {"pipeline": "STYLE_PIPELINE"},
    },
    "LoadStyleLoRA": {
        "required": {
            "pipeline": ("STYLE_PIPELINE", None, None),
            "lora": ((), None, None),
            "strength": ("FLOAT", 1.0, (-2, 2)),
        },
        "optional": {},
        "output": {"pipeline": "STYLE_PIPELINE"},
    },
    "ControlNetIPAdapterSampler": {
        "required": {
            "pipeline": ("STYLE_PIPELINE", None, None),
            "prompt": ("STRING", "", None),
            "negative_prompt": ("STRING", "", None),
            "seed": ("INT", 0, (0, 2**64 - 1)),
            "steps": ("INT", 20, (1, 150)),
            "cfg": ("FLOAT", 7.5, (1, 30)),
            "scheduler": (("dpmpp_2m_karras", "euler", "ddim"), None, None),
            "width": ("INT", 0, (0, 2048)),
            "height": ("INT", 0, (0, 2048)),
            "batch_size": ("INT", 1, (1, 16)),
            "control_strength": ("FLOAT", 1.0, (0, 2)),
            "control_start": ("FLOAT", 0.0, (0, 1)),
            "control_end": ("FLOAT", 1.0, (0, 1)),
            "style_strength": ("FLOAT", 0.6, (0, 2)),
            "style_start": ("FLOAT", 0.0, (0, 1)),
            "style_end": ("FLOAT", 1.0, (0, 1)),
            "style_mode": (("full", "style", "composition"), "full", None),
            "speed": (("exact", "balanced", "turbo"), "exact", None),
        },
        "optional": {
            "edges": ("IMAGE", None, None),
            "references": ("STYLE_REFERENCES", None, None),
            "reference_image": ("IMAGE", None, None),
            "combine": (("joined", "averaged"), "joined", None),
            "reference_weights": ("STRING", "", None),
            "negative_reference": ("IMAGE", None, None),
            "style_mask": ("MASK", None, None),
            "reference_fit": (("crop", "pad", "stretch", "crops"), "crop", None),
            "clip_skip": ("INT", 1, (1, 4)),
            "prediction": (("auto", "epsilon", "v_prediction"), "auto", None),
        },
        "output": {"image": "IMAGE", "info": "STRING"},
    },
    "ScoreStyledImage": {
        "required": {
            "image": ("IMAGE", None, None),
            "edges": ("IMAGE", None, None),
            "references": ("STYLE_REFERENCES", None, None),
            "prompt": ("STRING", "", None),
            "knowledge_base": ("STYLE_KB", None, None),
        },
        "optional": {},
        "output": {"edge_f1": "FLOAT", "style_score": "FLOAT", "prompt_score": "FLOAT", "report": "STRING"},
    },
}


@pytest.fixture(scope="module")
def object_info(comfy_server: ComfyServer) -> dict[str, Any]:
    return comfy_server.get_json("/object_info")


@pytest.mark.parametrize("node_id", NODES)
def test_a_node_has_the_inputs_of_the_contract_in_its_order(object_info: dict[str, Any], node_id: str) -> None:
    info = object_info[node_id]
    for group in ("required", "optional"):
        wanted = NODES[node_id][group]
        assert list(info["input"].get(group, {})) == list(wanted)
        for name, (kind, default, limits) in wanted.items():
            found_kind, options = info["input"][group][name]
            if isinstance(kind, tuple):
                offered = options["options"] if found_kind == "COMBO" else found_kind
                assert [choice for choice in offered if choice in kind] == list(kind), name
            else:
                assert found_kind == kind, name
            assert options.get("default") == default, name
            if limits:
                assert (options["min"], options["max"]) == limits, name
            assert options["tooltip"], name


@pytest.mark.parametrize("node_id", NODES)
def test_a_node_has_the_outputs_of_the_contract(object_info: dict[str, Any], node_id: str) -> None:
    info = object_info[node_id]
    assert dict(zip(info["output_name"], info["output"], strict=True)) == NODES[node_id]["output"]
    assert all(info["output_tooltips"])
    assert info["description"]
    assert info["category"] == "Style RAG"


def test_only_a_list_is_a_list(object_info: dict[str, Any]) -> None:
    assert object_info["RetrieveStyle"]["output_is_list"] == [False, False, True, False]


@pytest.mark.parametrize("node_id", NODES)
def test_the_help_page_names_every_input_and_output(comfy_server: ComfyServer, node_id: str) -> None:
    page = comfy_server.request(f"/extensions/{SERVED_FOLDER}/docs/{node_id}.md").decode()
    names = [name for group in NODES[node_id].values() for name in group]
    assert not [name for name in names if f"**{name}**" not in page]


def test_the_english_texts_are_those_of_the_schemas(object_info: dict[str, Any]) -> None:
    """dev/node_texts.py writes them."""
    texts = node_texts(object_info)
    assert list(texts) == sorted(NODES)
    assert read_texts("en") == texts


def test_comfyui_serves_the_texts_of_both_languages(comfy_server: ComfyServer) -> None:
    served = comfy_server.get_json("/i18n")
    assert {language: served[language]["nodeDefs"] for language in served} == {
        language: read_texts(language) for language in ("en", "zh")
    }
    assert served["zh"]["styleRag"] == read_texts("zh", "main")["styleRag"]
