"""Files in every published layout: what they are said to be, which fit together, and that each loads to the same
picture."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import published_layouts as published
import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from style_pack.generation.conditioning.references import Reference, encode_pictures
from style_pack.generation.loading import pipeline as loading
from style_pack.generation.loading.files import check_files
from style_pack.generation.loading.precision import Precision
from style_pack.generation.sampler import generate
from style_pack.generation.schedulers import build_scheduler
from style_pack.generation.settings import GenerationSettings
from style_pack.model_files.identify import identify
from transformers import CLIPTextModel

SIZE = published.SMALL
SETTINGS = GenerationSettings("a castle", "", 3, 2, 3.0, "ddim", 64, 64)
VARIANTS = [kind for kind, (base, _, width) in published.IP_ADAPTERS.items() if base == "unet" and "vit-G" not in kind]


def face_id() -> dict[str, torch.Tensor]:
    """What tells IP-Adapter FaceID: its projection reads 512 numbers of a face recognition, and has a norm apart."""
    shapes = {"image_proj.proj.0.weight": (1024, 512), "image_proj.norm.weight": (768,)}
    return {name: torch.zeros(shape) for name, shape in (shapes | {"ip_adapter.1.to_k_ip.weight": (32, 768)}).items()}


pytestmark = pytest.mark.usefixtures("small_configs")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small model of each kind in each layout, all from the same seed."""
    root = tmp_path_factory.mktemp("published models")
    published.diffusers_folder(root / "folder")
    published.diffusers_folder(root / "folder as on hub", as_on_hub=True)
    published.checkpoint(root / "anything.safetensors")
    published.checkpoint(root / "anything.ckpt")
    published.controlnet(root / "control folder")
    published.controlnet(root / "control.safetensors", layout="diffusers")
    published.controlnet(root / "control.pth", layout="original")
    published.controlnet(root / "control bare.safetensors", layout="bare")
    for kind in VARIANTS:
        published.ip_adapter(root / f"{kind}.safetensors", kind=kind)
        published.ip_adapter(root / f"{kind}.bin", kind=kind)
    published.ip_adapter(root / "sdxl adapter.safetensors", kind="ip-adapter_sdxl_vit-h")
    published.ip_adapter(root / "vit-g adapter.safetensors", kind="ip-adapter_sd15_vit-G")
    published.save(root / "face id.safetensors", face_id())
    published.clip_vision(root / "encoder.safetensors")
    published.clip_vision(root / "encoder folder")
    published.clip_vision(root / "wrong encoder.safetensors", kind="vit-l")
    published.clip_vision(root / "vit-g.safetensors", kind="vit-g")
    for base in ("sdxl", "sd2", "sd15_inpainting"):
        published.checkpoint_stub(root / f"{base}.safetensors", base)
    published.tokenizer_folder(root / "tokenizer")
    published.single_file_configs(root / "configs")
    return root


def paint(models: Path, base: str, control: str, adapter: str, encoder: str) -> torch.Tensor:
    files = check_files(models / base, models / control, models / adapter, [models / encoder])
    pipeline = loading.load_pipeline(files, models / "tokenizer", Precision(torch.float32))
    lines = torch.zeros(1, 3, 64, 64)
    lines[..., 20:40] = 1
    return generate(pipeline, SETTINGS, lines, [style()]).images


def style(seed: int = 0) -> Reference:
    return Reference(Image.fromarray(np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)))


def load(models: Path, kind: str) -> loading.StylePipeline:
    encoders = [models / name for name in ("wrong encoder.safetensors", "vit-g.safetensors", "encoder.safetensors")]
    files = check_files(models / "folder", models / "control folder", models / f"{kind}.safetensors", encoders)
    assert files.image_encoder.path.name == "encoder.safetensors"
    return loading.load_pipeline(files, models / "tokenizer", Precision(torch.float32))


