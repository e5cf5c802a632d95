"""The loaders of diffusers and transformers read what published_layouts writes, the same tensors from every layout."""

from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, StableDiffusionControlNetPipeline, UNet2DConditionModel
from PIL import Image
from published_layouts import (
    FULL,
    IP_ADAPTERS,
    OTHER_BASES,
    SMALL,
    checkpoint,
    checkpoint_stub,
    clip_folder,
    clip_vision,
    config_folder,
    controlnet,
    diffusers_folder,
    ip_adapter,
    meta_model,
    tokenizer_folder,
    weights,
)
from safetensors import safe_open
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small tensors gain nothing from threads, and on a busy machine lose half the time waiting for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return diffusers_folder(tmp_path_factory.mktemp("sd15") / "stable-diffusion-v1-5", seed=3)


@pytest.fixture(scope="module", params=["sd15.safetensors", "sd15.ckpt"])
def single_file(request, tmp_path_factory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("single") / request.param, seed=3)


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    with safe_open(path, "pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


expected_weights = cache(weights)


def assert_same_tensors(model: torch.nn.Module, expected: dict[str, torch.Tensor]) -> None:
    """Every tensor of the model, bit for bit; both ways, so that none is missing and none is left over."""
    state = model.state_dict()
    assert state.keys() == expected.keys()
    assert [name for name in state if not torch.equal(state[name].half(), expected[name].half())] == []


@pytest.mark.parametrize("size", [SMALL, FULL])
@pytest.mark.parametrize(("component", "keys"), [("unet", 686), ("vae", 248), ("controlnet", 340)])
def test_both_sizes_have_the_published_number_of_keys(size, component, keys):
    assert len(meta_model(component, size).state_dict()) == keys


@pytest.mark.parametrize(
    ("component", "millions"), [("unet", 859.5), ("controlnet", 361.3), ("vae", 83.7), ("text_encoder", 123.1),
                                ("vit-h", 632.1), ("clip", 151.3)],
)  # fmt: skip
def test_full_size_is_the_published_size(component, millions):
    parameters = sum(parameter.numel() for parameter in meta_model(component, FULL).parameters())
    assert round(parameters / 1e6, 1) == millions


@pytest.mark.parametrize(("part", "model"), [("unet", UNet2DConditionModel), ("vae", AutoencoderKL)])
def test_a_single_file_gives_the_tensors_of_the_folder(folder, single_file, part, model):
    expected = expected_weights(part, SMALL, 3)
    assert_same_tensors(model.from_pretrained(folder, subfolder=part, local_files_only=True), expected)
    from_file = model.from_single_file(single_file, config=str(folder), subfolder=part, local_files_only=True)
    assert_same_tensors(from_file, expected)


def test_the_text_encoder_loads_and_its_published_keys_are_the_checkpoints(folder, single_file):
    published = expected_weights("text_encoder", SMALL, 3)
    assert all(name.startswith("text_model.") for name in published)
    loaded = CLIPTextModel.from_pretrained(folder / "text_encoder", local_files_only=True).state_dict()
    expected = {name.removeprefix("text_model."): tensor for name, tensor in published.items()}
    del expected["embeddings.position_ids"]
    loaded = {name.removeprefix("text_model."): tensor for name, tensor in loaded.items()}
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name].half(), expected[name]) for name in loaded)
    if single_file.suffix == ".safetensors":
        stem = "cond_stage_model.transformer."
        in_file = {name.removeprefix(stem) for name in shapes(single_file) if name.startswith(stem)}
        assert in_file == published.keys()


def test_the_old_names_of_the_vaes_attention_load_as_the_new(tmp_path):
    path = diffusers_folder(tmp_path / "sd15", seed=3, as_on_hub=True, variant="fp16")
    names = shapes(path / "vae" / "diffusion_pytorch_model.fp16.safetensors")
    assert "encoder.mid_block.attentions.0.proj_attn.weight" in names
    assert not any(".to_" in name for name in names)
    model = AutoencoderKL.from_pretrained(path, subfolder="vae", variant="fp16", local_files_only=True)
    assert_same_tensors(model, expected_weights("vae", SMALL, 3))


