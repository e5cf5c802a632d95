"""The named models of Hugging Face's Hub: downloaded only when chosen, into ComfyUI's own model folders, once."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import folder_paths

from ...retrieval.disk.durable import sync_folders, sync_tree
from .requirements import require


@dataclass(frozen=True)
class HubModel:
    """A model of the Hub, and where it goes.

    repository: OWNER/NAME.
    patterns: what is fetched of the repository.
    folder: ComfyUI's model folder that it goes to.
    path: the file or folder within the repository that is kept and used; "" = all that was fetched.
    """

    repository: str
    patterns: tuple[str, ...]
    folder: str
    path: str = ""


_ENCODER_FILES = ("*.json", "*.txt", "spiece.model", "tokenizer.model", "model.safetensors")
_ENCODERS = (
    "openai/clip-vit-base-patch32",
    "openai/clip-vit-large-patch14",
    "google/siglip-base-patch16-224",
    "google/siglip2-base-patch16-224",
    "facebook/dinov2-base",
)
_SENTENCES = "sentence-transformers/all-MiniLM-L6-v2"
_SENTENCE_FILES = (
    *("config.json", "modules.json", "sentence_bert_config.json", "1_Pooling/config.json", "model.safetensors"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"),
)
_SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
_SD15_FILES = (
    "model_index.json",
    "scheduler/*",
    "tokenizer/*",
    *(f"{part}/{name}" for part in ("unet", "vae", "text_encoder") for name in ("config.json", "*.fp16.safetensors")),
)
_ADAPTERS = ("ip-adapter_sd15", "ip-adapter_sd15_light", "ip-adapter-plus_sd15")

HUB: dict[str, dict[str, HubModel]] = {
    "base_model": {_SD15: HubModel(_SD15, _SD15_FILES, "diffusers")},
    "controlnet": {
        "lllyasviel/control_v11p_sd15_canny": HubModel(
            "lllyasviel/control_v11p_sd15_canny",
            ("config.json", "diffusion_pytorch_model.fp16.safetensors"),
            "controlnet",
        )
    },
    "ip_adapter": {
        f"h94/IP-Adapter/{name}": HubModel(
            "h94/IP-Adapter", (f"models/{name}.safetensors",), "ipadapter", f"models/{name}.safetensors"
        )
        for name in _ADAPTERS
    },
    "encoder": {name: HubModel(name, _ENCODER_FILES, "clip_vision") for name in _ENCODERS},
    "caption_encoder": {_SENTENCES: HubModel(_SENTENCES, _SENTENCE_FILES, "text_encoders")},
}
IMAGE_ENCODER = HubModel(
    "h94/IP-Adapter",
    ("models/image_encoder/config.json", "models/image_encoder/model.safetensors"),
    "clip_vision",
    "models/image_encoder",
)


def local_copy(part: str, name: str) -> Path | None:
    """Return where an earlier download of a Hub option lies, or None."""
    path = _target(HUB[part][name])
    return path if path.exists() else None


def download(model: HubModel) -> Path:
    """Fetch a model, resuming what an earlier try left, and return the file or folder to load.

    What arrives lies in `<folder>.partial` until it is complete; who asks for it meanwhile waits for that. Raises
    ConnectionError in one sentence.
    """
    target = _target(model)
    if target.exists():
        return target
    require({"huggingface_hub": "huggingface_hub", "filelock": "filelock"})
    from filelock import FileLock

    folder = _folder(model)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not target.exists():
            _fetch(model, folder, target)
    return target


def _fetch(model: HubModel, folder: Path, target: Path) -> None:
    from huggingface_hub import snapshot_download

    partial = folder.with_name(folder.name + ".partial")
    try:
        snapshot_download(model.repository, allow_patterns=list(model.patterns), local_dir=partial)
    except (OSError, RuntimeError, ValueError) as error:
        raise ConnectionError(
            f"{model.repository} could not be downloaded ({type(error).__name__}): check the connection, or put its "
            f"files into {folder} yourself."
        ) from error
    shutil.rmtree(partial / ".cache", ignore_errors=True)  # the Hub client's notes on what has arrived
    target.parent.mkdir(parents=True, exist_ok=True)
    sync_tree(partial)  # before the name says that it is whole
    os.replace(partial / model.path, target)
    sync_folders([target.parent])
    shutil.rmtree(partial, ignore_errors=True)


def _folder(model: HubModel) -> Path:
    return Path(folder_paths.get_folder_paths(model.folder)[0]) / model.repository.replace("/", "--")


def _target(model: HubModel) -> Path:
    return _folder(model) / model.path
