"""What ComfyUI's manager has on the device in each stage, with `meta` as the device and models of SD 1.5's sizes."""

import gc
import importlib
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

import published_layouts as layouts
import pytest
import torch
from PIL import Image
from style_pack.generation import sampler
from style_pack.generation.conditioning.references import Reference
from style_pack.generation.layers.int8 import to_int8
from style_pack.generation.loading.ip_adapter import add_ip_adapter
from style_pack.generation.loading.pipeline import Denoiser, StylePipeline
from style_pack.generation.loading.shared_models import of_the_same_layers
from style_pack.generation.loading.weights import load_tokenizer
from style_pack.generation.settings import GenerationSettings
from style_pack.model_files.identify import identify
from test_execute import Nodes, module
from transformers import CLIPImageProcessor

GB = 10**9
SETTINGS = GenerationSettings("a castle", "", 1, 4, 5.0, "ddim", 512, 512)


DENOISER = {"UNet2DConditionModel", "ControlNetModel", "StyleAdapter"}


def sd15(folder: Path) -> StylePipeline:
    """SD 1.5, its ControlNet, IP-Adapter and the 632 M image encoder, in fp16, as shapes without numbers."""
    names = ("unet", "controlnet", "vae", "text_encoder", "vit-h")
    base, controlnet, vae, text, image = (layouts.meta_model(name, layouts.FULL).half() for name in names)
    processor = CLIPImageProcessor()
    file = layouts.ip_adapter(folder / "ip.safetensors", layouts.FULL)
    unet = of_the_same_layers(base)
    adapter = add_ip_adapter(unet, image, processor, identify(file)).to("meta", torch.float16)
    denoiser = Denoiser(unet, controlnet, (base, adapter, controlnet))
    tokenizer = load_tokenizer(layouts.TOKENIZER_FILES)
    parts = {"denoiser": denoiser, "vae": vae, "text_encoder": text, "image_encoder": image}
    for part in parts.values():
        part.requires_grad_(False).eval()
    return StylePipeline(
        **parts, tokenizer=tokenizer, image_processor=processor, scheduler_config={}, reads_hidden_states=False
    )