def test_a_checkpoint_has_the_published_groups_of_keys(tmp_path):
    names = shapes(checkpoint(tmp_path / "sd15.safetensors"))
    groups = Counter(name.split(".")[0] for name in names)
    text = 2 + 16 * 2 + 2 + 1  # embeddings, two layers, final norm, position_ids: 197 with the published 12 layers
    assert (groups["model"], groups["first_stage_model"], groups["cond_stage_model"]) == (686, 248, text)
    assert len(names) == 686 + 248 + text + 14
    assert names["first_stage_model.encoder.mid.attn_1.proj_out.weight"] == (128, 128, 1, 1)
    assert names["model.diffusion_model.output_blocks.2.1.conv.weight"] == (128, 128, 3, 3)
    assert names["model.diffusion_model.output_blocks.5.2.conv.weight"] == (128, 128, 3, 3)
    assert names["alphas_cumprod"] == (1000,)


@pytest.mark.parametrize(
    ("name", "layout"),
    [("d.safetensors", "diffusers"), ("o.safetensors", "original"), ("o.pth", "original"), ("b.pth", "bare")],
)
def test_every_controlnet_layout_gives_the_same_tensors(tmp_path, name, layout):
    config = tmp_path / "config"
    meta_model("controlnet", SMALL).save_config(config)
    path = controlnet(tmp_path / name, seed=4, layout=layout)
    model = ControlNetModel.from_single_file(path, config=str(config), local_files_only=True)
    assert_same_tensors(model, expected_weights("controlnet", SMALL, 4))


def test_a_controlnet_folder_loads_and_no_zero_convolution_is_zero(tmp_path):
    model = ControlNetModel.from_pretrained(controlnet(tmp_path / "control.v11p", seed=4), local_files_only=True)
    assert_same_tensors(model, expected_weights("controlnet", SMALL, 4))
    assert all(block.weight.abs().max() > 0.01 for block in model.controlnet_down_blocks)


@pytest.mark.parametrize("kind", IP_ADAPTERS)
def test_an_ip_adapter_has_the_same_tensors_in_both_containers(tmp_path, kind):
    flat = shapes(ip_adapter(tmp_path / f"{kind}.safetensors", kind=kind))
    nested = torch.load(ip_adapter(tmp_path / f"{kind}.bin", kind=kind), weights_only=True)
    assert {f"{part}.{name}": tuple(t.shape) for part, tensors in nested.items() for name, t in tensors.items()} == flat
    numbers = sorted({int(name.split(".")[0]) for name in nested["ip_adapter"]})
    assert numbers == list(range(1, 140 if "sdxl" in kind else 32, 2))


def test_pickles_load_with_weights_only(tmp_path):
    state = torch.load(controlnet(tmp_path / "control.pth"), weights_only=True)
    assert len(state) == 340 and all(name.startswith("control_model.") for name in state)
    nested = torch.load(checkpoint(tmp_path / "sd15.ckpt"), weights_only=True)
    assert nested["state_dict"]["model.diffusion_model.input_blocks.0.0.weight"].shape == (32, 4, 3, 3)


@pytest.mark.parametrize(("kind", "widths"), [("vit-h", (1280, 1024)), ("vit-l", (1024, 768))])
def test_an_image_encoder_loads_from_its_folder_and_the_file_holds_the_same(tmp_path, kind, widths):
    path = clip_vision(tmp_path / "image.encoder", seed=5, kind=kind)
    model = CLIPVisionModelWithProjection.from_pretrained(path, local_files_only=True)
    assert (model.config.hidden_size, model.config.projection_dim) == widths
    expected = weights(kind, SMALL, 5)
    assert shapes(clip_vision(tmp_path / "clip.safetensors", seed=5, kind=kind)).keys() == expected.keys()
    assert expected.pop("vision_model.embeddings.position_ids").shape == (1, 257)
    assert_same_tensors(model, expected)