def plain(models: Path, kind: str, **styles: Any) -> torch.Tensor:
    """The latents by diffusers alone, its own loaders included."""
    text_encoder = CLIPTextModel.from_pretrained(models / "folder" / "text_encoder").float()
    pipe: Any = StableDiffusionPipeline.from_pretrained(models / "folder", text_encoder=text_encoder)
    pipe.load_ip_adapter(
        str(models), subfolder="", weight_name=f"{kind}.safetensors", image_encoder_folder="encoder folder",
        local_files_only=True,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = build_scheduler(SETTINGS.scheduler, dict(pipe.scheduler.config))
    pipe.set_ip_adapter_scale(SETTINGS.ip_adapter_scale)
    return pipe(
        SETTINGS.prompt, negative_prompt="", width=64, height=64, output_type="latent",
        num_inference_steps=SETTINGS.num_inference_steps, guidance_scale=SETTINGS.guidance_scale,
        generator=torch.Generator().manual_seed(SETTINGS.seed), **styles,
    ).images  # fmt: skip


@pytest.mark.parametrize("kind", VARIANTS)
def test_every_variant_gives_the_latents_of_diffusers_own_loader(models: Path, kind: str) -> None:
    pipeline = load(models, kind)
    ours, unstyled = (generate(pipeline, SETTINGS, None, styles).latents for styles in ([style()], []))
    assert (ours - plain(models, kind, ip_adapter_image=style().picture)).abs().max() <= 1e-3
    assert (ours - unstyled).abs().max() > 0.01


@pytest.mark.parametrize("control", ["control folder", "original.safetensors", "diffusers.safetensors"])
def test_a_shortened_unet_is_told_from_the_controlnet_that_does_not_fit_it(
    models: Path, tmp_path: Path, control: str
) -> None:
    published.controlnet(tmp_path / "original.safetensors", layout="original")
    published.controlnet(tmp_path / "diffusers.safetensors", layout="diffusers")
    (tmp_path / "control folder").symlink_to(models / "control folder")
    shutil.copytree(models / "folder", tmp_path / "small-sd")
    config = tmp_path / "small-sd" / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"layers_per_block": 1}))
    parts = tmp_path / control, models / "ip-adapter_sd15.safetensors", [models / "encoder.safetensors"]
    check_files(models / "folder", *parts)
    with pytest.raises(
        ValueError, match=rf"controlnet {control} is made for a UNet of \d+ stages, and small-sd has \d"
    ):
        check_files(tmp_path / "small-sd", *parts)


@pytest.fixture
def told_guidance(models: Path, tmp_path: Path) -> Path:
    """The same models, with a UNet that is told the scale of guidance as LCM_Dreamshaper_v7 is."""
    for path in models.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "folder").unlink()
    shutil.copytree(models / "folder", tmp_path / "folder")
    unet = UNet2DConditionModel.from_pretrained(
        models / "folder" / "unet", time_cond_proj_dim=32, low_cpu_mem_usage=False
    )
    torch.nn.init.normal_(unet.time_embedding.cond_proj.weight, generator=torch.Generator().manual_seed(3))
    unet.save_pretrained(tmp_path / "folder" / "unet")
    return tmp_path


def test_a_unet_that_is_told_the_scale_of_guidance_gives_diffusers_latents(told_guidance: Path) -> None:
    kind = "ip-adapter_sd15"
    pipeline = load(told_guidance, kind)
    ours = generate(pipeline, SETTINGS, None, [style()]).latents
    assert (ours - plain(told_guidance, kind, ip_adapter_image=style().picture)).abs().max() <= 1e-3
    weaker = generate(pipeline, replace(SETTINGS, guidance_scale=2.0), None, [style()]).latents
    other_words = generate(pipeline, replace(SETTINGS, negative_prompt="blurry"), None, [style()]).latents
    assert (ours - weaker).abs().max() > 0.01
    assert torch.equal(ours, other_words)  # one pass a step, and nothing is led away from
    assert generate(pipeline, replace(SETTINGS, speed="balanced"), None, [style()]).latents.isfinite().all()


@pytest.mark.parametrize("kind", ["ip-adapter-plus_sd15", "ip-adapter-full-face_sd15"])
def test_adapters_that_read_hidden_states_take_weights_masks_and_a_negative_reference(models: Path, kind: str) -> None:
    pipeline = load(models, kind)
    pictures = [style(seed).picture for seed in (0, 1, 2)]
    first, second, avoided = encode_pictures(pipeline, pictures)
    left = (torch.arange(64) < 32).float().expand(64, 64)
    masks = {"ip_adapter_masks": [torch.stack([left, 1 - left])[None]]}
    embeds = torch.stack([torch.stack([avoided, avoided]), torch.stack([first, second])])
    expected = plain(models, kind, ip_adapter_image_embeds=[embeds], cross_attention_kwargs=masks)
    beside = [replace(style(0), mask=left), replace(style(1), mask=1 - left)]
    ours = generate(pipeline, SETTINGS, None, beside, negative=style(2)).latents
    assert (ours - expected).abs().max() <= 1e-3
    twice = generate(pipeline, SETTINGS, None, [style(0), style(0), style(1)]).latents
    heavy = generate(pipeline, SETTINGS, None, [replace(style(0), weight=2.0), style(1)]).latents
    assert (heavy - twice).abs().max() <= 1e-3
    assert (heavy - ours).abs().max() > 0.01


