"""Where things are in ComfyUI's folders: the models that each COMBO lists, knowledge bases, embeddings."""

import os
import time
from pathlib import Path, PurePosixPath

import comfy
import folder_paths

from ...model_files.identify import ModelFile
from ...retrieval.database.database import FILE
from ...retrieval.encoders.families import FAMILIES
from ...retrieval.store.origin import folder_of
from .hub import HUB, local_copy
from .in_time import Inquiry
from .model_folders import PATIENCE, Found, awake, identified, identified_in_time, look, places

PACK = Path(__file__).resolve().parents[2]
MODELS = PACK / "models"
SKETCHES = PACK / "styles" / "sketches"
# What `speed` turbo takes for the bundled models. No COMBO lists it: beside any other model it would be a mistake.
BUNDLED_TURBO = MODELS / "lora-tiny" / "lcm-lora_tiny.safetensors"

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
_copies: Inquiry[tuple[str, str], Path | None] = Inquiry(lambda key: local_copy(*key))
_BRIEF = 0.5  # seconds that a list waits for headers which only tell what is damaged
# What a file or folder has to be for the COMBOs of encoders to list it.
_KINDS = {"encoder": tuple(FAMILIES), "caption_encoder": ("sentence",)}


def register_ipadapter_folder() -> None:
    """Make `models/ipadapter` known, as IPAdapter_plus does: paths that others named stay, extensions are set."""
    known = folder_paths.folder_names_and_paths
    folders = known["ipadapter"][0] if "ipadapter" in known else [os.path.join(folder_paths.models_dir, "ipadapter")]
    known["ipadapter"] = (folders, folder_paths.supported_pt_extensions)


def model_options(part: str) -> list[str]:
    """Return what the COMBO of a part lists: bundled, Hub names, then what lies in ComfyUI's model folders.

    Never raises: what can't be read is left out, and named in the log.
    """
    names = [*BUNDLED[part], *HUB.get(part, {}), *(model.name for model in _listed(part))]
    return list(dict.fromkeys(names))


def find_model(part: str, name: str) -> Path | None:
    """Return the path of an option, or None for a Hub model that has not been downloaded.

    Raises FileNotFoundError with what was looked for, where, and what is there. An encoder is looked into: ValueError
    says what is wrong with it, TimeoutError that it does not answer.
    """
    if name in BUNDLED[part]:
        return MODELS / BUNDLED[part][name]
    listed = next((model for model in _lying(part) if model.name == name), None)
    if listed:
        return identified_in_time(listed.path).path if part in _KINDS else listed.path
    if name in HUB.get(part, {}):
        copy = _copies.answers([(part, name)], time.monotonic() + PATIENCE).get((part, name))
        if isinstance(copy, OSError | ValueError):
            raise copy
        return copy
    looked_in = [path for folder in FOLDERS[part] for path in places(folder)[0]]
    there = _listed(part) if part in _KINDS else _lying(part)
    here = ", ".join([model.name for model in there][:8]) or "nothing"
    raise FileNotFoundError(
        f"{part} '{name}' was not found: looked in {', '.join(looked_in)}, which hold {here}; put the file there or "
        "choose another."
    )


def image_encoders() -> list[Path]:
    """Return what an IP-Adapter could be paired with: all of ComfyUI's clip_vision folder, then the bundled encoder.

    What does not answer is none of them.
    """
    files = (model for model in look("clip_vision", "config.json", parts=True) if not model.is_folder)
    return [*awake(identified(files)), MODELS / "ip-adapter-tiny" / "image_encoder"]


def find_embedding(name: str) -> Path:
    """Return the file of `embedding:name` in ComfyUI's embeddings folders, folders and suffix written or not.

    Either slash parts folders, on every system.
    """
    known = folder_paths.get_filename_list("embeddings")
    # Of files that differ in their suffix alone the last counts, as in ComfyUI: .bin, .pt, .safetensors.
    slashed = {file: PurePosixPath(file.replace("\\", "/")) for file in known}
    by_path = {str(path.with_suffix(end)): file for file, path in slashed.items() for end in ("", path.suffix)}
    by_name = {called: file for file, path in slashed.items() for called in (path.stem, path.name)}
    wanted = name.replace("\\", "/")
    if file := by_path.get(wanted) or by_name.get(wanted):
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
    return folder_of(Path(system_user_directory()), name)


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


def _lying(part: str) -> list[Found]:
    marker = "model_index.json" if part == "base_model" else "config.json"
    models = [(folder, model) for folder in FOLDERS[part] for model in look(folder, marker)]
    return [model for folder, model in models if folder != "diffusers" or model.is_folder]


def _listed(part: str) -> list[Found]:
    """Leave out what is damaged and, for an encoder, what is none: CLIP's image encoder alone reads no words."""
    lying = _lying(part)
    headed = [model for model in lying if model.has_header]
    if part in _KINDS:
        kinds = {path: file.kind for path, file in identified(headed).items() if isinstance(file, ModelFile)}
        return [model for model in headed if kinds.get(model.path) in _KINDS[part]]
    answers = identified(headed, _BRIEF)
    return [model for model in lying if not isinstance(answers.get(model.path), OSError | ValueError)]