@pytest.mark.parametrize("weights_name", ["model.safetensors", "pytorch_model.bin"])
def test_clip_loads_as_one_folder(tmp_path, weights_name):
    path = clip_folder(tmp_path / "clip-vit-base-patch32", weights_name=weights_name)
    model = CLIPModel.from_pretrained(path, local_files_only=True)
    expected = {name: t for name, t in weights("clip", SMALL, 0).items() if not name.endswith("position_ids")}
    assert_same_tensors(model, expected)
    model.float()
    tokens = CLIPTokenizer.from_pretrained(path, local_files_only=True)(["a fox"], return_tensors="pt")
    found = model.get_text_features(**tokens)  # transformers 4 returns the features themselves
    assert getattr(found, "pooler_output", found).isfinite().all()


def test_a_cut_vocabulary_keeps_the_first_tokens_and_both_marks(tmp_path):
    small = CLIPTokenizer.from_pretrained(tokenizer_folder(tmp_path / "small", SMALL))
    full = CLIPTokenizer.from_pretrained(tokenizer_folder(tmp_path / "full", replace(SMALL, vocabulary=49408)))
    assert (len(full), len(small), full.model_max_length, small.model_max_length) == (49408, SMALL.vocabulary, 77, 77)
    assert full("a fox")["input_ids"] == [49406, 320, 3240, 49407]
    ids = small("a fox, ink wash £")["input_ids"]
    assert ids[0] == small.vocab_size - 2 and ids[-1] == small.vocab_size - 1
    assert small.decode(ids, skip_special_tokens=True) == full.decode(full("a fox, ink wash £")["input_ids"], True)


@pytest.mark.parametrize(("base", "width"), [("sdxl", 2048), ("sd2", 1024), ("sd15_inpainting", 768)])
def test_a_stub_is_known_by_its_header(tmp_path, base, width):
    names = shapes(checkpoint_stub(tmp_path / f"{base}.safetensors", base))
    assert [shape[1] for name, shape in names.items() if name.endswith("attn2.to_k.weight")] == [width]
    assert set(OTHER_BASES) == {"sdxl", "sd2", "sd15_inpainting"}


def test_all_parts_together_make_a_finite_picture(folder, tmp_path):
    """One step through the stock pipeline: VAE, text, ControlNet, adapters and encoder fit, and nothing overflows."""
    control = ControlNetModel.from_pretrained(controlnet(tmp_path / "controlnet"), local_files_only=True)
    # transformers 5 would keep the file's float16 where diffusers turns to float32, so the text encoder comes turned
    text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", local_files_only=True).float()
    pipe = StableDiffusionControlNetPipeline.from_pretrained(
        folder, controlnet=control, text_encoder=text_encoder, local_files_only=True
    )
    pipe.set_progress_bar_config(disable=True)
    models = tmp_path / "ip" / "models"
    kinds = ["ip-adapter_sd15", "ip-adapter-plus_sd15"]
    files = [ip_adapter(models / f"{kind}.safetensors", kind=kind).name for kind in kinds]
    clip_vision(models / "image_encoder")
    pipe.load_ip_adapter(
        str(models.parent), subfolder="models", weight_name=files, image_encoder_folder="image_encoder",
        local_files_only=True,
    )  # fmt: skip
    picture = pipe(
        "a fox", image=Image.new("RGB", (64, 64), "white"), ip_adapter_image=[Image.new("RGB", (32, 32), "red")] * 2,
        num_inference_steps=1, generator=torch.Generator().manual_seed(0), output_type="pt",
    ).images  # fmt: skip
    assert picture.shape == (1, 3, 64, 64)
    assert picture.isfinite().all() and picture.std() > 0.01


def test_a_config_folder_holds_no_weights(tmp_path):
    files = {path.suffix for path in config_folder(tmp_path / "configs").rglob("*") if path.is_file()}
    assert files == {".json", ".txt"}
