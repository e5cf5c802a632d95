"""Weights in int8, or in half of what is computed in: how near they are, what they take, and LoRAs on them."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from plain_diffusers import SETTINGS, edges, reference
from style_pack.generation.layers.int8 import Int8Layer, KeptLayer, keep_in, kept_in, quantise, to_int8
from style_pack.generation.loading.lora import merged, merged_bytes
from style_pack.generation.loading.pipeline import StylePipeline, add_lora
from style_pack.generation.sampler import generate
from test_lora import write_lora


@pytest.fixture(scope="module")
def rounded(pipeline: StylePipeline) -> StylePipeline:
    denoiser = deepcopy(pipeline.denoiser)
    to_int8(denoiser)
    return replace(pipeline, denoiser=denoiser)


def layers(pipeline: StylePipeline) -> dict[str, Any]:
    return {name: layer for name, layer in pipeline.denoiser.named_modules() if isinstance(layer, Int8Layer)}


def latents(pipeline: StylePipeline, **changes: Any) -> torch.Tensor:
    return generate(pipeline, replace(SETTINGS, **changes), edges(), [reference()]).latents


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_weight_is_at_most_half_a_step_off_and_its_channel_s_largest_is_kept(dtype: torch.dtype) -> None:
    weight = (
        torch.randn(8, 6, 3, 3, generator=torch.Generator().manual_seed(0))
        * torch.logspace(-3, 0, 8)[:, None, None, None]
    )
    weight[5] = 0
    weight = weight.to(dtype)
    int8, scale = quantise(weight)
    assert (int8.dtype, int8.shape, scale.shape) == (torch.int8, weight.shape, (8, 1, 1, 1))
    off = (int8.float() * scale.float() - weight.float()).abs()
    assert (off <= scale.float() * 0.5001 + weight.float().abs() * torch.finfo(dtype).eps).all()
    assert int8.abs().flatten(1).amax(1).tolist() == [127] * 5 + [0] + [127] * 2


def test_linear_layers_and_convolutions_of_all_parts_are_rounded(
    pipeline: StylePipeline, rounded: StylePipeline
) -> None:
    kinds = {(name.split(".")[0], type(layer).__name__) for name, layer in layers(rounded).items()}
    assert kinds == {(part, kind) for part in ("unet", "controlnet") for kind in ("Int8Linear", "Int8Conv2d")}
    assert any("processor.to_k_ip" in name for name in layers(rounded))
    assert kept_in(pipeline.denoiser) == torch.float32
    x = torch.randn(2, 5, 160, generator=torch.Generator().manual_seed(1))
    name = next(name for name, layer in layers(rounded).items() if getattr(layer, "in_features", 0) == 160)
    ours, theirs = rounded.denoiser.get_submodule(name)(x), pipeline.denoiser.get_submodule(name)(x)
    assert 0 < (ours - theirs).abs().max() < 0.02 * theirs.abs().max()


def test_a_rounded_weight_takes_a_byte_a_number_beside_its_scales(
    pipeline: StylePipeline, rounded: StylePipeline
) -> None:
    def size(module: torch.nn.Module) -> int:
        return sum(value.nbytes for value in module.state_dict().values())

    spared = sum(3 * layer.kept.numel() - layer.scale.nbytes for layer in layers(rounded).values())
    assert size(pipeline.denoiser) - size(rounded.denoiser) == spared
    assert size(rounded.denoiser) < 0.5 * size(pipeline.denoiser)


def test_the_picture_is_far_nearer_to_fp32s_than_another_seeds(pipeline: StylePipeline, rounded: StylePipeline) -> None:
    exact = latents(pipeline)
    off = (latents(rounded) - exact).abs().mean()
    assert 0 < off < 0.1 * (latents(pipeline, seed=8) - exact).abs().mean()


def test_a_lora_finer_than_a_step_counts_and_leaves_no_trace(rounded: StylePipeline, tmp_path: Path) -> None:
    """At this strength nearly all of its changes are smaller than half a step: rounded again they would be gone."""
    before = {name: value.clone() for name, value in rounded.denoiser.state_dict().items()}
    changed = add_lora(rounded, write_lora(tmp_path, rounded, "kohya"), 0.02)
    plain = latents(rounded)
    name = "mid_block.resnets.0.conv1"
    layer: Any = rounded.denoiser.unet.get_submodule(name)
    assert isinstance(layer, Int8Layer)
    change = changed.loras[0].changes["unet"][f"{name}.weight"].added_to(torch.zeros_like(layer.weight), 0.02)
    assert (change.abs() < layer.scale / 2).float().mean() > 0.9
    weight = layer.weight
    with merged(changed.denoiser.unet, "unet", changed.loras):
        assert torch.allclose(layer.weight, weight + change, atol=1e-7)
    assert (latents(changed) - plain).abs().max() > 1e-3

    def interrupt(step: int, steps: int, given: torch.Tensor) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        generate(changed, SETTINGS, edges(), [reference()], interrupt)
    after = rounded.denoiser.state_dict()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert torch.equal(latents(rounded), plain)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_kept_in_half_compute_in_float32_what_rounded_ones_do(
    pipeline: StylePipeline, tmp_path: Path, dtype: torch.dtype
) -> None:
    """As ComfyUI does on cards that are bad at fp16."""
    half, expected = (replace(pipeline, denoiser=deepcopy(pipeline.denoiser)) for _ in range(2))
    keep_in(half.denoiser, dtype)
    kept = {name: layer for name, layer in half.denoiser.named_modules() if isinstance(layer, KeptLayer)}
    for name in kept:
        layer: Any = expected.denoiser.get_submodule(name)
        layer.weight.data = layer.weight.data.to(dtype).float()
    assert {layer.kept.dtype for layer in kept.values()} == {kept_in(half.denoiser)} == {dtype}
    assert (
        {layer.weight.dtype for layer in kept.values()} == {next(half.denoiser.parameters()).dtype} == {torch.float32}
    )
    sizes = [sum(value.nbytes for value in each.denoiser.state_dict().values()) for each in (half, expected)]
    assert sizes[0] < 0.61 * sizes[1]
    plain = latents(half)
    assert (plain - latents(expected)).abs().max() <= 1e-4
    file = write_lora(tmp_path, pipeline, "kohya")
    changed = add_lora(half, file, 0.5)
    assert (latents(changed) - latents(add_lora(expected, file, 0.5))).abs().max() <= 1e-4
    assert torch.equal(latents(half), plain)


def test_a_lora_takes_a_copy_of_what_it_changes_and_none_of_what_is_made_anew(
    pipeline: StylePipeline, rounded: StylePipeline, tmp_path: Path
) -> None:
    file = write_lora(tmp_path, pipeline, "kohya")
    changed, quantised = (add_lora(each, file, 1.0) for each in (pipeline, rounded))
    names = changed.loras[0].changes["unet"]
    copied = sum(pipeline.denoiser.unet.get_parameter(name).nbytes for name in names)
    assert merged_bytes(pipeline.denoiser.unet, "unet", changed.loras) == copied > 0
    assert merged_bytes(rounded.denoiser.unet, "unet", quantised.loras) < copied
    assert merged_bytes(pipeline.denoiser.unet, "unet", add_lora(pipeline, file, 0.0).loras) == 0
