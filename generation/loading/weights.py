"""One file or folder to one model, in the layouts that SD 1.5 is published in. No network: the configs of single files
lie in `configs/`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from diffusers.loaders import single_file_utils
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, CLIPVisionConfig, CLIPVisionModelWithProjection

from ...model_files.configs import clip_vision_config, unbuildable
from ...model_files.identify import ModelFile, load_folder, load_state_dict, read_metadata
from ...model_files.json_files import JsonFile
from ...model_files.opening import shown
from .open_clip import vision_tower
from .tensors import build, read_config, refuse

CONFIGS = Path(__file__).parent / "configs"

# diffusers 0.40 renamed the argument, and 0.42 warns of the old name.
DTYPE_ARGUMENT = "dtype" if tuple(map(int, diffusers.__version__.split(".")[:2])) >= (0, 40) else "torch_dtype"
_PARTS = {"unet": "config.json", "vae": "config.json", "text_encoder": "config.json"}
_PARTS["scheduler"] = "scheduler_config.json"
_PROJECTION = "visual_projection.weight"
_UNET, _VAE, _CONTROL = "model.diffusion_model.", "first_stage_model.", "control_model."  # of original names


def load_base(file: ModelFile, dtype: torch.dtype) -> dict[str, Any]:
    """Return `unet`, `vae` and `text_encoder` of a folder or of a single file. Raises ValueError in one sentence."""
    return (_load_base_folder if file.is_folder else _load_base_file)(file, dtype)


def _load_base_folder(file: ModelFile, dtype: torch.dtype) -> dict[str, Any]:
    folder = file.path
    absent = [part for part, config in _PARTS.items() if not (folder / part / config).is_file()]
    if absent:
        raise ValueError(
            f"base_model {file.path.name} is {file.description}, but has no {' and no '.join(absent)}: download it "
            "again."
        )
    text_config = _read_text_config(folder / "text_encoder", file)
    return {
        "unet": _load_folder(UNet2DConditionModel, folder / "unet", dtype, file),
        "vae": _load_folder(AutoencoderKL, folder / "vae", dtype, file),
        "text_encoder": _build_clip(CLIPTextModel, text_config, load_folder(folder / "text_encoder"), dtype, file),
    }


def _load_base_file(file: ModelFile, dtype: torch.dtype) -> dict[str, Any]:
    state = load_state_dict(file.path)
    unet_config, vae_config = (read_config(CONFIGS / name) for name in ("unet", "vae"))
    prefix = "cond_stage_model.transformer."
    text = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    if not text or not any(key.startswith(_VAE) for key in state):
        missing = "text encoder" if not text else "VAE"
        raise ValueError(f"base_model {file.path.name} carries no {missing}: choose a complete SD 1.5 checkpoint.")
    unet = _converted(single_file_utils.convert_ldm_unet_checkpoint, state, unet_config, _UNET)
    vae = _converted(single_file_utils.convert_ldm_vae_checkpoint, state, vae_config, _VAE)
    text_config = _read_text_config(CONFIGS / "text_encoder", file)
    for key in (key for key in text if key.endswith("token_embedding.weight")):
        text[key] = text[key][: text_config.vocab_size]  # words that training added come last; no prompt reaches them
    return {
        "unet": build(UNet2DConditionModel, unet_config, unet, dtype, file),
        "vae": build(AutoencoderKL, vae_config, vae, dtype, file),
        "text_encoder": _build_clip(CLIPTextModel, text_config, text, dtype, file),
    }


def load_scheduler_config(file: ModelFile) -> dict[str, Any]:
    """Return the scheduler's configuration: a folder's own, or SD 1.5's with what a single file says otherwise."""
    if file.is_folder:
        return JsonFile.read(file.path / "scheduler" / "scheduler_config.json").values
    return JsonFile.read(CONFIGS / "scheduler" / "scheduler_config.json").values | _prediction(file)


def _prediction(file: ModelFile) -> dict[str, Any]:
    """Return what a checkpoint says that its UNet predicts: by the marks v_pred and ztsnr, or modelspec's metadata.

    Zero terminal SNR and its spacing: Lin et al., Common Diffusion Noise Schedules and Sample Steps are Flawed, WACV
    2024 (arXiv:2305.08891).
    """
    zero_snr = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"} if "ztsnr" in file.marks else {}
    if file.marks or read_metadata(file.path).get("modelspec.prediction_type") in ("v", "v_prediction"):
        return {"prediction_type": "v_prediction"} | zero_snr
    return {}


