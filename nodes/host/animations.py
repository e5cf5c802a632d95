"""Takes the first picture of an animation that Load Image has read as a batch: it is one drawing."""

from pathlib import Path
from typing import Any

import folder_paths
import torch
from comfy_api.latest import io

from ...retrieval.pictures.picture_file import frames_of

_LOADERS = ("LoadImage", "LoadImageOutput")


def first_frame(
    node: type[io.ComfyNode], name: str, image: torch.Tensor, mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None, str]:
    """Return image and mask, of an animation the first ones, and what is to be said of it; "" for anything else.

    node: asks for the hidden inputs unique_id and prompt. name: the input that the image came by. image: [B,H,W,C].
    """
    file = _file_of(node.hidden, name) if image.ndim == 4 and len(image) > 1 else None
    if file is None or (frames := frames_of(file)) == 1:
        return image, mask, ""
    mask = mask[:1] if mask is not None and mask.ndim == 3 else mask
    return image[:1], mask, f" {file.name} is an animation of {frames} pictures: its first is drawn."


def _file_of(hidden: Any, name: str) -> Path | None:
    """Return the file that an input's Load Image names, None where it comes from another node."""
    prompt = getattr(hidden, "prompt", None) or {}
    link = prompt.get(hidden.unique_id, {}).get("inputs", {}).get(name) if prompt else None
    loader = prompt.get(link[0], {}) if isinstance(link, list) else {}
    file = loader.get("inputs", {}).get("image")
    if loader.get("class_type") not in _LOADERS or not isinstance(file, str):
        return None
    return Path(folder_paths.get_annotated_filepath(file))
