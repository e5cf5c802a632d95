"""The named models of Hugging Face's Hub: downloaded only when chosen, into ComfyUI's own model folders, once."""

import os
from dataclasses import dataclass
from pathlib import Path

import folder_paths

from .requirements import require


@dataclass(frozen=True)
class HubModel:
    """What is fetched of a repository, into which model folder; `path`: what is then used of it, "" = the whole
    folder."""

    repository: str
    patterns: tuple[str, ...]
    folder: str
    path: str = ""


_CLIP_FILES = ("*.json", "*.txt", "model.safetensors", "pytorch_model.bin")
_SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
_SD15_FILES = ("model_index.json", "scheduler/*", "tokenizer/*", "*/config.json", "*/*.fp16.safetensors")
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
    "encoder": {
        name: HubModel(name, _CLIP_FILES, "clip_vision")
        for name in ("openai/clip-vit-base-patch32", "openai/clip-vit-large-patch14")
    },
}
IMAGE_ENCODER = HubModel("h94/IP-Adapter", ("models/image_encoder/*",), "clip_vision", "models/image_encoder")


def local_copy(part: str, name: str) -> Path | None:
    """Return where an earlier download of a Hub option lies, or None."""
    path = _target(HUB[part][name])
    return path if path.exists() else None


def download(model: HubModel) -> Path:
    """Fetch a model, resuming what an earlier try left, and return the file or folder to load.

    Raises ConnectionError in one sentence when the Hub can't be reached; what did arrive stays for the next try.
    """
    require({"huggingface_hub": "huggingface_hub"})
    from huggingface_hub import snapshot_download

    final = _folder(model)
    if not _target(model).exists():
        partial = final.with_name(final.name + ".partial")
        try:
            snapshot_download(model.repository, allow_patterns=list(model.patterns), local_dir=partial)
        except (OSError, RuntimeError, ValueError) as error:
            raise ConnectionError(
                f"{model.repository} could not be downloaded ({type(error).__name__}): check the connection, or put "
                f"its files into {final} yourself."
            ) from error
        _move_into(partial, final)
    return _target(model)


def _folder(model: HubModel) -> Path:
    return Path(folder_paths.get_folder_paths(model.folder)[0]) / model.repository.replace("/", "--")


def _target(model: HubModel) -> Path:
    return _folder(model) / model.path if model.path else _folder(model)


def _move_into(partial: Path, final: Path) -> None:
    """Move the finished files over; one repository may have given some of its files before."""
    for file in [path for path in partial.rglob("*") if path.is_file() and ".cache" not in path.parts]:
        target = final / file.relative_to(partial)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, target)
