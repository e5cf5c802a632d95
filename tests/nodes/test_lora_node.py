"""LoadStyleLoRA: what it finds, what it refuses by the header, and that it leaves its input alone."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
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
        state = {f"{LAYER}.lora_down.weight": torch.ones(2, width), f"{LAYER}.lora_up.weight": torch.ones(160, 2)}
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


def turbo(comfy_nodes: dict[str, Any], monkeypatch: pytest.MonkeyPatch, bundled: Path) -> dict[str, Any]:
    """The settings of a picture that the bundled models made at speed turbo, where `bundled` is their own LoRA."""
    node = comfy_nodes["ControlNetIPAdapterSampler"]
    package = node.__module__.rpartition(".")[0]
    monkeypatch.setattr(sys.modules[f"{package}.host.paths"], "BUNDLED_TURBO", bundled)
    # as a graph without the editor sets it
    monkeypatch.setattr(node, "hidden", SimpleNamespace(unique_id="1", prompt=None, extra_pnginfo=None))
    inputs = node.define_schema().inputs
    widgets = {item.id: item.default for item in inputs if getattr(item, "default", None) is not None}
    widgets |= {"pipeline": None, "prompt": "a house", "scheduler": "ddim", "width": 64, "height": 64, "speed": "turbo"}
    assert node.check_lazy_status(**widgets) == ["pipeline"]
    models = ("bundled/sd-tiny", "bundled/controlnet-canny-tiny", "bundled/ip-adapter-tiny")
    widgets["pipeline"] = comfy_nodes["LoadStylePipeline"].execute(*models, "fp32").args[0]
    return json.loads(node.execute(**widgets).args[1])


def test_turbo_takes_the_bundled_models_own_lora(
    comfy_nodes: dict[str, Any], loras: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = save(
        tmp_path / "lcm_own.safetensors",
        {f"{LAYER}.lora_down.weight": torch.ones(2, 128), f"{LAYER}.lora_up.weight": torch.ones(160, 2)},
    )
    info = turbo(comfy_nodes, monkeypatch, own)
    made = {key: info["settings"][key] for key in ("scheduler", "num_inference_steps", "guidance_scale")}
    assert made == {"scheduler": "lcm", "num_inference_steps": 8, "guidance_scale": 1.0}
    assert [lora["name"] for lora in info["loras"]] == ["lcm_own.safetensors"]


def test_turbo_without_any_lora_is_refused_before_the_weights_are_loaded(
    comfy_nodes: dict[str, Any], loras: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="speed turbo needs a LoRA that was distilled"):
        turbo(comfy_nodes, monkeypatch, tmp_path / "none.safetensors")


def test_a_bundled_lora_that_does_not_fit_the_models_is_not_taken(
    comfy_nodes: dict[str, Any], loras: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = save(
        tmp_path / "lcm_other.safetensors",
        {f"{LAYER}.lora_down.weight": torch.ones(2, 768), f"{LAYER}.lora_up.weight": torch.ones(1280, 2)},
    )
    with pytest.raises(ValueError, match="speed turbo needs a LoRA that was distilled"):
        turbo(comfy_nodes, monkeypatch, other)
