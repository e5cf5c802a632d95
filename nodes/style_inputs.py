"""The sampler's inputs that say how references act beyond their number and strength: defined, read, told in `info`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from comfy_api.latest import io
from PIL import Image

from ..generation.conditioning.weights import read_weights, weigh
from ..generation.settings import COMBINATIONS, REFERENCE_FITS
from ..retrieval.pictures.reader import content_id
from . import convert
from .sockets import StyleReferences

if TYPE_CHECKING:
    from ..generation.conditioning.references import Reference


@dataclass(frozen=True)
class StyleControl:
    """What is said of the references. weights: one each. avoided: RGB. masks: (1 or one each, H, W) float 0..1."""

    weights: tuple[float, ...]
    avoided: Image.Image | None
    masks: torch.Tensor | None

    def of(self, pictures: tuple[Image.Image, ...], known: list[np.ndarray | None]) -> list[Reference]:
        """Return the references as they are sampled with. known: their stored encodings, none at all or one each."""
        from ..generation.conditioning.references import Reference

        encodings = known or [None] * len(pictures)
        masks = [None] if self.masks is None else list(self.masks)
        masks = masks * len(pictures) if len(masks) == 1 else masks
        return [Reference(*given) for given in zip(pictures, encodings, self.weights, masks, strict=True)]

    @property
    def negative(self) -> Reference | None:
        from ..generation.conditioning.references import Reference

        return None if self.avoided is None else Reference(self.avoided)

    def describe(self) -> dict[str, object]:
        """Return what `info` says of the inputs that are no widgets: the hashes of their content."""
        negative = None if self.avoided is None else content_id(self.avoided)
        return {"negative_reference": negative, "style_mask": None if self.masks is None else _hash(self.masks)}


def _hash(masks: torch.Tensor) -> str:
    """Return the SHA-256 (hex) of masks' shape and values."""
    digest = hashlib.sha256(str(tuple(masks.shape)).encode())
    digest.update(masks.contiguous().numpy().tobytes())
    return digest.hexdigest()


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
        io.Image.Input(
            "negative_reference",
            optional=True,
            tooltip="A picture whose style is to be avoided: guidance leads away from it. It needs a reference, and a "
            "cfg above 1.",
        ),
        io.Mask.Input(
            "style_mask",
            optional=True,
            tooltip="Where the references are seen: 1 in the mask. One mask for all of them, or a batch with one each.",
        ),
        io.Combo.Input(
            "reference_fit",
            options=list(REFERENCE_FITS),
            default="crop",
            optional=True,
            tooltip="What is seen of a reference that is not square. crop: the middle; pad: all, with a border; "
            "stretch: all, squeezed; crops: squares from end to end, averaged.",
        ),
    ]


def read_pictures(references: StyleReferences | None, image: torch.Tensor | None) -> tuple[Image.Image, ...]:
    """Return the references' pictures, or those of `reference_image` where `references` is not linked."""
    if references is not None:
        return references.pictures
    return () if image is None else tuple(convert.image_to_pil(image, "reference_image"))


def read_style(
    references: StyleReferences | None,
    count: int,
    weights: str,
    negative: torch.Tensor | None,
    masks: torch.Tensor | None,
) -> StyleControl:
    """Check what is said of `count` references. Without any, nothing of it counts. masks: as of `fit_masks`."""
    avoided = [] if negative is None else convert.image_to_pil(negative, "negative_reference")
    if len(avoided) > 1:
        raise ValueError(f"negative_reference holds {len(avoided)} pictures, and one is avoided at a time: link one.")
    if masks is not None:
        _check_masks(masks, count)
    return StyleControl(_read_weights(weights, references, count), avoided[0] if avoided else None, masks)


def _check_masks(masks: torch.Tensor, count: int) -> None:
    if not masks.any():
        raise ValueError(
            "style_mask is 0 everywhere, and no reference would be seen: mark where the style should be, or unlink it "
            "(Load Image gives such a mask for a picture without transparency)."
        )
    if count and len(masks) not in (1, count):
        there = "is 1 reference" if count == 1 else f"are {count} references"
        raise ValueError(
            f"style_mask holds {len(masks)} masks, and there {there}: link one mask for all, or one for each."
        )


def _read_weights(text: str, references: StyleReferences | None, count: int) -> tuple[float, ...]:
    """Return each reference's weight: as written, else by the scores."""
    if text.strip() and count:
        return read_weights(text, count)
    return weigh([1.0] * count if references is None else [match.score for match in references.matches])


def known_encodings(references: StyleReferences | None, encoder: str) -> list[np.ndarray | None]:
    """Return what StyleKnowledgeBase stored of each reference for the pipeline's image encoder."""
    if references is None:
        return []
    return [references.store.encodings.read(encoder, match.record.id) for match in references.matches]


def describe_references(
    references: StyleReferences | None, pictures: tuple[Image.Image, ...], weights: tuple[float, ...]
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
