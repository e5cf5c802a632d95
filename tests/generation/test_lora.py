"""LoRA files in every layout against diffusers' own loader, and the weights before and after."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from plain_diffusers import LATENTS, SETTINGS, edges, plain, reference
from published_layouts import save
from style_pack.generation.layers import convolution_packing
from style_pack.generation.layers.convolution_packing import forget_packed
from style_pack.generation.loading.pipeline import StylePipeline, add_lora
from style_pack.generation.sampler import generate
from style_pack.model_files.identify import identify

RANK, ALPHA = 4, 2.0
TARGETS = re.compile(r"attn\d\.to_[qkv]$|attn\d\.to_out\.0$|ff\.net\.0\.proj$|proj_in$|conv1$|self_attn\.\w+_proj$")


def trained_layers(pipeline: StylePipeline) -> dict[tuple[str, str], Any]:
    parts = {"unet": pipeline.denoiser.unet, "text_encoder": pipeline.text_encoder}
    return {
        (part, name.removeprefix("text_model.")): layer
        for part, module in parts.items()
        for name, layer in module.named_modules()
        if TARGETS.search(name) and isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)
    }


def factors(layer: Any, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    rows, columns, *window = layer.weight.shape
    down = torch.randn((RANK, columns, *window), generator=generator) / layer.weight[0].numel() ** 0.5
    return down, torch.randn((rows, RANK, *(1 for _ in window)), generator=generator) * 0.2


def write_lora(folder: Path, pipeline: StylePipeline, layout: str, seed: int = 0) -> Path:
    """The same random LoRA in another layout: kohya's, peft's (as diffusers saves it now), or diffusers' own before."""
    generator, state = torch.Generator().manual_seed(seed), {}
    for (part, name), layer in trained_layers(pipeline).items():
        down, up = factors(layer, generator)
        name = f"text_model.{name}" if part == "text_encoder" else name
        if layout == "kohya":
            stem = {"unet": "lora_unet_", "text_encoder": "lora_te_"}[part] + name.replace(".", "_")
            state |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
            state[f"{stem}.alpha"] = torch.tensor(ALPHA)
            continue
        ends = ("lora_A", "lora_B") if layout == "peft" else ("lora.down", "lora.up")
        if layout == "diffusers" and part == "text_encoder":
            ends = ("lora_linear_layer.down", "lora_linear_layer.up")
        state |= {f"{part}.{name}.{ends[0]}.weight": down, f"{part}.{name}.{ends[1]}.weight": up}
    return save(folder / f"{layout}{seed}.safetensors", state)


def weights(pipeline: StylePipeline) -> dict[str, torch.Tensor]:
    state = {f"unet.{name}": value for name, value in pipeline.denoiser.unet.state_dict().items()}
    state |= {f"text.{name}": value for name, value in pipeline.text_encoder.state_dict().items()}
    return {name: value.clone() for name, value in state.items()}


@pytest.mark.parametrize("layout", ["kohya", "peft", "diffusers"])
def test_a_lora_in_any_layout_gives_diffusers_own_latents(pipeline: StylePipeline, tmp_path: Path, layout: str) -> None:
    file = write_lora(tmp_path, pipeline, layout)
    ours = generate(add_lora(pipeline, file, 0.7), SETTINGS, edges(), [reference()]).latents
    assert (ours - plain(SETTINGS, edges(), reference(), [(file, 0.7)])).abs().max() <= LATENTS
    assert (ours - generate(pipeline, SETTINGS, edges(), [reference()]).latents).abs().max() > 0.01


def test_stacked_loras_give_diffusers_own_latents(pipeline: StylePipeline, tmp_path: Path) -> None:
    files = [write_lora(tmp_path, pipeline, "kohya", 1), write_lora(tmp_path, pipeline, "peft", 2)]
    stacked = add_lora(add_lora(pipeline, files[0], 0.6), files[1], -0.5)
    ours = generate(stacked, SETTINGS, edges(), [reference()]).latents
    theirs = plain(SETTINGS, edges(), reference(), [(files[0], 0.6), (files[1], -0.5)])
    assert (ours - theirs).abs().max() <= LATENTS


def test_layers_without_a_prefix_and_with_the_first_names_are_the_same(pipeline: StylePipeline, tmp_path: Path) -> None:
    """diffusers before 0.20 wrote `….attn1.processor.to_q_lora.down.weight`, attention of the UNet alone."""
    generator, old, new = torch.Generator().manual_seed(5), {}, {}
    for (part, name), layer in trained_layers(pipeline).items():
        if part == "unet" and re.search(r"attn\d\.to_", name):
            first = name.replace(".to_", ".processor.to_").removesuffix(".0")
            for end, factor in zip(("down", "up"), factors(layer, generator), strict=True):
                old[f"{first}_lora.{end}.weight"] = new[f"unet.{name}.lora.{end}.weight"] = factor
    files = [save(tmp_path / f"{name}.safetensors", state) for name, state in (("old", old), ("new", new))]
    pictures = [generate(add_lora(pipeline, file, 1.0), SETTINGS, edges(), []).latents for file in files]
    assert torch.equal(*pictures)


