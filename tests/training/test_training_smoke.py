"""The training command, run once on its smallest settings."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("vae", "clip", "clip_further", "diffusion")


def run_training(work: Path, models: Path, until: str) -> str:
    """Run the smoke recipe and return its log."""
    command = [sys.executable, "-m", "training", "--recipe", "smoke", "--work", str(work), "--to", str(models)]
    command += ["--until", until]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("smoke")
    run_training(folder / "work", folder / "models", "painter")
    return folder


def test_every_stage_logs_finite_losses(trained: Path) -> None:
    lines = [json.loads(line) for line in (trained / "work" / "log.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in lines} == set(STAGES)
    numbers = [value for line in lines for value in line.values() if isinstance(value, float)]
    assert numbers and all(math.isfinite(number) for number in numbers)


def test_the_export_loads_in_the_stock_pipeline_and_paints(trained: Path) -> None:
    from diffusers import ControlNetModel, StableDiffusionControlNetPipeline
    from PIL import Image

    models = trained / "models"
    controlnet = ControlNetModel.from_pretrained(models / "controlnet-canny-tiny", torch_dtype=torch.float32)
    pipeline = StableDiffusionControlNetPipeline.from_pretrained(
        models / "sd-tiny", controlnet=controlnet, torch_dtype=torch.float32, local_files_only=True
    )
    pipeline.load_ip_adapter(
        str(models / "ip-adapter-tiny"),
        subfolder="",
        weight_name="ip-adapter_tiny.safetensors",
        image_encoder_folder="image_encoder",
        local_files_only=True,
    )
    page = Image.new("RGB", (256, 256))
    output = pipeline("a city", image=page, ip_adapter_image=page, num_inference_steps=2, output_type="np")
    assert output.images.shape == (1, 256, 256, 3)


def test_the_text_encoder_has_the_published_key_prefix(trained: Path) -> None:
    from safetensors import safe_open

    with safe_open(trained / "models" / "sd-tiny" / "text_encoder" / "model.safetensors", "pt") as weights:
        assert all(key.startswith("text_model.") for key in list(weights.keys()))


def test_a_second_run_goes_on_from_the_checkpoints(trained: Path) -> None:
    log = run_training(trained / "work", trained / "again", "turbo")
    for stage in STAGES:
        assert f"{stage} goes on from step 2" in log
    assert (trained / "again" / "clip-tiny" / "model.safetensors").is_file()
    lines = [json.loads(line) for line in (trained / "work" / "log.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines[-4:]] == ["decoder", "decoder", "turbo", "turbo"]
    assert (trained / "again" / "lora-tiny" / "lcm-lora_tiny.safetensors").is_file()


def check(name: str, folder: Path) -> None:
    command = [sys.executable, str(Path(__file__).with_name("loop_checks.py")), name, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr[-2000:]


def test_batches_that_workers_draw_ahead_are_the_same(trained: Path) -> None:
    check("ahead", trained / "work")


def test_a_module_that_computes_in_bf16_learns_in_fp32(tmp_path: Path) -> None:
    check("narrow", tmp_path)


def test_turbo_distils_a_lora_that_the_pack_merges_and_samples_with(trained: Path) -> None:
    from dataclasses import replace

    from bundled_models import load_bundled
    from style_pack.generation.loading.pipeline import add_lora
    from style_pack.generation.sampler import generate
    from style_pack.generation.settings import GenerationSettings

    models, work = trained / "models", trained / "turbo"
    command = [sys.executable, "-m", "training.turbo", "--recipe", "smoke", "--work", str(work)]
    done = subprocess.run([*command, "--models", str(models)], cwd=ROOT, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr[-2000:]
    file = models / "lora-tiny" / "lcm-lora_tiny.safetensors"
    assert file.stat().st_size <= 2_000_000
    losses = [json.loads(line)["consistency"] for line in (work / "log.jsonl").read_text().splitlines()]
    assert len(losses) == 2 and all(math.isfinite(loss) for loss in losses)
    pipeline = add_lora(load_bundled(models), file, 1.0)
    settings = GenerationSettings("a city", "", 1, 4, 7.5, "ddim", 64, 64, speed="turbo")
    painted = generate(pipeline, settings, None, [])
    assert painted.settings == replace(settings, scheduler="lcm", guidance_scale=1.0)
    assert painted.images.isfinite().all()


def test_the_decoder_learns_from_what_the_painter_makes(trained: Path) -> None:
    from safetensors.torch import load_file

    models, work = trained / "models", trained / "decoder"
    before = load_file(models / "sd-tiny" / "vae" / "diffusion_pytorch_model.safetensors")
    command = [sys.executable, "-m", "training.decoder", "--recipe", "smoke", "--work", str(work)]
    done = subprocess.run([*command, "--models", str(models)], cwd=ROOT, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr[-2000:]
    after = load_file(models / "sd-tiny" / "vae" / "diffusion_pytorch_model.safetensors")
    changed = {name for name, weight in after.items() if not torch.equal(weight, before[name])}
    assert changed and all(name.startswith(("decoder.", "post_quant_conv.")) for name in changed)
    assert not (models / "sd-tiny" / ".vae-draft").exists()
    losses = [json.loads(line) for line in (work / "log.jsonl").read_text().splitlines()]
    assert "adversary" in losses[-1]
    assert all(math.isfinite(number) for loss in losses for number in loss.values() if isinstance(number, float))