class Card:
    """Stands in for a GPU: counts what the manager has loaded, and how often it loaded each model."""

    def __init__(self, comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
        self.mm: Any = importlib.import_module("comfy.model_management")
        self.memory = module(comfy_nodes, "host.memory")
        self.size, self.loads, self.stages = size, [], {}
        device = torch.device("meta")
        for name in ("get_torch_device", "unet_offload_device"):
            monkeypatch.setattr(self.mm, name, lambda: device)
        monkeypatch.setattr(self.mm, "get_free_memory", self.free)
        monkeypatch.setattr(self.mm, "soft_empty_cache", lambda *args: None)
        monkeypatch.setattr(self.mm, "current_loaded_models", [])
        monkeypatch.setattr(self.memory, "_patchers", WeakKeyDictionary())
        whole, patch = self.memory.WholeModelPatcher, self.memory.WholeModelPatcher.patch_model

        def counted(patcher: Any, *args: Any, **kwargs: Any) -> Any:
            self.loads.append(type(patcher.model).__name__)
            return patch(patcher, *args, **kwargs)

        monkeypatch.setattr(whole, "patch_model", counted)

    def free(self, device: Any = None, torch_free_too: bool = False) -> Any:
        patchers = self.memory._patchers.values()  # while it loads, the manager's own list lacks some
        left = self.size - sum(patcher.model.model_loaded_weight_memory for patcher in patchers)
        return (left, 0) if torch_free_too else left

    def loaded(self) -> dict[str, int]:
        models = [loaded.model for loaded in self.mm.current_loaded_models]
        return {type(patcher.model).__name__: patcher.model.model_loaded_weight_memory for patcher in models}

    def during(self, stage: str, result: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            self.stages[stage] = self.loaded()
            return result

        return run


def device_of(card: Card, fused: bool) -> Any:
    """ComfyUI's device, with attention as of another card."""
    return type("Device", (card.memory.ComfyDevice,), {"fused_attention": fused})()


def run(
    card: Card,
    pipeline: StylePipeline,
    monkeypatch: pytest.MonkeyPatch,
    settings: GenerationSettings = SETTINGS,
    *,
    fused: bool = True,
) -> None:
    pipeline.device = device_of(card, fused=fused)
    pipeline.image_processor = lambda pictures, **kwargs: SimpleNamespace(pixel_values=torch.zeros(1, 3, 224, 224))
    monkeypatch.setattr(pipeline.text_encoder, "forward", card.during("prompt", [torch.zeros(1, 77, 768)]))
    seen = SimpleNamespace(image_embeds=torch.zeros(1, 1024))
    monkeypatch.setattr(pipeline.image_encoder, "forward", card.during("reference", seen))
    monkeypatch.setattr(sampler, "plan_steps", lambda *args, **kwargs: [])
    monkeypatch.setattr(sampler, "denoise", card.during("sampling", torch.zeros(1, 4, 64, 64)))
    pixels = SimpleNamespace(sample=torch.zeros(1, 3, 512, 512))
    monkeypatch.setattr(pipeline.vae, "decode", card.during("decoding", pixels))
    sampler.generate(pipeline, settings, None, [Reference(Image.new("RGB", (64, 64)))])


@pytest.mark.parametrize("size", [15, 8, 6])
def test_while_sampling_the_encoders_are_off_the_card_and_nothing_is_loaded_twice(
    comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int
) -> None:
    card = Card(comfy_nodes, monkeypatch, size * GB)
    pipeline = sd15(tmp_path)
    run(card, pipeline, monkeypatch)
    others = ["CLIPTextModel", type(pipeline.image_encoder).__name__, "AutoencoderKL"]
    assert sorted(card.loads) == sorted([*others, *DENOISER])
    assert card.stages["sampling"].keys() == DENOISER
    assert 2.4 * GB < sum(card.stages["sampling"].values()) <= 3.2 * GB
    assert card.stages["decoding"].keys() == DENOISER | {"AutoencoderKL"}
    run(card, pipeline, monkeypatch)
    assert len(card.loads) == 6
    assert sum(card.stages["sampling"].values()) <= 3.2 * GB


@pytest.mark.parametrize("flag", ["LOW_VRAM", "NO_VRAM"])
def test_with_lowvram_and_novram_only_the_models_of_one_stage_are_on_the_card(
    comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flag: str
) -> None:
    card = Card(comfy_nodes, monkeypatch, 4 * GB)
    monkeypatch.setattr(card.mm, "vram_state", card.mm.VRAMState[flag])
    pipeline = sd15(tmp_path)
    for _ in range(2):
        run(card, pipeline, monkeypatch)
        assert card.stages["sampling"].keys() == DENOISER
        assert card.stages["decoding"].keys() == {"AutoencoderKL"}
        assert card.loaded() == {}


def test_with_gpu_only_nothing_ever_leaves_the_card(
    comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A copy from `meta`, which stands for the card, to the processor would raise."""
    where_to = importlib.import_module("comfy.model_management").unet_offload_device
    card = Card(comfy_nodes, monkeypatch, 15 * GB)
    monkeypatch.setattr(card.mm, "vram_state", card.mm.VRAMState.HIGH_VRAM)
    monkeypatch.setattr(card.mm, "unet_offload_device", where_to)
    monkeypatch.setattr(card.mm.args, "gpu_only", True)
    assert where_to() == torch.device("meta")
    pipeline = sd15(tmp_path)
    for _ in range(2):
        run(card, pipeline, monkeypatch)
        assert card.stages["sampling"].keys() >= DENOISER
    card.mm.unload_all_models()
    assert card.loaded() == {}
    modules = (pipeline.denoiser, pipeline.vae, pipeline.text_encoder, pipeline.image_encoder)
    assert {weight.device.type for module in modules for weight in module.parameters()} == {"meta"}


def test_in_int8_half_as_much_lies_on_the_card_while_sampling(
    comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    card = Card(comfy_nodes, monkeypatch, 4 * GB)
    pipeline = sd15(tmp_path)
    to_int8(pipeline.denoiser)
    run(card, pipeline, monkeypatch)
    assert 1.24 * GB < sum(card.stages["sampling"].values()) < 1.26 * GB


def test_with_another_controlnet_only_that_is_moved_to_the_card(
    comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    card = Card(comfy_nodes, monkeypatch, 15 * GB)
    pipeline = sd15(tmp_path)
    base, adapter, controlnet = pipeline.denoiser.units
    other = deepcopy(controlnet)
    changed = replace(pipeline, denoiser=Denoiser(pipeline.denoiser.unet, other, (base, adapter, other)))
    run(card, pipeline, monkeypatch)
    del card.loads[:]
    run(card, changed, monkeypatch)
    assert card.loads == ["ControlNetModel"]
    assert len(card.mm.current_loaded_models) == 5


def test_another_models_need_of_room_takes_all_of_ours_out_and_the_next_run_brings_them_back(
    comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    card = Card(comfy_nodes, monkeypatch, 6 * GB)
    pipeline = sd15(tmp_path)
    run(card, pipeline, monkeypatch)
    card.mm.free_memory(5 * GB, torch.device("meta"))
    assert sum(card.loaded().values()) <= 1 * GB
    run(card, pipeline, monkeypatch)
    assert card.stages["sampling"].keys() >= DENOISER


def test_what_comfyui_frees_keeps_no_copies_of_its_weights(comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, mm = module(comfy_nodes, "host.memory"), importlib.import_module("comfy.model_management")
    packed = sys.modules[memory.forget_packed.__module__]
    monkeypatch.setattr(mm, "get_torch_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(mm, "current_loaded_models", [])
    monkeypatch.setattr(packed, "PACKED_CHANNELS", 16)
    conv = torch.nn.Conv2d(16, 24, 3)
    model = torch.nn.Sequential(conv)
    assert memory.DEVICE.load(model) == torch.device("cpu")
    with torch.no_grad(), packed.packed_convolutions(model):
        assert conv in packed._kept
    memory.DEVICE.load(model)
    assert conv in packed._kept
    mm.unload_all_models()
    assert conv not in packed._kept


def test_what_sampling_takes_is_made_room_for_beforehand(
    comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """At 768 pixels on a card of 8 GB the VAE of the last run is in the way of whole attention, and not of fused."""
    card = Card(comfy_nodes, monkeypatch, 8 * GB)
    pipeline = sd15(tmp_path)
    large = replace(SETTINGS, width=768, height=768)
    for fused, stays in ((True, {"AutoencoderKL"}), (False, set())):
        run(card, pipeline, monkeypatch, fused=fused)
        run(card, pipeline, monkeypatch, large, fused=fused)
        assert card.stages["sampling"].keys() == DENOISER | stays


def test_room_is_made_of_all_but_what_is_named(
    comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    card = Card(comfy_nodes, monkeypatch, 15 * GB)
    pipeline = sd15(tmp_path)
    run(card, pipeline, monkeypatch)
    card.memory.DEVICE.free_memory(*pipeline.denoiser.units)
    assert card.loaded().keys() == DENOISER
    card.memory.DEVICE.free_memory()
    assert card.loaded() == {}


def test_a_copied_module_is_no_part_of_the_card_and_an_unused_one_leaves_it(
    comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Card(comfy_nodes, monkeypatch, GB)
    module = torch.nn.Sequential(torch.nn.Linear(4, 4))
    card.memory.DEVICE.load(module)
    copied = deepcopy(module)
    other = of_the_same_layers(module)
    assert vars(copied).keys() == vars(other).keys() == vars(torch.nn.Sequential()).keys()
    assert other[0] is module[0]
    assert len(card.memory._patchers) == len(card.mm.current_loaded_models) == 1
    gc.disable()
    try:
        del module
        assert len(card.memory._patchers) == len(card.mm.current_loaded_models) == 0
    finally:
        gc.enable()