@pytest.mark.parametrize("kind", ["ip-adapter_sd15", "ip-adapter-plus_sd15", "ip-adapter-full-face_sd15"])
def test_every_layout_loads_to_the_same_picture(models: Path, kind: str) -> None:
    expected = paint(models, "folder", "control folder", f"{kind}.safetensors", "encoder folder")
    assert torch.isfinite(expected).all()
    for base, control, adapter, encoder in (
        ("folder as on hub", "control.safetensors", f"{kind}.bin", "encoder.safetensors"),
        ("anything.safetensors", "control.pth", f"{kind}.bin", "encoder.safetensors"),
        ("anything.ckpt", "control bare.safetensors", f"{kind}.safetensors", "encoder.safetensors"),
    ):
        assert (paint(models, base, control, adapter, encoder) - expected).abs().max() <= 1e-4, (base, control, adapter)


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("folder", "a diffusers folder of SD 1.5"),
        ("anything.safetensors", "an SD 1.5 checkpoint"),
        ("anything.ckpt", "an SD 1.5 checkpoint"),
        ("sdxl.safetensors", "an SDXL checkpoint"),
        ("sd2.safetensors", "a Stable Diffusion 2 checkpoint"),
        ("sd15_inpainting.safetensors", "an SD 1.5 inpainting checkpoint"),
        ("control folder", "a ControlNet for SD 1.5"),
        ("control.safetensors", "a ControlNet for SD 1.5"),
        ("control.pth", "a ControlNet for SD 1.5"),
        ("control bare.safetensors", "a ControlNet for SD 1.5"),
        ("ip-adapter_sd15.bin", "an IP-Adapter for SD 1.5"),
        ("ip-adapter-plus_sd15.safetensors", "an IP-Adapter plus for SD 1.5"),
        ("ip-adapter-plus-face_sd15.bin", "an IP-Adapter plus for SD 1.5"),
        ("ip-adapter-full-face_sd15.safetensors", "an IP-Adapter full-face for SD 1.5"),
        ("face id.safetensors", "an IP-Adapter variant for SD 1.5 that is not supported (such as FaceID)"),
        ("encoder.safetensors", "a CLIP image encoder (1280 wide, 1024 numbers an image)"),
    ],
)
def test_a_file_is_known_by_its_header(models: Path, name: str, description: str) -> None:
    assert identify(models / name).description == description


@pytest.mark.parametrize(
    ("part", "name", "sentence"),
    [
        ("base", "sdxl.safetensors", "base_model sdxl.safetensors is an SDXL checkpoint: choose an SD 1.5"),
        ("base", "sd15_inpainting.safetensors", "is an SD 1.5 inpainting checkpoint: choose an SD 1.5 text-to-image"),
        ("base", "encoder.safetensors", "base_model encoder.safetensors is a CLIP image encoder"),
        (
            "control",
            "ip-adapter_sd15.bin",
            "controlnet ip-adapter_sd15.bin is an IP-Adapter for SD 1.5: choose a ControlNet",
        ),
        ("adapter", "encoder.safetensors", "ip_adapter encoder.safetensors is a CLIP image encoder"),
        ("adapter", "sdxl adapter.safetensors", r"is an IP-Adapter for SDXL \(2048 numbers a token\), but anything"),
        (
            "encoder",
            "wrong encoder.safetensors",
            "an IP-Adapter for SD 1.5, which needs a CLIP image encoder of 1024 numbers an image, and the clip_vision",
        ),
        ("adapter", "vit-g adapter.safetensors", r"1280 numbers an image, .* \(encoder.safetensors is .*bigG-14"),
        (
            "adapter",
            "face id.safetensors",
            r"\(such as FaceID\): choose .* \(base, light, plus, plus-face or full-face",
        ),
    ],
)
def test_what_does_not_belong_is_refused_by_what_it_is(models: Path, part: str, name: str, sentence: str) -> None:
    chosen = {
        "base": "anything.safetensors",
        "control": "control.pth",
        "adapter": "ip-adapter_sd15.safetensors",
        "encoder": "encoder.safetensors",
    }
    chosen[part] = name
    with pytest.raises(ValueError, match=sentence):
        check_files(*(models / chosen[key] for key in ("base", "control", "adapter")), [models / chosen["encoder"]])


def test_a_damaged_file_and_a_pickle_of_code_are_refused(models: Path) -> None:
    (models / "cut.safetensors").write_bytes((models / "control.safetensors").read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"cut\.safetensors is damaged"):
        identify(models / "cut.safetensors")
    (models / "noise.pth").write_bytes(b"\x80\x02noise")
    with pytest.raises(ValueError, match=r"noise\.pth (is damaged|holds more than tensors)"):
        identify(models / "noise.pth")
    torch.save({"state_dict": {"x": torch.zeros(1)}, "code": print}, models / "code.ckpt")
    with pytest.raises(ValueError, match=r"code\.ckpt holds more than tensors and is not opened"):
        identify(models / "code.ckpt")


def test_a_checkpoint_of_other_sizes_says_what_does_not_fit(models: Path) -> None:
    other = published.checkpoint(models / "other.safetensors", replace(SIZE, unet_channels=(32, 64, 64, 64)))
    files = check_files(other, models / "control.pth", models / "ip-adapter_sd15.bin", [models / "encoder.safetensors"])
    with pytest.raises(ValueError, match=r"other\.safetensors is an SD 1\.5 checkpoint, but its tensors do not fit"):
        loading.load_pipeline(files, models / "tokenizer", Precision(torch.float32))


def test_a_damaged_encoder_does_not_stand_in_the_way_of_a_good_one(models: Path) -> None:
    (models / "broken.safetensors").write_bytes(b"broken")
    chosen = [models / name for name in ("anything.safetensors", "control.pth", "ip-adapter_sd15.bin")]
    files = check_files(*chosen, [models / "broken.safetensors", models / "encoder.safetensors"])
    assert files.image_encoder.path.name == "encoder.safetensors"
