"""LoRA files of every kind and spelling against ComfyUI's own loader, weight by weight."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from published_layouts import save
from safetensors.torch import load_file
from style_pack.generation.layers.int8 import keep_in
from style_pack.generation.loading.ldm_names import ldm_names
from style_pack.generation.loading.lora import Lora, merged, merged_bytes
from style_pack.generation.loading.pipeline import StylePipeline, add_lora
from style_pack.model_files.identify import identify

State = dict[str, torch.Tensor]
STRENGTH = 0.7
NOISE = torch.Generator().manual_seed(11)
# Layers of the bundled UNet by diffusers' names, with (out, in): attention, cross-attention, a convolution, a bias.
QUERY = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"  # (128, 128)
KEY = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k"  # (160, 128)
OUT = "up_blocks.0.attentions.1.transformer_blocks.0.attn1.to_out.0"  # (160, 160)
CONV = "down_blocks.1.resnets.0.conv1"  # (128, 64, 3, 3)
PROJECTION = "mid_block.attentions.0.proj_in"  # (160, 160, 1, 1)
TEXT = "encoder.layers.0.self_attn.q_proj"  # (128, 128)
SIZES = {QUERY: (128, 128), KEY: (160, 128), OUT: (160, 160), CONV: (128, 64, 3, 3), PROJECTION: (160, 160, 1, 1)}
# The same layers by Stable Diffusion's own names.
LDM = {
    QUERY: "input_blocks.3.1.transformer_blocks.0.attn1.to_q",
    KEY: "middle_block.1.transformer_blocks.0.attn2.to_k",
    OUT: "output_blocks.1.1.transformer_blocks.0.attn1.to_out.0",
    CONV: "input_blocks.3.0.in_layers.2",
    PROJECTION: "middle_block.1.proj_in",
}


def draw(*shape: int, scale: float = 0.1) -> torch.Tensor:
    return torch.randn(shape, generator=NOISE) * scale


def kohya(name: str) -> str:
    return "lora_unet_" + name.replace(".", "_")


def factors(stem: str, size: tuple[int, ...], down: str = "lora_down", up: str = "lora_up", rank: int = 4) -> State:
    rows, columns, *window = size
    ones = [1] * len(window)
    return {f"{stem}.{down}.weight": draw(rank, columns, *window), f"{stem}.{up}.weight": draw(rows, rank, *ones)}


def of_all(name_of: Callable[[str], str], **spelling: Any) -> State:
    """The same kind of change of every layer in SIZES."""
    return {
        key: value for layer, size in SIZES.items() for key, value in factors(name_of(layer), size, **spelling).items()
    }


def loha(stem: str, size: tuple[int, ...]) -> State:
    rows, columns = size[0], torch.Size(size[1:]).numel()
    halves = {f"hada_w{n}_a": draw(rows, 4) for n in "12"} | {f"hada_w{n}_b": draw(4, columns) for n in "12"}
    return {f"{stem}.{role}": value * 5 for role, value in halves.items()} | {f"{stem}.alpha": torch.tensor(2.0)}


def glora(stem: str, side: int, old: bool) -> State:
    shapes = {"a1": (side, 4), "a2": (4, side), "b1": (side, 4), "b2": (4, side)}
    return {f"{stem}.{role}.weight": draw(*(shape[::-1] if old else shape)) for role, shape in shapes.items()}


def kinds() -> dict[str, State]:
    """One file's tensors of each kind, by a name that says which."""
    query, conv, alpha = kohya(QUERY), kohya(CONV), torch.tensor(3.0)
    plain = factors(query, SIZES[QUERY])
    text = factors("text_encoders.clip_l.transformer.text_model." + TEXT, (128, 128))
    tucker = {f"{conv}.hada_t{n}": draw(4, 4, 3, 3) for n in "12"}
    tucker |= {f"{conv}.hada_w{n}_a": draw(4, 128) for n in "12"} | {f"{conv}.hada_w{n}_b": draw(4, 64) for n in "12"}
    return {
        "kohya": of_all(kohya) | {f"{query}.alpha": alpha},
        "comfyui": of_all(lambda name: f"diffusion_model.{LDM[name]}") | text,
        "ldm": of_all(lambda name: kohya(LDM[name])),
        "lycoris_prefix": of_all(lambda name: "lycoris_" + name.replace(".", "_")),
        "diffusers": factors(f"unet.{QUERY.replace('.to_q', '.processor.to_q')}", (128, 128), "lora_A", "lora_B"),
        "no_weight_suffix": {
            f"diffusion_model.{LDM[QUERY]}.lora_A": draw(4, 128),
            f"diffusion_model.{LDM[QUERY]}.lora_B": draw(128, 4),
        },
        "default_adapter": {
            f"diffusion_model.{LDM[QUERY]}.lora_A.default.weight": draw(4, 128),
            f"diffusion_model.{LDM[QUERY]}.lora_B.default.weight": draw(128, 4),
        },
        "text_only": factors(
            "lora_te_text_model_" + TEXT.replace(".self_attn.", ".self_attn_").replace(".", "_"), (128, 128)
        ),
        "mid": {
            f"{conv}.lora_down.weight": draw(4, 64, 1, 1),
            f"{conv}.lora_mid.weight": draw(4, 4, 3, 3),
            f"{conv}.lora_up.weight": draw(128, 4, 1, 1),
            f"{conv}.alpha": alpha,
        },
        "loha": loha(query, (128, 128)) | loha(conv, SIZES[CONV]),
        "loha_tucker": tucker | {f"{conv}.alpha": alpha},
        "lokr_whole": {f"{query}.lokr_w1": draw(4, 4), f"{query}.lokr_w2": draw(32, 32), f"{query}.alpha": alpha},
        "lokr_factored": {
            f"{query}.lokr_w1_a": draw(4, 2),
            f"{query}.lokr_w1_b": draw(2, 4),
            f"{query}.lokr_w2_a": draw(32, 3),
            f"{query}.lokr_w2_b": draw(3, 32),
            f"{query}.alpha": alpha,
        },
        "lokr_half": {
            f"{query}.lokr_w1": draw(4, 4),
            f"{query}.lokr_w2_a": draw(32, 3),
            f"{query}.lokr_w2_b": draw(3, 32),
            f"{query}.alpha": alpha,
        },
        "lokr_conv": {f"{conv}.lokr_w1": draw(4, 4), f"{conv}.lokr_w2": draw(32, 16, 3, 3)},
        "dora_columns": plain | {f"{query}.dora_scale": draw(1, 128).abs() + 1, f"{query}.alpha": alpha},
        "dora_rows": plain | {f"{query}.dora_scale": draw(128, 1).abs() + 1},
        "dora_conv": factors(conv, SIZES[CONV]) | {f"{conv}.dora_scale": draw(1, 64, 1, 1).abs() + 1},
        "dora_of_loha": loha(query, (128, 128)) | {f"{query}.dora_scale": draw(1, 128).abs() + 1},
        "glora": glora(query, 128, old=False) | {f"{query}.alpha": alpha},
        "glora_old": glora(query, 128, old=True) | {f"{query}.alpha": alpha},
        "oft": {f"{query}.oft_blocks": draw(16, 8, 8), f"{query}.alpha": torch.tensor(0.5)},
        "oft_conv": {f"{conv}.oft_blocks": draw(16, 8, 8)},
        "boft": {f"{query}.oft_blocks": draw(3, 16, 8, 8), f"{query}.alpha": torch.tensor(0.5)},
        "boft_rescaled": {
            f"{query}.oft_blocks": draw(3, 16, 8, 8),
            f"{query}.rescale": draw(128, 1) + 1,
            f"{query}.alpha": torch.tensor(0.0),
        },
        "difference": {
            f"{query}.diff": draw(128, 128),
            f"{conv}.diff": draw(*SIZES[CONV]),
            f"{conv}.diff_b": draw(128),
        },
        "comfyui_trainer": {
            "diffusion_model.out.2.bias.diff": draw(4),
            f"diffusion_model.{LDM[CONV]}.diff_b": draw(128),
            f"diffusion_model.{LDM[QUERY]}.lora_down.weight": draw(4, 128),
            f"diffusion_model.{LDM[QUERY]}.lora_up.weight": draw(128, 4),
        },
        "norms": {f"{kohya('conv_norm_out')}.w_norm": draw(64), f"{kohya('conv_norm_out')}.b_norm": draw(64)} | plain,
        "set": {f"{query}.set_weight": draw(128, 128)},
        "bundled_embedding": plain | {"bundle_emb.tok.string_to_param.*": draw(2, 128), "clip_l": draw(2, 128)},
        "another_layer": of_all(kohya) | factors("lora_unet_extra_layer", (8, 8)),
        "half_precision": {key: value.bfloat16() for key, value in of_all(kohya).items()},
    }


