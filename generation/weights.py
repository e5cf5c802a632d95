"""One file or folder to one model, in the layouts that SD 1.5 is published in. No network: the configs of single files
lie in `configs/`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from diffusers.loaders import single_file_utils
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, CLIPVisionConfig, CLIPVisionModelWithProjection

from ..model_configs import clip_vision_config
from ..model_files import ModelFile, load_state_dict, read_shapes

CONFIGS = Path(__file__).parent / "configs"

# diffusers 0.40 renamed the argument, and 0.42 warns of the old name.
DTYPE_ARGUMENT = "dtype" if tuple(map(int, diffusers.__version__.split(".")[:2])) >= (0, 40) else "torch_dtype"


def load_base(file: ModelFile, dtype: torch.dtype) -> dict[str, Any]:
    """Return `unet`, `vae` and `text_encoder` of a folder or of a single file."""
    return (_load_base_folder if file.is_folder else _load_base_file)(file, dtype)


def _load_base_folder(file: ModelFile, dtype: torch.dtype) -> dict[str, Any]:
    folder = file.path
    return {
        "unet": _from_folder(UNet2DConditionModel, folder / "unet", **{DTYPE_ARGUMENT: dtype}),
        "vae": _from_folder(AutoencoderKL, folder / "vae", **{DTYPE_ARGUMENT: dtype}),
        "text_encoder": _from_folder(CLIPTextModel, folder / "text_encoder").to(dtype),
    }


def _load_base_file(file: ModelFile, dtype: torch.dtype) -> dict[str, Any]:
    state = load_state_dict(file.path)
    unet_config, vae_config = (_read_json(CONFIGS / name / "config.json") for name in ("unet", "vae"))
    prefix = "cond_stage_model.transformer."
    text = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    if not text or not any(key.startswith("first_stage_model.") for key in state):
        missing = "text encoder" if not text else "VAE"
        raise ValueError(f"base_model {file.path.name} carries no {missing}: choose a complete SD 1.5 checkpoint.")
    text_config = CLIPTextConfig.from_pretrained(CONFIGS / "text_encoder")
    return {
        "unet": _build(
            UNet2DConditionModel,
            unet_config,
            single_file_utils.convert_ldm_unet_checkpoint(state, unet_config),
            dtype,
            file,
        ),
        "vae": _build(
            AutoencoderKL, vae_config, single_file_utils.convert_ldm_vae_checkpoint(state, vae_config), dtype, file
        ),
        "text_encoder": CLIPTextModel.from_pretrained(None, config=text_config, state_dict=text).to(dtype),
    }


def load_scheduler_config(file: ModelFile) -> dict[str, Any]:
    return _read_json((file.path if file.is_folder else CONFIGS) / "scheduler" / "scheduler_config.json")


def load_controlnet(file: ModelFile, dtype: torch.dtype) -> ControlNetModel:
    if file.is_folder:
        return _from_folder(ControlNetModel, file.path, **{DTYPE_ARGUMENT: dtype})
    config = _read_json(CONFIGS / "controlnet" / "config.json")
    state = single_file_utils.convert_controlnet_checkpoint(load_state_dict(file.path), config)
    return _build(ControlNetModel, config, state, dtype, file)


def load_image_encoder(file: ModelFile, dtype: torch.dtype) -> CLIPVisionModelWithProjection:
    folder = file.path.parent if file.path.stem in ("model", "pytorch_model") else file.path
    if (folder / "config.json").is_file():
        return CLIPVisionModelWithProjection.from_pretrained(folder, local_files_only=True).to(dtype)
    config = CLIPVisionConfig(**clip_vision_config(read_shapes(file.path)))
    state = load_state_dict(file.path)
    return CLIPVisionModelWithProjection.from_pretrained(None, config=config, state_dict=state).to(dtype)


def _from_folder(model: Any, folder: Path, **options: Any) -> Any:
    """Load a model; folders published in half precision alone name their files `….fp16.safetensors`."""
    names = [path.name for path in folder.iterdir() if path.suffix in (".safetensors", ".bin")]
    variant = "fp16" if names and all(".fp16." in name for name in names) else None
    return model.from_pretrained(folder, variant=variant, local_files_only=True, **options)


def _build(
    model: type, config: dict[str, Any], state: dict[str, torch.Tensor], dtype: torch.dtype, file: ModelFile
) -> Any:
    """Build the model around the tensors of the file, so that nothing is allocated or initialised twice."""
    with torch.device("meta"):
        built = model.from_config(config)
    try:
        built.load_state_dict({key: value.to(dtype) for key, value in state.items()}, strict=True, assign=True)
    except RuntimeError as error:
        detail = str(error).strip().splitlines()
        raise ValueError(
            f"{file.path.name} is {file.description}, but its tensors do not fit {model.__name__} of SD 1.5 "
            f"({detail[1].strip() if len(detail) > 1 else detail[0]}): download it again or choose another."
        ) from error
    return built


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """CLIP's text towers take 77 tokens; ComfyUI's copy of the tokenizer says 8192."""
    tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    tokenizer.model_max_length = 77
    return tokenizer


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
