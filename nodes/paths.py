"""Where things are in ComfyUI's folders: the models that each COMBO lists, knowledge bases, embeddings."""

import os
from collections.abc import Iterator
from pathlib import Path

import comfy
import folder_paths

from ..model_files import identify
from ..retrieval.database import FILE
from ..retrieval.families import FAMILIES
from ..retrieval.origin import check_name
from .hub import HUB, local_copy

PACK = Path(__file__).resolve().parent.parent
MODELS = PACK / "models"
SKETCHES = PACK / "styles" / "sketches"
# What `speed` turbo takes for the bundled models. No COMBO lists it: beside any other model it would be a mistake.
BUNDLED_TURBO = MODELS / "lora-tiny" / "lcm-lora_tiny.safetensors"
WEIGHT_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")

# What each COMBO offers beside the files it finds: name -> path in the pack, and Hub repository -> what to fetch of it.
BUNDLED = {
    "base_model": {"bundled/sd-tiny": "sd-tiny"},
    "controlnet": {"bundled/controlnet-canny-tiny": "controlnet-canny-tiny"},
    "ip_adapter": {"bundled/ip-adapter-tiny": "ip-adapter-tiny/ip-adapter_tiny.safetensors"},
    "encoder": {"bundled/clip-tiny": "clip-tiny"},
    "caption_encoder": {},
    "lora": {},
}
# The model folders of ComfyUI that a COMBO looks into.
FOLDERS = {
    "base_model": ("checkpoints", "diffusers"),
    "controlnet": ("controlnet",),
    "ip_adapter": ("ipadapter",),
    "encoder": ("clip_vision", "text_encoders"),
    "caption_encoder": ("text_encoders",),
    "lora": ("loras",),
}
# What a file or folder has to be for the COMBOs of encoders to list it.
_KINDS = {"encoder": tuple(FAMILIES), "caption_encoder": ("sentence",)}


def register_ipadapter_folder() -> None:
    """Make `models/ipadapter` known, as IPAdapter_plus does: paths that others named stay, extensions are set."""
    known = folder_paths.folder_names_and_paths
    folders = known["ipadapter"][0] if "ipadapter" in known else [os.path.join(folder_paths.models_dir, "ipadapter")]
    known["ipadapter"] = (folders, folder_paths.supported_pt_extensions)


def model_options(part: str) -> list[str]:
    """Return what the COMBO of a part lists: bundled, Hub names, then what lies in ComfyUI's model folders."""
    found = [*BUNDLED[part], *HUB.get(part, {}), *_files(part), *_folders(part)]
    return list(dict.fromkeys(found))


def find_model(part: str, name: str) -> Path | None:
    """Return the path of an option, or None for a Hub model that has not been downloaded.

    Raises FileNotFoundError with what was looked for, where, and what is there.
    """
    if name in BUNDLED[part]:
        return MODELS / BUNDLED[part][name]
    for folder in FOLDERS[part]:
        file = folder_paths.get_full_path(folder, name) if name.endswith(WEIGHT_SUFFIXES) else None
        if file:
            return Path(file)
    for option, path in _folder_paths(part):
        if option == name:
            return path
    if name in HUB.get(part, {}):
        return local_copy(part, name)
    places = [path for folder in FOLDERS[part] for path in folder_paths.get_folder_paths(folder)]
    here = ", ".join([*_files(part), *_folders(part)][:8]) or "nothing"
    raise FileNotFoundError(
        f"{part} '{name}' was not found: looked in {', '.join(places)}, which hold {here}; put the file there or "
        "choose another."
    )


def image_encoders() -> list[Path]:
    """Return what an IP-Adapter could be paired with: all of ComfyUI's clip_vision folder, then the bundled encoder."""
    found = [
        Path(path)
        for name in folder_paths.get_filename_list("clip_vision")
        if (path := folder_paths.get_full_path("clip_vision", name))
    ]
    return [*found, MODELS / "ip-adapter-tiny" / "image_encoder"]


def find_embedding(name: str) -> Path:
    """Return the file of `embedding:name` in ComfyUI's embeddings folders, the suffix written or not."""
    known = folder_paths.get_filename_list("embeddings")
    for file in known:
        if name in (file, os.path.splitext(file)[0], os.path.basename(file), Path(file).stem):
            return Path(folder_paths.get_full_path_or_raise("embeddings", file))
    places = ", ".join(folder_paths.get_folder_paths("embeddings"))
    raise FileNotFoundError(
        f"embedding '{name}' was not found: looked in {places}, which hold {', '.join(known[:8]) or 'nothing'}; put "
        "the file there or take it out of the prompt."
    )


def tokenizer() -> Path:
    """Return the folder of CLIP's tokenizer that comes with ComfyUI."""
    return Path(comfy.__path__[0]) / "sd1_tokenizer"


def knowledge_base_folder(name: str) -> Path:
    """Return where a knowledge base lives: ComfyUI's system user directory, which is never served over HTTP.

    Raises ValueError for a name that is no plain folder name on every operating system.
    """
    check_name(name)
    return Path(system_user_directory()) / name


def knowledge_base_folders() -> list[Path]:
    """Return the folders of all knowledge bases, by name, whatever state each is in."""
    root = Path(system_user_directory())
    named = sorted(folder for folder in root.iterdir() if not folder.name.startswith(".")) if root.is_dir() else []
    return [folder for folder in named if os.path.lexists(folder / FILE)]


def system_user_directory() -> str:
    """Return ComfyUI's folder for what the pack keeps, which is never served over HTTP."""
    if hasattr(folder_paths, "get_system_user_directory"):  # since ComfyUI 0.3.75
        return folder_paths.get_system_user_directory("style_rag")
    return os.path.join(folder_paths.get_user_directory(), "__style_rag")


def _files(part: str) -> list[str]:
    """Single files. What an encoder is, its header tells: an image encoder without its text half is none for CLIP."""
    names = [
        (folder, name)
        for folder in FOLDERS[part]
        if folder != "diffusers"
        for name in folder_paths.get_filename_list(folder)
    ]
    files = [
        (folder, name)
        for folder, name in names
        if name.endswith(WEIGHT_SUFFIXES) and not _in_model_folder(folder, name)
    ]
    if part in _KINDS:
        files = [(folder, name) for folder, name in files if _suits(part, folder_paths.get_full_path(folder, name))]
    return [name for _, name in files]


def _folders(part: str) -> list[str]:
    return [name for name, _ in _folder_paths(part)]


def _folder_paths(part: str) -> Iterator[tuple[str, Path]]:
    """Yield (name, path) of model folders in diffusers' or transformers' layout, one or two levels down."""
    marker = "model_index.json" if part == "base_model" else "config.json"
    for folder in FOLDERS[part]:
        for root in folder_paths.get_folder_paths(folder):
            for pattern in (f"*/{marker}", f"*/*/{marker}"):
                for config in sorted(Path(root).glob(pattern)):
                    path = config.parent
                    if part not in _KINDS or _suits(part, str(path)):
                        yield path.relative_to(root).as_posix(), path


def _in_model_folder(folder: str, name: str) -> bool:
    """Tell whether a file is part of a model folder, which is listed as a whole."""
    path = folder_paths.get_full_path(folder, name)
    return os.path.dirname(name) != "" and path is not None and (Path(path).parent / "config.json").is_file()


def _suits(part: str, path: str | None) -> bool:
    if path is None:
        return False
    file = Path(path)
    if not file.is_dir() and file.suffix != ".safetensors":
        return False
    try:
        return identify(file).kind in _KINDS[part]
    except (ValueError, OSError):
        return False
