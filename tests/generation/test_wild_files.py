"""Weights as tools leave them: wrapped, renamed, narrowed, incomplete, for something else.

They load to the same weights, or one sentence names them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import published_layouts as published
import pytest
import torch
from safetensors.torch import load_file, save_file
from style_pack.generation.conditioning.prompts import load_embedding
from style_pack.generation.loading import weights
from style_pack.generation.loading.files import check_files
from style_pack.generation.loading.open_clip import vision_tower
from style_pack.generation.loading.pipeline import StylePipeline, load_pipeline
from style_pack.generation.loading.precision import Precision
from style_pack.model_files.identify import identify, load_state_dict

State = dict[str, torch.Tensor]
TEXT = "cond_stage_model.transformer."
UNET = "model.diffusion_model."
FILES = ("base.safetensors", "control.safetensors", "adapter.safetensors", "encoder.safetensors")
WIDE = torch.zeros(4, 768)


pytestmark = pytest.mark.usefixtures("small_configs")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("wild models")
    published.checkpoint(root / FILES[0])
    published.controlnet(root / FILES[1])
    published.ip_adapter(root / FILES[2])
    published.ip_adapter(root / "plus.safetensors", kind="ip-adapter-plus_sd15")
    published.clip_vision(root / FILES[3])
    published.tokenizer_folder(root / "tokenizer")
    published.single_file_configs(root / "configs")
    return root


def load(models: Path, **changed: Path) -> StylePipeline:
    """A pipeline of the files in `models`, some of them exchanged: base, control, adapter, encoder."""
    base, control, adapter, encoder = (changed.get(Path(name).stem, models / name) for name in FILES)
    return load_pipeline(check_files(base, control, adapter, [encoder]), models / "tokenizer", Precision(torch.float32))


def tensors(pipeline: StylePipeline) -> State:
    parts: dict[str, torch.nn.Module] = {
        "unet": pipeline.denoiser.unet, "control": pipeline.denoiser.controlnet, "vae": pipeline.vae,
        "text": pipeline.text_encoder, "encoder": pipeline.image_encoder,
    }  # fmt: skip
    return {f"{part}.{name}": value for part, module in parts.items() for name, value in module.state_dict().items()}


@pytest.fixture(scope="module")
def expected(models: Path) -> State:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "CONFIGS", models / "configs")
        return tensors(load(models))


def unlike(found: State, expected: State, tolerance: float = 0.0) -> list[str]:
    assert found.keys() == expected.keys()
    return [name for name in expected if not torch.allclose(found[name], expected[name], rtol=tolerance, atol=0)]


def renamed(old: str, new: str) -> Callable[[State], State]:
    return lambda state: {name.replace(old, new): value for name, value in state.items()}


def below(prefix: str) -> Callable[[State], State]:
    return lambda state: {prefix + name: value for name, value in state.items()}


def with_new_words(state: State) -> State:
    name = f"{TEXT}text_model.embeddings.token_embedding.weight"
    return state | {name: torch.cat([state[name], torch.ones(2, 768, dtype=torch.float16)])}


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("base", renamed(UNET, f"{UNET}_orig_mod.")),
        ("base", below("module.")),
        ("base", below("_orig_mod.")),
        ("base", renamed("cond_stage_model.", "conditioner.embedders.0.")),
        ("base", renamed(f"{TEXT}text_model.", TEXT)),
        ("base", with_new_words),
        ("control", below("_orig_mod.")),
        ("control", below("module._orig_mod.")),
        ("adapter", renamed("image_proj.", "image_proj_model.")),
        ("adapter", renamed("ip_adapter.", "adapter_modules.")),
        ("encoder", below("image_encoder.")),
    ],
)  # fmt: skip
def test_a_wrapped_or_renamed_file_loads_to_the_same_weights(
    models: Path, expected: State, tmp_path: Path, part: str, change: Callable[[State], State]
) -> None:
    file = published.save(tmp_path / "wild.safetensors", change(load_file(models / f"{part}.safetensors")))
    assert not unlike(tensors(load(models, **{part: file})), expected)


@pytest.mark.parametrize("name", ["UPPER.SAFETENSORS", "short.sft", "safetensors.ckpt", "without_suffix"])
def test_a_file_is_read_by_its_content_under_any_suffix(
    models: Path, expected: State, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes((models / FILES[0]).read_bytes())
    assert not unlike(tensors(load(models, base=tmp_path / name)), expected)


@pytest.mark.parametrize("archive", [True, False])
def test_a_pickle_named_safetensors_is_read_as_the_pickle_that_it_is(
    models: Path, expected: State, tmp_path: Path, archive: bool
) -> None:
    state = {"state_dict": load_file(models / FILES[0])}
    torch.save(state, tmp_path / "x.ckpt", _use_new_zipfile_serialization=archive)
    (tmp_path / "x.ckpt").rename(tmp_path / "x.safetensors")
    assert not unlike(tensors(load(models, base=tmp_path / "x.safetensors")), expected)


@pytest.mark.parametrize("part", ["base", "control"])
def test_fp8_loads_within_its_rounding(models: Path, expected: State, tmp_path: Path, part: str) -> None:
    state = load_file(models / f"{part}.safetensors")
    narrow = {n: v.to(torch.float8_e4m3fn) if v.is_floating_point() else v for n, v in state.items()}
    found = tensors(load(models, **{part: published.save(tmp_path / "fp8.safetensors", narrow)}))
    # Half a step of 3 bits of mantissa, 2**-4; below 2**-6 the steps are 2**-9.
    assert all(
        ((found[name] - expected[name]).abs() <= expected[name].abs() * 2**-4 + 2**-10).all() for name in expected
    )


def test_scaled_fp8_stands_for_weight_times_scale(models: Path, expected: State, tmp_path: Path) -> None:
    state = load_file(models / FILES[0])
    chosen = [name for name in state if name.startswith(UNET) and name.endswith("to_q.weight")]
    scaled: State = {"scaled_fp8": torch.zeros(0, dtype=torch.float8_e4m3fn)}
    for name in chosen:
        scale = state[name].float().abs().max() / 448  # the largest number of the format
        scaled[name] = (state[name].float() / scale).to(torch.float8_e4m3fn)
        scaled[f"{name.removesuffix('weight')}scale_weight"] = scale
    found = tensors(load(models, base=published.save(tmp_path / "scaled.safetensors", state | scaled)))
    changed = unlike(found, expected)
    assert len(chosen) == len(changed) > 0
    assert all(((found[name] - expected[name]).abs() <= expected[name].abs() * 2**-4 + 1e-3).all() for name in changed)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_whole_checkpoint_with_a_controlnet_in_it_is_taken_as_the_controlnet(
    models: Path, expected: State, tmp_path: Path, suffix: str
) -> None:
    both = load_file(models / FILES[0]) | load_file(models / FILES[1])
    assert not unlike(tensors(load(models, control=published.save(tmp_path / f"both{suffix}", both))), expected)


def test_a_difference_controlnet_is_added_to_the_base_models_weights(
    models: Path, expected: State, tmp_path: Path
) -> None:
    state = load_file(models / FILES[1])
    file = published.save(tmp_path / "difference.safetensors", state | {"difference": torch.zeros(0)})
    found = tensors(load(models, control=file))
    for name in [name for name in expected if name.startswith("control.")]:
        beside = expected.get(f"unet.{name.removeprefix('control.')}")
        meant = expected[name] if beside is None else expected[name] + beside
        assert torch.equal(found[name], meant), name
    assert len(unlike(found, expected)) > 100


@pytest.mark.parametrize(
    ("marks", "metadata", "meant"),
    [
        ((), {}, ("epsilon", False)),
        (("v_pred",), {}, ("v_prediction", False)),
        (("v_pred", "ztsnr"), {}, ("v_prediction", True)),
        ((), {"modelspec.prediction_type": "v"}, ("v_prediction", False)),
        ((), {"modelspec.prediction_type": "epsilon"}, ("epsilon", False)),
    ],
)
def test_what_a_checkpoint_says_that_it_predicts_is_how_it_is_sampled(
    models: Path, tmp_path: Path, marks: tuple[str, ...], metadata: dict[str, str], meant: tuple[str, bool]
) -> None:
    state = load_file(models / FILES[0]) | {mark: torch.zeros(0) for mark in marks}
    save_file(state, tmp_path / "v.safetensors", metadata)
    config = load(models, base=tmp_path / "v.safetensors").scheduler_config
    assert (config.get("prediction_type", "epsilon"), config.get("rescale_betas_zero_snr", False)) == meant


def test_an_encoder_without_projection_serves_an_adapter_that_reads_hidden_states(
    models: Path, expected: State, tmp_path: Path
) -> None:
    state = {name: value for name, value in load_file(models / FILES[3]).items() if not name.startswith("visual_proj")}
    file = published.save(tmp_path / "no projection.safetensors", state)
    found = tensors(load(models, adapter=models / "plus.safetensors", encoder=file))
    kept = {name: value for name, value in expected.items() if name.startswith("encoder.vision_model.")}
    assert kept
    assert all(torch.equal(found[name], value) for name, value in kept.items())
    with pytest.raises(ValueError, match="needs a CLIP image encoder of 1024 numbers an image"):
        load(models, encoder=file)


def in_open_clips_layout(state: State) -> State:
    """The inverse of transformers' conversion of OpenCLIP's image encoder, written from OpenCLIP's class."""
    found: State = {
        "visual.class_embedding": state["vision_model.embeddings.class_embedding"],
        "visual.positional_embedding": state["vision_model.embeddings.position_embedding.weight"],
        "visual.conv1.weight": state["vision_model.embeddings.patch_embedding.weight"],
        "visual.proj": state["visual_projection.weight"].T,
    }
    for kind in ("weight", "bias"):
        found[f"visual.ln_pre.{kind}"] = state[f"vision_model.pre_layrnorm.{kind}"]
        found[f"visual.ln_post.{kind}"] = state[f"vision_model.post_layernorm.{kind}"]
        for number in range(published.SMALL.depth or 0):
            ours, theirs = f"vision_model.encoder.layers.{number}.", f"visual.transformer.resblocks.{number}."
            found[f"{theirs}attn.in_proj_{kind}"] = torch.cat(
                [state[f"{ours}self_attn.{q}_proj.{kind}"] for q in "qkv"]
            )
            found[f"{theirs}attn.out_proj.{kind}"] = state[f"{ours}self_attn.out_proj.{kind}"]
            found[f"{theirs}ln_1.{kind}"] = state[f"{ours}layer_norm1.{kind}"]
            found[f"{theirs}ln_2.{kind}"] = state[f"{ours}layer_norm2.{kind}"]
            found[f"{theirs}mlp.c_fc.{kind}"] = state[f"{ours}mlp.fc1.{kind}"]
            found[f"{theirs}mlp.c_proj.{kind}"] = state[f"{ours}mlp.fc2.{kind}"]
    return found


