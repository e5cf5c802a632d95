"""Writes a stack of models as the folders that diffusers, transformers and ComfyUI read.

Knows layouts and key names, not training.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

from .architecture import Models, build_image_processor, build_models, build_scheduler
from .tokenizer import build_tokenizer, save_tokenizer

MODELS = Path(__file__).resolve().parent.parent / "models"
FOLDERS = ("sd-tiny", "controlnet-canny-tiny", "ip-adapter-tiny", "clip-tiny")


def text_encoder_of(models: Models) -> CLIPTextModel:
    """The text tower alone, with the projection left out as in SD 1.5."""
    config = CLIPTextConfig(**models.clip.config.text_config.to_dict())
    encoder = CLIPTextModel(config)
    weights = {key.removeprefix("text_model."): value for key, value in models.clip.state_dict().items()}
    own = {key.removeprefix("text_model."): key for key in encoder.state_dict()}
    encoder.load_state_dict({full: weights[short] for short, full in own.items()})
    return encoder.eval()


def image_encoder_of(models: Models) -> CLIPVisionModelWithProjection:
    """The image tower with its projection, as the IP-Adapter reads it."""
    encoder = CLIPVisionModelWithProjection(models.clip.config.vision_config)
    weights = models.clip.state_dict()
    encoder.load_state_dict({key: weights[key] for key in encoder.state_dict()})
    return encoder.eval()


def use_published_text_keys(folder: Path) -> None:
    """Give the saved text encoder the `text_model.` prefix that every published SD 1.5 file has."""
    file = folder / "model.safetensors"
    prefix = "text_model."
    named = {prefix + key.removeprefix(prefix): value for key, value in load_file(file).items()}
    save_file(named, file, metadata={"format": "pt"})


def remove_local_names(folder: Path) -> None:
    """Drop the paths of this machine that saving leaves in the configurations."""
    for file in folder.rglob("*.json"):
        config = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(config, dict) and config.pop("_name_or_path", None) is not None:
            file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def write_pipeline(models: Models, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """The `sd-tiny` folder, as `StableDiffusionPipeline.from_pretrained` reads it."""
    pipeline = StableDiffusionPipeline(
        vae=models.vae,
        text_encoder=text_encoder_of(models),
        tokenizer=tokenizer,
        unet=models.unet,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(dtype=torch.float16).save_pretrained(folder)
    save_tokenizer(tokenizer, folder / "tokenizer")
    use_published_text_keys(folder / "text_encoder")


def write_clip(models: Models, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """The `clip-tiny` folder: both towers, tokeniser and image processor."""
    models.clip.half().save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    build_image_processor().save_pretrained(folder)


def write_ip_adapter(models: Models, folder: Path) -> None:
    """The adapter's file in the published keys, its image encoder beside it."""
    image_encoder_of(models).half().save_pretrained(folder / "image_encoder")
    build_image_processor().save_pretrained(folder / "image_encoder")
    weights = {key: value.half().contiguous() for key, value in models.ip_adapter.state_dict().items()}
    save_file(weights, folder / "ip-adapter_tiny.safetensors", metadata={"format": "pt"})


def export_models(models: Models, destination: Path) -> None:
    """Write all four folders; each replaces its predecessor only when it is complete.

    The models are converted to half precision in place: pass copies to go on training.
    """
    tokenizer = build_tokenizer()
    draft = destination / ".draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    write_clip(models, tokenizer, draft / "clip-tiny")
    write_ip_adapter(models, draft / "ip-adapter-tiny")
    models.controlnet.half().save_pretrained(draft / "controlnet-canny-tiny")
    write_pipeline(models, tokenizer, draft / "sd-tiny")
    remove_local_names(draft)
    for name in FOLDERS:
        shutil.rmtree(destination / name, ignore_errors=True)
        (draft / name).rename(destination / name)
    draft.rmdir()


def main() -> None:
    parser = argparse.ArgumentParser(description="Write untrained models in the layout of the trained ones.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--to", type=Path, default=MODELS)
    arguments = parser.parse_args()
    export_models(build_models(arguments.seed, len(build_tokenizer())), arguments.to)


if __name__ == "__main__":
    main()
