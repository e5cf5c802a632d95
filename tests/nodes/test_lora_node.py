"""LoadStyleLoRA: what it finds, what it refuses by the header, and that it leaves its input alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from published_layouts import save

LAYER = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"


@pytest.fixture
def loras(comfy_nodes: dict[str, Any]) -> Path:
    import folder_paths

    folder = Path(folder_paths.get_folder_paths("loras")[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name, width in (("tiny", 128), ("sdxl", 2048)):
        state = {f"{LAYER}.lora_down.weight": torch.ones(2, width), f"{LAYER}.lora_up.weight": torch.ones(96, 2)}
        save(folder / f"{name}.safetensors", state)
    return folder


def test_a_file_is_checked_by_its_header_before_anything_loads(comfy_nodes: dict[str, Any], loras: Path) -> None:
    node = comfy_nodes["LoadStyleLoRA"]
    assert node.validate_inputs("tiny.safetensors") is True
    assert node.validate_inputs(None) is True
    assert node.validate_inputs("sdxl.safetensors") == (
        "lora sdxl.safetensors is a LoRA for SDXL: choose one for SD 1.5."
    )
    assert node.validate_inputs("none.safetensors").startswith("lora 'none.safetensors' was not found: looked in ")
    assert "../x.safetensors' was not found" in node.validate_inputs("../x.safetensors")
    options = {item.id: item for item in node.define_schema().inputs}["lora"].options
    assert {"tiny.safetensors", "sdxl.safetensors"} <= set(options)


def test_it_chains_and_leaves_its_input_alone(comfy_nodes: dict[str, Any], loras: Path) -> None:
    bundled = ("bundled/sd-tiny", "bundled/controlnet-canny-tiny", "bundled/ip-adapter-tiny")
    pipeline = comfy_nodes["LoadStylePipeline"].execute(*bundled, "fp32").args[0]
    once = comfy_nodes["LoadStyleLoRA"].execute(pipeline, "tiny.safetensors", 0.5).args[0]
    twice = comfy_nodes["LoadStyleLoRA"].execute(once, "tiny.safetensors", -1.0).args[0]
    assert [[lora.strength for lora in loaded.loras] for loaded in (pipeline, once, twice)] == [[], [0.5], [0.5, -1.0]]
    assert twice.denoiser is pipeline.denoiser
