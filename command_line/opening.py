"""What the command line opens: a knowledge base; an encoder: bundled, in ComfyUI's models folder, or by path."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..model_files.identify import identify

if TYPE_CHECKING:
    from ..retrieval.encoders.encoder import StyleEncoder
    from ..retrieval.encoders.sentences import SentenceEncoder
    from ..retrieval.store.store import StyleStore

PACK = Path(__file__).resolve().parents[1]
DEFAULT = "bundled/clip-tiny"
BUNDLED = {DEFAULT: PACK / "models" / "clip-tiny"}
# Where ComfyUI is, for a pack in its custom_nodes.
COMFYUI = PACK.parents[1]
MODELS = COMFYUI / "models"
# The folders of ComfyUI's models that the nodes look into; `clip` is the earlier name of text_encoders.
PICTURES, SENTENCES = ("clip_vision", "text_encoders", "clip"), ("text_encoders", "clip")
_CLIP_TOKENIZER = ("vocab.json", "merges.txt")
_SHOWN = 8  # names in a message


def open_encoder(name: str, models: Path, device: str) -> StyleEncoder:
    """Open what `find_model` finds. device: torch's name of where it computes."""
    from transformers.utils import logging

    from ..retrieval.encoders.encoder import StyleEncoder
    from ..retrieval.encoders.families import FAMILIES

    check_device(device)
    logging.disable_progress_bar()  # of loading weights; ours shows the pictures
    path = find_model(name, models, PICTURES, tuple(FAMILIES))
    return StyleEncoder(name, path, _clip_tokenizer(name, path), lambda model: model.to(device).device)


def open_caption_encoder(name: str, models: Path, device: str) -> SentenceEncoder:
    from ..retrieval.encoders.sentences import SentenceEncoder

    check_device(device)
    path = find_model(name, models, SENTENCES, ("sentence",))
    return SentenceEncoder(path.name, path, lambda model: model.to(device).device)


def check_device(name: str) -> None:
    """Raise ValueError unless torch can compute on a device of this name here."""
    if name == "cpu":
        return
    import torch

    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device {name} can't be used here ({str(error).splitlines()[0]}): choose cpu, or leave --device out."
        ) from error


def find_model(name: str, models: Path, folders: tuple[str, ...], kinds: tuple[str, ...]) -> Path:
    """Return the file or folder of a bundled name, a path, or a name as the nodes list it.

    The nodes list what lies in `folders` of `models`, by its path there, and models of the Hub, kept as OWNER--NAME.
    kinds: of the models that a message offers. Raises FileNotFoundError with what was looked for and what is there.
    """
    if name in BUNDLED:
        return BUNDLED[name]
    places = [Path(name), *(models / folder / name for folder in folders), models / name]
    places += [models / folder / name.replace("/", "--") for folder in folders]
    model = next((place for place in places if name and place.exists()), None)
    if model:
        return model
    offered = list(dict.fromkeys(_offered(models, folders, kinds)))[:_SHOWN]
    raise FileNotFoundError(
        f"encoder {name} does not exist, as a path or in {', '.join(folders)} of {models} (there: "
        f"{', '.join(offered) or 'none'}): correct the name or --models, or give the path of a folder or .safetensors "
        "file."
    )


def _offered(models: Path, folders: tuple[str, ...], kinds: tuple[str, ...]) -> Iterator[str]:
    for root in (models / folder for folder in folders):
        files = [path for path in sorted(root.rglob("*.safetensors")) if not (path.parent / "config.json").is_file()]
        for path in [*sorted(file.parent for file in root.rglob("config.json")), *files]:
            try:
                kind = identify(path).kind
            except (ValueError, OSError):
                continue
            if kind in kinds:
                yield path.relative_to(root).as_posix()


def _clip_tokenizer(name: str, path: Path) -> Path:
    """Return the folder of the tokenizer for a CLIP that has none in its folder: beside its file, else ComfyUI's.

    The bundled CLIP's would number the words otherwise, and nothing would tell.
    """
    own = path if path.is_dir() else path.parent
    known: list[Any] = [own, COMFYUI / "comfy" / "sd1_tokenizer"]
    bundled = next((folder for folder in known if all((folder / file).is_file() for file in _CLIP_TOKENIZER)), None)
    if bundled or identify(path).kind != "clip" or (path / "tokenizer_config.json").is_file():
        return bundled or own
    raise FileNotFoundError(
        f"encoder {name} has no tokenizer: put CLIP's {' and '.join(_CLIP_TOKENIZER)} into {own}, or give the model's "
        "whole folder."
    )


def open_store(options: argparse.Namespace, new: bool = False) -> StyleStore:
    from ..retrieval.store.origin import folder_of
    from ..retrieval.store.store import StyleStore
    from ..retrieval.store.upkeep import find_base

    folder = folder_of(options.root, options.name) if new else find_base(options.root, options.name)
    return StyleStore(folder, options.wait)


def open_captions(options: argparse.Namespace) -> SentenceEncoder | None:
    name = options.caption_encoder
    return open_caption_encoder(name, options.models, options.device) if name else None


def progress_on(bar: Any) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return progress