def test_an_encoder_in_open_clips_layout_loads_to_the_same_weights(
    models: Path, expected: State, tmp_path: Path
) -> None:
    theirs = in_open_clips_layout(load_file(models / FILES[3])) | {"transformer.resblocks.0.ln_1.weight": WIDE[0]}
    assert "text" not in "".join(vision_tower(theirs))
    file = published.save(tmp_path / "open_clip.safetensors", theirs)
    assert not unlike(tensors(load(models, encoder=file)), expected)


LORA = "processor.to_q_lora.down.weight"
NAMED = [
    ("an AnimateDiff motion LoRA", {f"down_blocks.0.motion_modules.0.temporal_transformer.{LORA}": WIDE}),
    ("an AnimateDiff motion module", {"down_blocks.0.motion_modules.0.temporal_transformer.norm.weight": WIDE}),
    ("a Control-LoRA", {"lora_controlnet": WIDE[0], "zero_convs.0.0.weight": WIDE, "input_blocks.1.0.up": WIDE}),
    ("a ControlNet-LLLite", {"lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.down.0.weight": WIDE}),
    ("a T2I-Adapter", {"body.0.in_conv.weight": WIDE, "conv_in.weight": WIDE}),
    ("a T2I-Adapter", {"adapter.body.0.resnets.0.block1.weight": WIDE}),
    ("a GLIGEN model", {"position_net.linears.0.weight": WIDE}),
    ("an IP-Adapter for Flux", {"double_blocks.0.processor.ip_adapter_double_stream_k_proj.weight": WIDE}),
    ("a Flux model", {"double_blocks.0.img_attn.qkv.weight": WIDE}),
    ("a Flux model", {"model.diffusion_model.double_blocks.0.img_attn.qkv.weight": WIDE}),
    ("a Flux Redux style model", {"redux_up.weight": WIDE}),
    ("a Stable Diffusion 3 model", {"model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight": WIDE}),
    ("a Qwen-Image model", {"transformer_blocks.0.img_mod.1.weight": WIDE}),
    ("a Wan video model", {"blocks.0.cross_attn.norm_k.weight": WIDE}),
    ("a Chroma model", {"distilled_guidance_layer.in_proj.weight": WIDE, "double_blocks.0.img_attn.qkv.weight": WIDE}),
    ("a VAE", {"decoder.mid.block_1.conv1.weight": WIDE, "encoder.conv_in.weight": WIDE}),
    ("a UNet without its text encoder and VAE", {"input_blocks.0.0.weight": WIDE}),
    ("a CLIP text encoder", {"text_model.encoder.layers.0.self_attn.q_proj.weight": WIDE}),
    ("a T5 text encoder", {"encoder.block.0.layer.0.SelfAttention.k.weight": WIDE}),
    ("a textual inversion embedding", {"emb_params": WIDE}),
    ("the averaged copies (EMA) of a checkpoint, without the weights themselves", {
        "model_ema.diffusion_modelinput_blocks00weight": WIDE}),
    ("an upscale model", {"model.1.sub.0.RDB1.conv1.0.weight": WIDE}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "header"), NAMED)