def load_controlnet(file: ModelFile, dtype: torch.dtype, base: ModelFile | None = None) -> ControlNetModel:
    """Load a ControlNet. base: what the weights of a difference ControlNet are added to.

    Raises ValueError in one sentence.
    """
    if file.is_folder:
        return _load_folder(ControlNetModel, file.path, dtype, file)
    config, state = read_config(CONFIGS / "controlnet"), load_state_dict(file.path)
    if file.original_layout:
        bare = not any(key.startswith(_CONTROL) for key in state)
        state = {f"{_CONTROL}{key}": value for key, value in state.items()} if bare else state
        state = _converted(single_file_utils.convert_controlnet_checkpoint, state, config, _CONTROL)
    if file.is_difference and base is not None:
        trunk = load_base(base, torch.float32)["unet"].state_dict()
        state = {name: value + trunk[name] if name in trunk else value for name, value in state.items()}
    return build(ControlNetModel, config, state, dtype, file)


def load_image_encoder(file: ModelFile, dtype: torch.dtype, projected: bool = True) -> CLIPVisionModelWithProjection:
    """Load an image encoder. projected: whether its projection is used; else a file may lack it.

    Raises ValueError in one sentence.
    """
    folder = file.path.parent if file.path.stem in ("model", "pytorch_model") else file.path
    described = (folder / "config.json").is_file()
    state = load_folder(file.path) if file.is_folder else load_state_dict(file.path)
    state = vision_tower(state) if file.original_layout else state
    if not projected and _PROJECTION not in state:
        state[_PROJECTION] = torch.zeros(1, file.hidden_size)
    try:
        if described:
            config = CLIPVisionConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        else:
            config = CLIPVisionConfig(**clip_vision_config({name: tuple(value.shape) for name, value in state.items()}))
    except unbuildable() as error:
        raise ValueError(
            f"image encoder {file.path.name} {shown(str(error))}: download it again or choose another."
        ) from error
    return _build_clip(CLIPVisionModelWithProjection, config, state, dtype, file)


def _read_text_config(folder: Path, file: ModelFile) -> Any:
    try:
        return CLIPTextConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except unbuildable() as error:
        raise ValueError(
            f"{file.path.name} is {file.description}, but its text encoder's configuration is none: download it again."
        ) from error


def _load_folder(model: Any, folder: Path, dtype: torch.dtype, file: ModelFile) -> Any:
    return build(model, read_config(folder), load_folder(folder), dtype, file)


def _build_clip(model: Any, config: Any, state: dict[str, Any], dtype: torch.dtype, file: ModelFile) -> Any:
    """Build one of CLIP's towers. Its published names have a prefix that transformers 5 saves without and reads."""
    tower = "text_model." if model is CLIPTextModel else "vision_model."
    if not any(key.startswith(tower) for key in state):
        state = {f"{tower}{key}": value for key, value in state.items()}
    state = {key: value.to(dtype) if value.is_floating_point() else value for key, value in state.items()}
    try:
        built, loading_info = model.from_pretrained(
            None, config=config, state_dict=state, output_loading_info=True, ignore_mismatched_sizes=True,
            local_files_only=True, trust_remote_code=False,
        )  # fmt: skip
    except unbuildable() as error:
        raise ValueError(
            f"{file.path.name} is {file.description}, but its {model.__name__} does not load "
            f"({shown(str(error))}): download it again or choose another."
        ) from error
    # position_ids hold 0, 1, 2, ...
    absent = (key for key in loading_info["missing_keys"] if not key.endswith("position_ids"))
    refuse(file, model.__name__, absent, loading_info["mismatched_keys"])
    return built.to(dtype)


def _converted(convert: Any, state: dict[str, Any], config: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Give the tensors of a part diffusers' names. Its own function fails at some that are missing: they stay out."""
    state = {key: value for key, value in state.items() if key.startswith(prefix)}
    while True:
        try:
            return {key: value for key, value in convert(dict(state), config).items() if value is not None}
        except KeyError as error:
            absent = f"{prefix}{error.args[0]}"
            if absent in state:
                raise
            state[absent] = None


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """CLIP's text towers take 77 tokens; ComfyUI's copy of the tokenizer says 8192."""
    tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    tokenizer.model_max_length = 77
    return tokenizer
