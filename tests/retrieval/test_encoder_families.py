"""Every family in its published configuration, with random weights, against transformers' own processors and models."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from places import ROOT
from published_encoders import config, encoder_folder, preprocessor
from safetensors.torch import load_file
from style_pack.model_files.identify import identify, read_shapes
from style_pack.retrieval.encoders.encoder import StyleEncoder
from style_pack.retrieval.encoders.families import FAMILIES
from transformers import (
    AutoConfig,
    AutoModel,
    BitImageProcessor,
    CLIPImageProcessor,
    CLIPTokenizer,
    SiglipImageProcessor,
    SiglipTokenizer,
)

TOKENIZER = ROOT / ".comfyui" / "ComfyUI" / "comfy" / "sd1_tokenizer"
TEXTS = ["A castle on the hill at dusk", "Neon signs, and rain!"]
PICTURES = [
    Image.fromarray(np.random.default_rng(n).integers(0, 256, (300 + 50 * n, 260, 3), dtype=np.uint8)) for n in (0, 1)
]
PROCESSORS = {"clip": CLIPImageProcessor, "siglip": SiglipImageProcessor, "dinov2": BitImageProcessor}


def encoder(path: Path) -> StyleEncoder:
    return StyleEncoder(path.name, path, TOKENIZER)


def unit(rows: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(rows.float(), dim=-1).numpy()


def expected(folder: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Vectors of PICTURES and TEXTS by transformers' processors and whole models, in float32."""
    kind = identify(folder).kind
    settings = AutoConfig.from_pretrained(folder)
    settings.dtype = torch.float32
    model = AutoModel.from_pretrained(folder, config=settings).eval()
    pixels = PROCESSORS[kind].from_pretrained(folder)(PICTURES, return_tensors="pt").pixel_values
    with torch.inference_mode():
        if kind == "dinov2":
            return unit(model(pixels).pooler_output), None
        if kind == "clip":
            tokens = CLIPTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
        else:
            tokenizer = SiglipTokenizer.from_pretrained(folder)
            tokens = tokenizer(TEXTS, padding="max_length", max_length=64, return_tensors="pt")
        found = model(input_ids=tokens.input_ids, pixel_values=pixels)
    return unit(found.image_embeds), unit(found.text_embeds)


def check(folder: Path, dimension: int) -> None:
    pictures, texts = expected(folder)
    assert pictures.shape == (2, dimension)
    ours = encoder(folder)
    np.testing.assert_allclose(ours.encode_images(PICTURES), pictures, atol=2e-5)
    assert ours.encode_images(PICTURES).dtype == np.float32
    if texts is not None:
        np.testing.assert_allclose(ours.encode_texts(TEXTS), texts, atol=2e-5)


def test_vit_b_32_at_full_size_gives_transformers_512_numbers_from_folder_and_file(tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "clip", "clip-vit-base-patch32", dtype=torch.float16)
    check(folder, 512)
    file = (folder / "model.safetensors").rename(tmp_path / "clip.safetensors")
    single = encoder(file)
    (folder / "model.safetensors").symlink_to(file)
    np.testing.assert_allclose(single.encode_images(PICTURES), encoder(folder).encode_images(PICTURES), atol=2e-5)
    np.testing.assert_allclose(single.encode_texts(TEXTS), encoder(folder).encode_texts(TEXTS), atol=2e-5)


@pytest.mark.parametrize(
    ("name", "dimension", "layers"),
    [
        ("clip-vit-large-patch14", 768, 1),
        ("CLIP-ViT-B-32-laion2B", 512, 2),
        ("CLIP-ViT-H-14-laion2B", 1024, 1),
        ("siglip-base-patch16-224", 768, 2),
        ("siglip-so400m-patch14-384", 1152, 1),
        ("dinov2-small", 384, 3),
        ("dinov2-with-registers-small", 384, 2),
        ("dinov2-giant", 1536, 1),
    ],
)
def test_a_published_configuration_of_fewer_layers_gives_transformers_numbers(
    tmp_path: Path, name: str, dimension: int, layers: int
) -> None:
    check(encoder_folder(tmp_path / name, name, layers), dimension)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["CLIP-ViT-B-32-laion2B", "siglip-base-patch16-224", "dinov2-small"])
def test_half_precision_is_computed_in_float32_from_folder_and_file(
    tmp_path: Path, name: str, dtype: torch.dtype
) -> None:
    folder = encoder_folder(tmp_path / name, name, 1, dtype)
    assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {dtype}
    check(folder, {"C": 512, "s": 768, "d": 384}[name[0]])
    for beside in ("model.safetensors", "spiece.model"):
        if (folder / beside).is_file():
            shutil.copyfile(folder / beside, tmp_path / beside)
    if name.startswith("CLIP"):  # a file says nothing of its activation: the folder has to be OpenAI's to agree
        return
    whole, single = encoder(folder), encoder(tmp_path / "model.safetensors")
    assert np.array_equal(single.encode_images(PICTURES), whole.encode_images(PICTURES))
    if whole.reads_text:
        assert np.array_equal(single.encode_texts(TEXTS), whole.encode_texts(TEXTS))


