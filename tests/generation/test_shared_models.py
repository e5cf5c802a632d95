"""Two pipelines of one base model: what they share, and that neither sees anything of the other."""

import gc
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from places import ROOT
from plain_diffusers import SETTINGS, edges, reference
from safetensors.torch import load_file, save_file
from style_pack.generation.layers.int8 import kept_in
from style_pack.generation.loading.files import check_files
from style_pack.generation.loading.pipeline import StylePipeline, load_pipeline
from style_pack.generation.loading.precision import Precision
from style_pack.generation.loading.shared_models import SharedModels
from style_pack.generation.sampler import generate

MODELS = ROOT / "models"
BASE, CONTROL = MODELS / "sd-tiny", MODELS / "controlnet-canny-tiny"
ADAPTER = MODELS / "ip-adapter-tiny" / "ip-adapter_tiny.safetensors"


def load(
    shared: SharedModels,
    controlnet: Path = CONTROL,
    adapter: Path = ADAPTER,
    dtype: torch.dtype = torch.float32,
    kept: torch.dtype | None = None,
    base: Path = BASE,
) -> StylePipeline:
    files = check_files(base, controlnet, adapter, [MODELS / "ip-adapter-tiny" / "image_encoder"])
    return load_pipeline(files, BASE / "tokenizer", Precision(dtype, kept), shared=shared)


def halved(source: Path, target: Path) -> Path:
    """A file of the same layout with other numbers."""
    save_file({name: (value * 0.5).contiguous() for name, value in load_file(source).items()}, target)
    return target


@pytest.fixture
def other_controlnet(tmp_path: Path) -> Path:
    folder = shutil.copytree(CONTROL, tmp_path / "other controlnet")
    halved(CONTROL / "diffusion_pytorch_model.safetensors", folder / "diffusion_pytorch_model.safetensors")
    return folder


@pytest.fixture
def other_adapter(tmp_path: Path) -> Path:
    return halved(ADAPTER, tmp_path / "other.safetensors")


def storage(module: torch.nn.Module) -> set[int]:
    return {parameter.data_ptr() for parameter in module.parameters()}


def latents(pipeline: StylePipeline, **changes: Any) -> torch.Tensor:
    return generate(pipeline, replace(SETTINGS, **changes), edges(), [reference()]).latents


def test_a_picture_is_the_same_bits_before_and_after_another_pipeline_was_loaded_and_sampled(
    other_controlnet: Path, other_adapter: Path
) -> None:
    shared = SharedModels()
    first = load(shared)
    before = latents(first)
    second = load(shared, other_controlnet, other_adapter)
    theirs = latents(second, style_mode="style", speed="balanced")
    assert torch.equal(before, latents(first))
    assert torch.equal(theirs, latents(second, style_mode="style", speed="balanced"))
    alone = load(SharedModels(), other_controlnet, other_adapter)
    assert torch.equal(theirs, latents(alone, style_mode="style", speed="balanced"))
    assert not torch.equal(before, latents(second))


def test_only_what_differs_is_loaded_again(other_controlnet: Path, other_adapter: Path) -> None:
    shared = SharedModels()
    first, second = load(shared), load(shared, other_controlnet, other_adapter)
    for part in ("vae", "text_encoder", "image_encoder"):
        assert getattr(first, part) is getattr(second, part)
    base, adapter, controlnet = second.denoiser.units
    assert base is first.denoiser.units[0]
    own = storage(second.denoiser) - storage(first.denoiser)
    assert own == storage(adapter) | storage(controlnet)
    assert storage(second.denoiser) == own | storage(base)
    third = load(shared, other_controlnet)
    assert third.denoiser.unet is first.denoiser.unet
    assert third.denoiser.controlnet is second.denoiser.controlnet


def test_the_units_hold_every_layer_once_and_layers_moved_with_them_move_for_all(other_adapter: Path) -> None:
    shared = SharedModels()
    pipelines = load(shared), load(shared, adapter=other_adapter)
    units = pipelines[0].denoiser.units
    layers = [parameter for unit in units for parameter in unit.parameters()]
    assert len(layers) == len({id(parameter) for parameter in layers})
    assert {id(parameter) for parameter in pipelines[0].denoiser.parameters()} == {id(layer) for layer in layers}
    units[0].to("meta")  # replaces the parameters, as devices do that torch does not swap in place
    for pipeline in pipelines:
        kept = {name for name, value in pipeline.denoiser.unet.named_parameters() if value.device.type == "cpu"}
        assert all(".processor." in name or name.startswith("encoder_hid_proj.") for name in kept)
        assert kept


def test_each_precision_has_its_own_weights_and_int8_shares_what_is_not_rounded() -> None:
    shared = SharedModels()
    whole, half, rounded = load(shared), load(shared, dtype=torch.float16), load(shared, kept=torch.int8)
    assert not storage(whole.denoiser) & storage(half.denoiser)
    assert half.vae is not whole.vae
    assert (rounded.vae, rounded.text_encoder) == (whole.vae, whole.text_encoder)
    assert [kept_in(unit) for unit in rounded.denoiser.units] == [torch.int8] * 3
    assert kept_in(whole.denoiser) == torch.float32
    assert torch.equal(latents(whole), latents(load(SharedModels())))


def test_a_file_that_was_replaced_under_its_name_is_loaded_anew(other_adapter: Path, tmp_path: Path) -> None:
    shared = SharedModels()
    first = load(shared, adapter=other_adapter)
    halved(ADAPTER, tmp_path / "new.safetensors")
    os.replace(tmp_path / "new.safetensors", other_adapter)
    second = load(shared, adapter=other_adapter)
    assert second.denoiser.unet is not first.denoiser.unet
    assert second.denoiser.units[0] is first.denoiser.units[0]


def test_models_that_no_pipeline_has_any_more_are_forgotten() -> None:
    shared = SharedModels()
    pipeline = load(shared)
    assert len(shared._models) == 7
    del pipeline
    gc.collect()
    assert len(shared._models) == 0
