"""Weights to a ready pipeline. No network: the configs of the published models lie in `configs/`."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diffusers
import torch
from diffusers import AutoencoderKL, ControlNetModel, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.loaders import single_file_utils
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from ..model_configs import clip_vision_config
from ..model_files import ModelFile, fingerprint, load_state_dict, read_shapes
from .files import PipelineFiles
from .interrupts import go_on
from .memory_ladder import OUT_OF_MEMORY
from .style_attention import use_style_attention

if TYPE_CHECKING:
    from .lora import Lora

CONFIGS = Path(__file__).parent / "configs"
REMEMBERED = 32  # encodings a pipeline keeps: 0.1 to 1.3 MB each in SD 1.5

# diffusers 0.40 renamed the argument, and 0.42 warns of the old name.
DTYPE_ARGUMENT = "dtype" if tuple(map(int, diffusers.__version__.split(".")[:2])) >= (0, 40) else "torch_dtype"


class Denoiser(torch.nn.Module):
    """UNet and ControlNet as one unit, for they are needed on the device together."""

    def __init__(self, unet: UNet2DConditionModel, controlnet: ControlNetModel) -> None:
        super().__init__()
        self.unet = unet
        self.controlnet = controlnet


def _own_device(module: torch.nn.Module) -> torch.device:
    return next(module.parameters()).device


def _stay(module: torch.nn.Module) -> None:
    """Leave a module where it is."""


def _no_room() -> None:
    """Free nothing: who runs the pipeline alone has nothing else on the device."""


def _no_embeddings(name: str) -> Path:
    raise FileNotFoundError(f"embedding '{name}' was not found: this pipeline knows no folder of embeddings.")


@dataclass
class StylePipeline:
    """A loaded SD 1.5 with ControlNet and IP-Adapter.

    reads_hidden_states: the adapter (plus, full-face) reads the image encoder's last but one hidden state.
    identities: part -> file name, description and fingerprint of what it was loaded from.
    on_device: brings a module to the device that it should compute on, and returns that device.
    off_device: takes a module off it, where that makes room for another.
    out_of_memory: the exceptions that mean that the device's memory ended. make_room: takes everything off the device.
    loras: merged into UNet and text encoder while they run. check: raises when the user has ended the run.
    find_embedding: the file of an embedding that a prompt names; raises FileNotFoundError.
    encodings: of the prompts and references that were used last, on the CPU.
    """

    denoiser: Denoiser
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    image_encoder: CLIPVisionModelWithProjection
    image_processor: Any
    scheduler_config: dict[str, Any]
    reads_hidden_states: bool
    identities: dict[str, dict[str, str]] = field(default_factory=dict)
    on_device: Callable[[torch.nn.Module], torch.device] = _own_device
    off_device: Callable[[torch.nn.Module], None] = _stay
    out_of_memory: tuple[type[Exception], ...] = (OUT_OF_MEMORY,)
    make_room: Callable[[], None] = _no_room
    check: Callable[[], None] = go_on
    loras: tuple[Lora, ...] = ()
    find_embedding: Callable[[str], Path] = _no_embeddings
    encodings: dict[Hashable, torch.Tensor] = field(default_factory=dict)

    @property
    def encoding_id(self) -> str:
        """Tells whether an encoding of a reference was made by this image encoder, in this way: letters and dashes."""
        layer = "hidden" if self.reads_hidden_states else "pooled"
        dtype = str(next(self.image_encoder.parameters()).dtype).removeprefix("torch.")
        return f"{self.identities['image_encoder']['fingerprint']}-{layer}-{dtype}"

    def remembered(self, key: Hashable, encode: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Return what `encode` makes, on the CPU; what it made for the key before, while it is among the last ones."""
        if key not in self.encodings:
            self.encodings[key] = encode().cpu()
        self.encodings[key] = self.encodings.pop(key)  # a dict keeps its order: the one used last is the last
        while len(self.encodings) > REMEMBERED:
            del self.encodings[next(iter(self.encodings))]
        return self.encodings[key]