KINDS = kinds()


def merged_weights(pipeline: StylePipeline, loras: list[Lora]) -> State:
    parts: dict[str, Any] = {"unet": pipeline.denoiser.unet, "text_encoder": pipeline.text_encoder}
    state = {}
    for part, module in parts.items():
        with merged(module, part, loras):
            named = module.state_dict().items()
            state |= {f"{part}.{name}": value.float().clone() for name, value in named if ".processor." not in name}
    return state


@pytest.fixture(scope="module")
def both(pipeline: StylePipeline, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of the files, and the folder of what ComfyUI makes of the bundled models with each."""
    folder = tmp_path_factory.mktemp("loras")
    files = [save(folder / f"{kind}.safetensors", state) for kind, state in KINDS.items()]
    (to := folder / "stock").mkdir()
    weights = save(folder / "weights.safetensors", merged_weights(pipeline, []))
    command = [sys.executable, str(Path(__file__).with_name("stock_lora.py")), weights, str(STRENGTH), to, *files]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert answer.returncode == 0, answer.stderr
    return folder, to


@pytest.mark.parametrize("kind", KINDS)
def test_a_lora_of_any_kind_gives_the_weights_that_comfyui_gives(
    pipeline: StylePipeline, both: tuple[Path, Path], kind: str
) -> None:
    folder, stock = both
    theirs, before = load_file(stock / f"{kind}.safetensors"), load_file(folder / "weights.safetensors")
    ours = merged_weights(pipeline, list(add_lora(pipeline, folder / f"{kind}.safetensors", STRENGTH).loras))
    assert ours.keys() == theirs.keys()
    changed = {name for name, weight in theirs.items() if not torch.equal(weight, before[name])}
    assert changed
    assert {name for name, weight in ours.items() if not torch.equal(weight, before[name])} == changed
    for name in changed:
        assert torch.allclose(ours[name], theirs[name], rtol=1e-5, atol=2e-5), name
    assert all(torch.equal(weight, before[name]) for name, weight in merged_weights(pipeline, []).items())


@pytest.mark.parametrize("kind", ["dora_columns", "lokr_conv", "oft", "difference"])
def test_weights_kept_in_less_are_changed_alike(
    pipeline: StylePipeline, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("style_pack.generation.layers.int8.SMALLEST", 100)
    loras = list(add_lora(pipeline, save(tmp_path / "x.safetensors", KINDS[kind]), STRENGTH).loras)
    plain = merged_weights(pipeline, loras)
    kept = copy.deepcopy(pipeline.denoiser.unet)
    keep_in(kept, torch.bfloat16)
    for name in loras[0].changes["unet"]:
        layer, _, of = name.rpartition(".")
        before = getattr(kept.get_submodule(layer), of).float().clone()
        with merged(kept, "unet", loras):
            changed = getattr(kept.get_submodule(layer), of).float().clone()
        assert (changed - plain[f"unet.{name}"]).abs().max() < 0.02
        assert torch.equal(getattr(kept.get_submodule(layer), of).float(), before)
    assert merged_bytes(kept, "unet", loras) <= merged_bytes(pipeline.denoiser.unet, "unet", loras)


def test_peft_reads_its_settings_from_the_file_beside(pipeline: StylePipeline, tmp_path: Path) -> None:
    """peft writes alpha, rank-stabilised scales and patterns into adapter_config.json alone."""
    stem = f"base_model.model.{QUERY}"
    file = save(tmp_path / "adapter_model.safetensors", factors(stem, (128, 128), "lora_A", "lora_B"))
    settings = tmp_path / "adapter_config.json"

    def read() -> Lora:
        return add_lora(pipeline, file, 1.0).loras[0]

    def scale() -> float:
        return read().changes["unet"][f"{QUERY}.weight"].scale

    assert scale() == 1
    without = read().fingerprint
    settings.write_text(json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 16}))
    assert scale() == 4
    assert read().fingerprint != without
    settings.write_text(json.dumps({"r": 4, "lora_alpha": 16, "use_rslora": True}))
    assert scale() == 8
    settings.write_text(json.dumps({"r": 4, "lora_alpha": 16, "alpha_pattern": {"to_q": 2}}))
    assert scale() == 0.5
    settings.write_text("[1]")
    with pytest.raises(ValueError, match=r"adapter_config\.json"):
        scale()


def test_a_dora_of_peft_has_rows_as_long_as_it_learned(pipeline: StylePipeline, tmp_path: Path) -> None:
    stem, lengths = f"base_model.model.{QUERY}", draw(128).abs() + 1
    state = factors(stem, (128, 128), "lora_A", "lora_B") | {f"{stem}.lora_magnitude_vector": lengths}
    change = add_lora(pipeline, save(tmp_path / "x.safetensors", state), 1.0).loras[0].changes["unet"]
    weight: Any = pipeline.denoiser.unet.get_submodule(QUERY).weight
    changed = change[f"{QUERY}.weight"].added_to(weight.float(), 1.0)
    assert torch.allclose(changed.norm(dim=1), lengths, atol=1e-5)
    straight = weight + state[f"{stem}.lora_B.weight"] @ state[f"{stem}.lora_A.weight"]
    assert torch.allclose(torch.cosine_similarity(changed, straight), torch.ones(128), atol=1e-5)


def test_a_lokr_with_a_tucker_core_is_the_product_at_each_place_of_the_window(
    pipeline: StylePipeline, tmp_path: Path
) -> None:
    """ComfyUI logs an error for this kind of convolution and leaves the weight as it was."""
    stem, first, core, a, b = kohya(CONV), draw(4, 4), draw(3, 3, 3, 3), draw(3, 32), draw(3, 16)
    state = {f"{stem}.lokr_w1": first, f"{stem}.lokr_t2": core, f"{stem}.lokr_w2_a": a, f"{stem}.lokr_w2_b": b}
    change = add_lora(pipeline, save(tmp_path / "x.safetensors", state), 1.0).loras[0].changes["unet"][f"{CONV}.weight"]
    difference = change.added_to(torch.zeros(SIZES[CONV]), 1.0)
    for row in range(3):
        for column in range(3):
            wanted = torch.kron(first, a.T @ core[:, :, row, column] @ b)
            assert torch.allclose(difference[:, :, row, column], wanted, atol=1e-6)


def test_what_changes_nothing_here_is_told(pipeline: StylePipeline, tmp_path: Path) -> None:
    lora = add_lora(pipeline, save(tmp_path / "x.safetensors", KINDS["another_layer"]), 1.0).loras[0]
    assert lora.left_out == ("unet extra_layer.weight",)
    assert len(lora.changes["unet"]) == len(SIZES)
    lora = add_lora(pipeline, save(tmp_path / "y.safetensors", KINDS["bundled_embedding"]), 1.0).loras[0]
    assert lora.left_out == ("bundle_emb.tok.string_to_param.*", "clip_l")


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (
            {f"{kohya(QUERY)}.hada_w1_a": draw(128, 4), f"{kohya(QUERY)}.hada_w1_b": draw(4, 128)},
            "one half .*hada_w2_a is",
        ),
        ({f"{kohya(QUERY)}.lokr_w1": draw(4, 4)}, "one half of layer .*lokr_w2_a is missing"),
        (
            factors(kohya(QUERY), (128, 128)) | {f"{kohya(QUERY)}.alpha": torch.tensor(float("nan"))},
            r"without a value \(NaN",
        ),
        (
            {key: value * float("nan") for key, value in factors(kohya(QUERY), (128, 128)).items()},
            r"without a value \(NaN",
        ),
        (loha(kohya(QUERY), (128, 32)), "or have another size there"),
        ({f"{kohya(QUERY)}.diff": draw(32, 128)}, "or have another size there"),
        ({f"{kohya(QUERY)}.oft_blocks": draw(5, 8, 8)}, "or have another size there"),
        ({f"{kohya(QUERY)}.oft_blocks": draw(8, 8)}, "has no matrices for layer"),
        ({f"{kohya(KEY)}.hada_w1_a": draw(160, 4), f"{kohya(KEY)}.hada_w1_b": draw(4, 2048)}, "is a LoRA for SDXL"),
        ({f"{kohya(KEY)}.lokr_w1": draw(4, 16), f"{kohya(KEY)}.lokr_w2": draw(40, 128)}, "is a LoRA for SDXL"),
        (factors(kohya(KEY), (160, 128), rank=0), "changes no layer at all"),
    ],
)
def test_a_damaged_or_foreign_lora_is_one_sentence(
    pipeline: StylePipeline, tmp_path: Path, state: State, sentence: str
) -> None:
    with pytest.raises(ValueError, match=rf"^lora x\.safetensors .*{sentence}"):
        add_lora(pipeline, save(tmp_path / "x.safetensors", state), 1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_lora_of_any_kind_is_known_by_its_header(tmp_path: Path, kind: str) -> None:
    assert identify(save(tmp_path / "x.safetensors", KINDS[kind])).kind == "lora"


def test_the_layers_of_stable_diffusion_have_their_published_names() -> None:
    """All 686 names were compared with ComfyUI's; these are the ones that go wrong first."""
    with torch.device("meta"):
        names = ldm_names(UNet2DConditionModel(cross_attention_dim=768))
    assert names["down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"] == (
        "input_blocks.1.1.transformer_blocks.0.attn1.to_q"
    )
    assert names["down_blocks.0.downsamplers.0.conv"] == "input_blocks.3.0.op"
    assert names["down_blocks.3.resnets.1.conv2"] == "input_blocks.11.0.out_layers.3"
    assert names["up_blocks.0.upsamplers.0.conv"] == "output_blocks.2.1.conv"
    assert names["up_blocks.1.upsamplers.0.conv"] == "output_blocks.5.2.conv"
    assert names["up_blocks.3.attentions.2.proj_in"] == "output_blocks.11.1.proj_in"
