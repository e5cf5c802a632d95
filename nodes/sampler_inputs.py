"""The sampler's widgets and links to the request that the library paints from."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from ..generation.edges.canny import fit_to
from ..generation.request import SamplingRequest, StylePicture, check_embeddings
from ..generation.settings import GenerationSettings, check_size
from ..retrieval.records import StyleMatch
from . import convert
from .host import paths
from .host.requirements import OPENCV, require
from .lora import distilled_loras
from .sockets import StyleReferences

Picture = TypeVar("Picture")


def read_request(
    *,
    width: int,
    height: int,
    edges: torch.Tensor | None = None,
    references: StyleReferences | None = None,
    reference_image: torch.Tensor | None = None,
    reference_weights: str = "",
    negative_reference: torch.Tensor | None = None,
    style_mask: torch.Tensor | None = None,
    **widgets: Any,
) -> SamplingRequest:
    """Convert what ComfyUI hands to the sampler. widgets: those that are settings as they are. Raises ValueError."""
    prompts = {name: widgets[name] for name in ("prompt", "negative_prompt")}
    check_embeddings(prompts, paths.find_embedding)
    control, width, height = _read_edges(edges, width, height)
    settings = GenerationSettings.from_widgets(width=width, height=height, **widgets)
    pictures = _read_pictures(references, reference_image)
    masks = None if style_mask is None else convert.fit_masks(style_mask, "style_mask", height, width)
    negative = None if negative_reference is None else convert.image_to_pil(negative_reference, "negative_reference")
    return SamplingRequest(
        settings,
        control,
        pictures,
        reference_weights,
        masks,
        None if negative is None else _only(negative, "negative_reference", "avoided"),
        tuple(distilled_loras()) if settings.speed == "turbo" else (),
    )


def _read_edges(edges: torch.Tensor | None, width: int, height: int) -> tuple[torch.Tensor | None, int, int]:
    """Return the edges as (N, 3, H, W) float 0..1 of the wanted size, and that size."""
    if edges is None:
        if not width or not height:
            raise ValueError(f"without edges the picture has no size (width {width}, height {height}): set both.")
        return None, width, height
    pictures = convert.image_to_arrays(edges, "edges")
    rows, columns = pictures[0].shape[:2]
    width, height = width or columns, height or rows
    check_size(width, height)
    if (columns, rows) != (width, height):
        require(OPENCV)
        pictures = [fit_to(picture, width, height, "stretch") for picture in pictures]
    stack = np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2))
    return torch.from_numpy(stack).float() / 255, width, height


def _read_pictures(references: StyleReferences | None, image: torch.Tensor | None) -> tuple[StylePicture, ...]:
    """Return the references, or the pictures of `reference_image` where `references` is not linked."""
    if references is None:
        return tuple(map(StylePicture, [] if image is None else convert.image_to_pil(image, "reference_image")))
    read = references.store.encodings.read
    return tuple(
        StylePicture(picture, match.score, _about(match), partial(read, id=match.record.id))
        for picture, match in zip(references.pictures, references.matches, strict=True)
    )


def _about(match: StyleMatch) -> dict[str, object]:
    """Return what `info` says of a reference that was retrieved."""
    record = match.record
    return {"id": record.id, "name": record.name, "file": Path(record.file).name, "score": round(match.score, 4)}


def _only(pictures: Sequence[Picture], name: str, used: str) -> Picture:
    """Return the one picture of an input. used: what is done with one at a time, for the sentence."""
    if len(pictures) != 1:
        raise ValueError(f"{name} holds {len(pictures)} pictures, and one is {used} at a time: link one.")
    return pictures[0]
