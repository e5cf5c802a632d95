"""ControlNets of other kinds than Canny's: one layout, and control pictures of their own, which are no lines."""

from pathlib import Path
from typing import Any

import published_layouts as published
import pytest
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline
from style_pack.generation.loading.files import check_files
from style_pack.generation.loading.pipeline import load_pipeline
from style_pack.generation.loading.precision import Precision
from style_pack.generation.sampler import generate
from style_pack.generation.schedulers import build_scheduler
from style_pack.generation.settings import GenerationSettings
from transformers import CLIPTextModel

SETTINGS = GenerationSettings("a castle", "", 3, 2, 3.0, "ddim", 64, 64)
ROWS, COLUMNS = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 64), indexing="ij")
CONTROL_PICTURES = {  # RGB 0..1, as the preprocessors of each kind give them
    "control_v11p_sd15_scribble.pth": ((ROWS - 0.5).abs() < 0.1).float().expand(3, 64, 64),  # white strokes on black
    "control_v11p_sd15_lineart_fp16.safetensors": (1 - 20 * (ROWS - COLUMNS).abs()).clamp(0, 1).expand(3, 64, 64),
    "control_v11p_sd15_softedge.pth": torch.exp(-(((COLUMNS - 0.5) * 6) ** 2)).expand(3, 64, 64),
    "control_v11f1p_sd15_depth_fp16.safetensors": (ROWS * COLUMNS).expand(3, 64, 64),
    "control_v11p_sd15_normalbae.pth": torch.stack((ROWS, COLUMNS, 1 - ROWS)),
}


pytestmark = pytest.mark.usefixtures("small_configs")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("small models")
    published.diffusers_folder(root / "folder")
    published.ip_adapter(root / "ip-adapter_sd15.safetensors")
    published.clip_vision(root / "encoder.safetensors")
    published.tokenizer_folder(root / "tokenizer")
    published.meta_model("controlnet", published.SMALL).save_config(root / "configs" / "controlnet")
    return root


@pytest.mark.parametrize("layout", ["original", "bare"])
@pytest.mark.parametrize("name", CONTROL_PICTURES)
def test_other_controlnets_take_their_own_control_pictures_as_diffusers_does(
    models: Path, tmp_path: Path, name: str, layout: Any
) -> None:
    picture = CONTROL_PICTURES[name][None].contiguous()
    file = published.controlnet(tmp_path / name, seed=len(name), layout=layout)
    encoder = [models / "encoder.safetensors"]
    files = check_files(models / "folder", file, models / "ip-adapter_sd15.safetensors", encoder)
    pipeline = load_pipeline(files, models / "tokenizer", Precision(torch.float32))
    ours = generate(pipeline, SETTINGS, picture, []).latents
    net = ControlNetModel.from_pretrained(published.controlnet(tmp_path / "folder", seed=len(name))).float()
    text_encoder = CLIPTextModel.from_pretrained(models / "folder" / "text_encoder").float()
    pipe: Any = StableDiffusionControlNetPipeline.from_pretrained(
        models / "folder", text_encoder=text_encoder, controlnet=net
    )
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = build_scheduler(SETTINGS.scheduler, dict(pipe.scheduler.config))
    expected = pipe(
        SETTINGS.prompt, negative_prompt="", image=picture, width=64, height=64, output_type="latent",
        num_inference_steps=SETTINGS.num_inference_steps, guidance_scale=SETTINGS.guidance_scale,
        generator=torch.Generator().manual_seed(SETTINGS.seed),
    ).images  # fmt: skip
    assert (ours - expected).abs().max() <= 1e-3
    in_black_and_white = generate(pipeline, SETTINGS, (picture > 0.5).float(), []).latents
    is_binary = bool(((picture == 0) | (picture == 1)).all())
    assert torch.equal(ours, in_black_and_white) == is_binary