def test_the_weights_are_bit_for_bit_as_before(pipeline: StylePipeline, tmp_path: Path) -> None:
    before = weights(pipeline)
    plain_picture = generate(pipeline, SETTINGS, edges(), [reference()]).latents
    changed = add_lora(pipeline, write_lora(tmp_path, pipeline, "kohya"), 1.0)
    seen = {}

    def look(step: int, steps: int, latents: torch.Tensor) -> None:
        seen.update(weights(pipeline))
        if step == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        generate(changed, SETTINGS, edges(), [reference()], look)
    name = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    assert not torch.equal(seen[name], before[name])
    generate(changed, SETTINGS, edges(), [reference()])
    after = weights(pipeline)
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert pipeline.loras == ()
    assert torch.equal(generate(pipeline, SETTINGS, edges(), [reference()]).latents, plain_picture)
    none = generate(
        replace(changed, loras=(replace(changed.loras[0], strength=0.0),)), SETTINGS, edges(), [reference()]
    )
    assert torch.equal(none.latents, plain_picture)


def test_kept_copies_of_weights_are_never_those_of_another_strength(
    pipeline: StylePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_lora(tmp_path, pipeline, "kohya")
    strengths = (0.0, 1.0, -1.0, 0.0)

    def paint(strength: float) -> torch.Tensor:
        return generate(add_lora(pipeline, file, strength), SETTINGS, edges(), [reference()]).latents

    plainly = [paint(strength) for strength in strengths]
    monkeypatch.setattr(convolution_packing, "PACKED_CHANNELS", 16)
    packed = [paint(strength) for strength in strengths]
    assert convolution_packing._kept
    for one, other in zip(plainly, packed, strict=True):
        assert (one - other).abs().max() <= LATENTS
    forget_packed(pipeline.denoiser)


def test_alpha_divides_the_rank(pipeline: StylePipeline, tmp_path: Path) -> None:
    change = add_lora(pipeline, write_lora(tmp_path, pipeline, "kohya"), 1.0).loras[0].changes["unet"]
    layer: Any = pipeline.denoiser.unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn1.to_q")
    one = change["mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"]
    changed = one.added_to(torch.zeros_like(layer.weight), strength=0.5)
    assert torch.allclose(changed, 0.5 * one.factors["up"] @ one.factors["down"] * ALPHA / RANK)


@pytest.mark.parametrize(
    ("key", "shape", "sentence"),
    [
        (
            "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight",
            (4, 2048),
            "for SDXL",
        ),
        (
            "lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight",
            (4, 1280),
            "a LoRA for SDXL: choose one for SD 1.5",
        ),
        ("unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight", (4, 1024), "Diffusion 2: ch"),
        ("lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight", (4, 3072), r"diffusion transformer \(Flux"),
        ("transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight", (4, 3072), r"diffusion transformer \(Flux"),
        ("some.weight", (4, 4), "a file of an unknown kind: choose a LoRA for SD 1.5"),
        (
            "lora_unet_nowhere_to_q.lora_down.weight",
            (4, 8),
            "1 of the layers .* are not in sd-tiny, .*unet nowhere_to_q",
        ),
        ("lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight", (4, 768), "or have another size there"),
    ],
)
def test_a_lora_for_another_model_is_refused_with_what_it_is(
    pipeline: StylePipeline, tmp_path: Path, key: str, shape: tuple[int, ...], sentence: str
) -> None:
    up = key.replace("down.weight", "up.weight").replace("lora_A", "lora_B")
    file = save(tmp_path / "other.safetensors", {key: torch.zeros(shape), up: torch.zeros(8, 4)})
    with pytest.raises(ValueError, match=rf"lora other\.safetensors is .*{sentence}"):
        add_lora(pipeline, file, 1.0)


def test_half_a_layer_is_refused(pipeline: StylePipeline, tmp_path: Path) -> None:
    stem = "lora_unet_mid_block_attentions_0_proj_in"
    half = save(tmp_path / "half.safetensors", {f"{stem}.lora_down.weight": torch.zeros(4, 96, 1, 1)})
    with pytest.raises(ValueError, match="only one half of layer"):
        add_lora(pipeline, half, 1.0)


def test_a_lora_says_in_its_header_what_it_is_for(tmp_path: Path) -> None:
    key = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight"
    file = identify(save(tmp_path / "x.safetensors", {key: torch.zeros(4, 768)}))
    assert (file.kind, file.description, file.cross_attention_dim) == ("lora", "a LoRA for SD 1.5", 768)