def load_pipeline(
    files: PipelineFiles, tokenizer: Path, dtype: torch.dtype, check: Callable[[], None] = go_on
) -> StylePipeline:
    """Load the weights in `dtype` on the CPU, asking `check` between files. `tokenizer`: folder for a single file."""
    parts = (_load_base_folder if files.base_model.is_folder else _load_base_file)(files.base_model, tokenizer, dtype)
    check()
    image_encoder, image_processor = _load_image_encoder(files.image_encoder, dtype)
    check()
    controlnet = _load_controlnet(files.controlnet, dtype)
    _add_ip_adapter(parts["unet"], image_encoder, image_processor, files.ip_adapter)
    denoiser = Denoiser(parts.pop("unet"), controlnet)
    for module in (denoiser, parts["vae"], parts["text_encoder"], image_encoder):
        module.requires_grad_(False).eval()
    return StylePipeline(
        denoiser=denoiser,
        image_encoder=image_encoder,
        image_processor=image_processor,
        reads_hidden_states=bool(files.ip_adapter.hidden_size),
        check=check,
        identities={part: _identity(file) for part, file in vars(files).items()},
        **parts,
    )


def _identity(file: ModelFile) -> dict[str, str]:
    return {"file": file.path.name, "is": file.description, "fingerprint": fingerprint(file.path)}


def _load_base_folder(file: ModelFile, tokenizer: Path, dtype: torch.dtype) -> dict[str, Any]:
    folder = file.path
    own_tokenizer = folder / "tokenizer"
    return {
        "unet": _from_folder(UNet2DConditionModel, folder / "unet", **{DTYPE_ARGUMENT: dtype}),
        "vae": _from_folder(AutoencoderKL, folder / "vae", **{DTYPE_ARGUMENT: dtype}),
        "text_encoder": _from_folder(CLIPTextModel, folder / "text_encoder").to(dtype),
        "tokenizer": _load_tokenizer(own_tokenizer if own_tokenizer.is_dir() else tokenizer),
        "scheduler_config": _read_json(folder / "scheduler" / "scheduler_config.json"),
    }


def _load_base_file(file: ModelFile, tokenizer: Path, dtype: torch.dtype) -> dict[str, Any]:
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
        "tokenizer": _load_tokenizer(tokenizer),
        "scheduler_config": _read_json(CONFIGS / "scheduler" / "scheduler_config.json"),
    }


def _load_controlnet(file: ModelFile, dtype: torch.dtype) -> ControlNetModel:
    if file.is_folder:
        return _from_folder(ControlNetModel, file.path, **{DTYPE_ARGUMENT: dtype})
    config = _read_json(CONFIGS / "controlnet" / "config.json")
    state = single_file_utils.convert_controlnet_checkpoint(load_state_dict(file.path), config)
    return _build(ControlNetModel, config, state, dtype, file)


def _load_image_encoder(file: ModelFile, dtype: torch.dtype) -> tuple[CLIPVisionModelWithProjection, Any]:
    folder = file.path.parent if file.path.stem in ("model", "pytorch_model") else file.path
    if (folder / "config.json").is_file():
        encoder = CLIPVisionModelWithProjection.from_pretrained(folder, local_files_only=True).to(dtype)
    else:
        config = CLIPVisionConfig(**clip_vision_config(read_shapes(file.path)))
        state = load_state_dict(file.path)
        encoder = CLIPVisionModelWithProjection.from_pretrained(None, config=config, state_dict=state).to(dtype)
    side = encoder.config.image_size
    return encoder, CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})


def _add_ip_adapter(unet, image_encoder, image_processor, file: ModelFile) -> None:
    """Give the UNet the adapter's projections. diffusers' loader belongs to a pipeline, so one is made for it."""
    tree: dict[str, dict[str, torch.Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for key, value in load_state_dict(file.path).items():
        part, _, rest = key.partition(".")
        if part in tree:
            tree[part][rest] = value
    loader = StableDiffusionPipeline(
        None, None, None, unet, None, None, image_processor, image_encoder, requires_safety_checker=False
    )
    verbosity = diffusers.logging.get_verbosity()
    diffusers.logging.set_verbosity_error()  # 0.42 warns of its own cast, and names no module that it would harm
    try:
        loader.load_ip_adapter(tree, subfolder="", weight_name="", image_encoder_folder=None)
    finally:
        diffusers.logging.set_verbosity(verbosity)
    use_style_attention(unet)


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


def _load_tokenizer(folder: Path) -> CLIPTokenizer:
    """CLIP's text towers take 77 tokens; ComfyUI's copy of the tokenizer says 8192."""
    tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    tokenizer.model_max_length = 77
    return tokenizer


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