def test_a_model_of_another_kind_is_named_for_what_it_is(
    models: Path, tmp_path: Path, name: str, header: State
) -> None:
    header = {tensor: value.clone() for tensor, value in header.items()}
    file = published.save(tmp_path / "other.safetensors", header)
    assert identify(file).description == name
    for part, chosen in (("base_model", FILES[0]), ("controlnet", FILES[1]), ("ip_adapter", FILES[2])):
        files = [file if other == chosen else models / other for other in FILES[:3]]
        with pytest.raises(ValueError) as refused:
            check_files(files[0], files[1], files[2], [models / FILES[3]])
        assert str(refused.value).startswith(f"{part} other.safetensors is {name}: choose ")
        assert len(str(refused.value)) < 250


@pytest.mark.parametrize("kind", ["pointer", "page", "empty", "half", "trailing"])
@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt", ".pth"])
def test_a_broken_download_is_one_sentence(models: Path, tmp_path: Path, kind: str, suffix: str) -> None:
    whole = (models / FILES[1]).read_bytes()
    content = {
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "page": b"<!DOCTYPE html><html><title>Sign in</title>",
        "empty": b"",
        "half": whole[: len(whole) // 2],
        "trailing": whole + bytes(100),
    }[kind]
    file = tmp_path / f"broken{suffix}"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"download (it again|the file itself)") as refused:
        identify(file)
    assert str(refused.value).startswith(file.name)
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize(
    "content",
    [
        {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": torch.nn.ParameterDict({"*": WIDE + 1})},
        {"optimizer_state_dict": {"state": {0: {"exp_avg": WIDE}}}, "string_to_param": {"*": WIDE + 1}},
        [{"a style": WIDE + 1}],
        {"emb_params": WIDE[None] + 1},
        {"clip_g": torch.zeros(4, 1280), "clip_l": WIDE + 1},
        {"none": WIDE[:0], "emb_params": WIDE + 1},
    ],
)
def test_an_embedding_is_found_in_every_form_that_tools_save(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "word.pt")
    assert torch.equal(load_embedding(tmp_path / "word.pt", 768), WIDE + 1)


def test_two_tensors_never_get_one_name(tmp_path: Path) -> None:
    state = {"a.weight": torch.zeros(1), "_orig_mod.a.weight": torch.ones(1)}
    file = published.save(tmp_path / "two.safetensors", state)
    assert load_state_dict(file) == state
