"""The sampler's inputs that say how references act beyond their number and strength: defined, read, told in `info`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from comfy_api.latest import io
from PIL import Image

from ..generation.reference_weights import read_weights, weigh
from ..generation.settings import COMBINATIONS
from ..retrieval.reader import content_id
from . import convert
from .sockets import StyleReferences


def style_inputs() -> list[io.Input]:
    return [
        io.Combo.Input(
            "combine",
            options=list(COMBINATIONS),
            default="joined",
            optional=True,
            tooltip="Several references. joined: the picture takes from each what suits a place; averaged: one style "
            "between them.",
        ),
        io.String.Input(
            "reference_weights",
            default="",
            optional=True,
            tooltip="A number for each reference, best match first, such as 0.7, 0.3. Empty: by the scores, and equal "
            "where there are none. info has those that were used.",
        ),
    ]


def read_pictures(references: StyleReferences | None, image: torch.Tensor | None) -> tuple[Image.Image, ...]:
    """Return the references' pictures, or those of `reference_image` where `references` is not linked."""
    if references is not None:
        return references.pictures
    return () if image is None else tuple(convert.image_to_pil(image, "reference_image"))


def read_reference_weights(text: str, references: StyleReferences | None, count: int) -> tuple[float, ...]:
    """Return each reference's weight: as written, else by the scores. Without references what is written is nothing."""
    if text.strip() and count:
        return read_weights(text, count)
    return weigh([1.0] * count if references is None else [match.score for match in references.matches])


def known_encodings(references: StyleReferences | None, encoder: str) -> list[np.ndarray | None]:
    """Return what StyleKnowledgeBase stored of each reference for the pipeline's image encoder."""
    if references is None:
        return []
    return [references.store.encoding(encoder, match.record.id) for match in references.matches]


def describe_references(
    references: StyleReferences | None, pictures: tuple[Image.Image, ...], weights: Sequence[float]
) -> list[dict[str, object]]:
    """Return what `info` says of each reference: at least its weight and its id, the hash of its content."""
    if references is None:
        return [{"id": content_id(one), "weight": weight} for one, weight in zip(pictures, weights, strict=True)]
    return [
        {
            "id": match.record.id,
            "name": match.record.name,
            "file": Path(match.record.file).name,
            "score": round(match.score, 4),
            "weight": weight,
        }
        for match, weight in zip(references.matches, weights, strict=True)
    ]