def test_a_folder_that_says_float16_of_float32_weights_loses_nothing(tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "d", "dinov2-small", 1)
    exact = encoder(folder).encode_images(PICTURES)
    config = folder / "config.json"
    names = {"dtype": "float16", "torch_dtype": "float16"}  # transformers 5's, and 4's
    config.write_text(json.dumps(json.loads(config.read_text()) | names))
    assert np.array_equal(encoder(folder).encode_images(PICTURES), exact)


@pytest.mark.parametrize(
    "name",
    [
        "siglip-base-patch16-224",
        "dinov2-small",
        "dinov2-with-registers-small",
        "dinov2-giant",
    ],
)
def test_a_single_file_is_read_as_its_folder(tmp_path: Path, name: str) -> None:
    folder = encoder_folder(tmp_path / name, name, 1)
    file = tmp_path / "any name.safetensors"
    shutil.copyfile(folder / "model.safetensors", file)
    if (folder / "spiece.model").is_file():
        shutil.copyfile(folder / "spiece.model", tmp_path / "spiece.model")
    whole, single = encoder(folder), encoder(file)
    assert single.identity.partition("@")[2] == whole.identity.partition("@")[2]
    assert np.array_equal(single.encode_images(PICTURES), whole.encode_images(PICTURES))
    if whole.reads_text:
        assert np.array_equal(single.encode_texts(TEXTS), whole.encode_texts(TEXTS))


@pytest.mark.parametrize(
    "name",
    ["clip-vit-base-patch32", "clip-vit-large-patch14", "siglip-base-patch16-224", "siglip-so400m-patch14-384"]
    + ["siglip2-base-patch16-224", "dinov2-small", "dinov2-giant"],
)
def test_without_a_preprocessor_file_pictures_are_prepared_as_the_published_one_says(name: str) -> None:
    kind = name.partition("-")[0].replace("siglip2", "siglip")
    published = PROCESSORS[kind](**preprocessor(name))(PICTURES, return_tensors="pt").pixel_values
    with torch.device("meta"):
        model = AutoModel.from_config(config(name, 1))
    family = FAMILIES[kind]
    derived = family.config({key: tuple(value.shape) for key, value in model.state_dict().items()})
    ours = family.image_processor(None, derived)(PICTURES, return_tensors="pt").pixel_values
    assert torch.equal(ours, published)


def test_siglip_averages_windows_of_its_own_length(tmp_path: Path) -> None:
    ours = encoder(encoder_folder(tmp_path / "s", "siglip-base-patch16-224", 1))
    count = len(ours._tokens("castle "))
    first, second = " ".join(["castle"] * (63 // count)), " ".join(["meadow"] * 5)
    assert len(ours._tokens(first)) == 63, "the first part has to fill one window"
    mean = ours.encode_texts([first, second]).mean(axis=0)
    long = ours.encode_texts([f"{first} {second}"])[0]
    np.testing.assert_allclose(long, mean / np.linalg.norm(mean), atol=1e-5)


def test_an_encoder_of_pictures_alone_says_so(tmp_path: Path) -> None:
    ours = encoder(encoder_folder(tmp_path / "dinov2-small", "dinov2-small", 1))
    assert not ours.reads_text
    ours.check_strategy("image")
    with pytest.raises(ValueError, match=r"strategy semantic .* encoder dinov2-small \(DINOv2\) .* choose strategy im"):
        ours.check_strategy("semantic")
    with pytest.raises(ValueError, match=r"encoder dinov2-small \(DINOv2\) reads only pictures"):
        ours.encode_texts(["a castle"])


def test_what_is_no_encoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"encoder e is a diffusers folder of .*: choose one of the families CLIP, SigLIP, DINOv2"
    ):
        StyleEncoder("e", ROOT / "models" / "sd-tiny", TOKENIZER)


def test_a_file_without_some_of_its_weights_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = encoder_folder(tmp_path / "d", "dinov2-small", 2)
    state = load_file(folder / "model.safetensors")
    del state["encoder.layer.1.mlp.fc1.weight"]
    save_file(state, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"lacks 1 of its tensors \(such as encoder\.layer\.1\.mlp\.fc1\.weight\)"):
        encoder(folder).encode_images(PICTURES)


def test_siglip_without_a_tokenizer_says_which_files_it_needs(tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "s", "siglip-base-patch16-224", 1)
    for name in ("spiece.model", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=r"has no tokenizer beside it: put spiece\.model"):
        encoder(folder).encode_texts(["a castle"])


def test_weights_as_pytorch_model_bin_are_read(tmp_path: Path) -> None:
    check(encoder_folder(tmp_path / "d", "dinov2-small", 1, weights_name="pytorch_model.bin"), 384)


def test_a_siglip_image_encoder_alone_is_not_offered(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = encoder_folder(tmp_path / "s", "siglip-base-patch16-224", 1)
    state = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in state.items() if k.startswith("vision_model.")}, tmp_path / "sigclip.safetensors")
    assert "vision_model.head.probe" in read_shapes(tmp_path / "sigclip.safetensors")
    assert identify(tmp_path / "sigclip.safetensors").description.startswith("a SigLIP image encoder without its text")
