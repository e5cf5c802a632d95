"""What one run of the sampler is asked for: settings, edges and references. Checked before any weight is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .conditioning.prompts import read_segments
from .conditioning.weights import read_weights, weigh
from .settings import GenerationSettings
from .turbo import turbo_settings


def _not_stored(encoder: str) -> np.ndarray | None:
    return None


@dataclass(frozen=True)
class StylePicture:
    """A picture whose style is taken.

    picture: RGB.
    score: 0..1, the calibrated score that it was retrieved with; 1 for a picture that was handed in.
    about: what `info` says of it; empty = the hash of its pixels.
    read_encoding: id of an image encoder -> its encoding of the picture, (E,) or (tokens, E), where one is stored.
    """

    picture: Image.Image
    score: float = 1.0
    about: Mapping[str, object] = field(default_factory=dict)
    read_encoding: Callable[[str], np.ndarray | None] = _not_stored


@dataclass(frozen=True)
class SamplingRequest:
    """All that one run is asked for. Raises ValueError in one sentence when it can't be done.

    settings: every number and text that decides the picture.
    edges: (N, 3, H, W) float32 0..1, white on black, of the settings' size, a sketch each; None = no ControlNet.
    references: best first; none = no style.
    reference_weights: a number for each reference, apart by commas; empty = by their scores.
    masks: (1 or one each, H, W) float32 0..1 of the settings' size, where the references are seen; None = everywhere.
    negative: RGB, whose style guidance leads away from, where there are references.
    distilled_loras: files that speed `turbo` may take, best first.
    """

    settings: GenerationSettings
    edges: torch.Tensor | None = None
    references: tuple[StylePicture, ...] = ()
    reference_weights: str = ""
    masks: torch.Tensor | None = None
    negative: Image.Image | None = None
    distilled_loras: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if self.settings.speed == "turbo":
            turbo_settings(self.settings, [file.name for file in self.distilled_loras])
        if self.masks is not None:
            _check_masks(self.masks, len(self.references))
        _ = self.weights  # raises

    @property
    def weights(self) -> tuple[float, ...]:
        """Each reference's share: as written, else by the scores."""
        count = len(self.references)
        if self.reference_weights.strip() and count:
            return read_weights(self.reference_weights, count)
        return weigh([reference.score for reference in self.references])

    @property
    def pictures(self) -> tuple[Image.Image, ...]:
        return tuple(reference.picture for reference in self.references)


def check_embeddings(prompts: Mapping[str, str], find_embedding: Callable[[str], Path]) -> None:
    """Raise FileNotFoundError for an embedding that a prompt names and `find_embedding` does not find.

    prompts: name of the input -> its text.
    """
    for name, text in prompts.items():
        for segment in read_segments(text, name):
            if segment.is_embedding:
                find_embedding(segment.text)


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
