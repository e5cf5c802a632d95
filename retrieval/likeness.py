"""How like pictures are to the references and the prompt that they were made from."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np
from PIL import Image

from .encoders.encoder import StyleEncoder
from .ranking.calibration import score
from .store.store import StyleStore
from .wording import wording


def score_likeness(
    store: StyleStore,
    encoder: StyleEncoder,
    pictures: Sequence[Image.Image],
    references: Sequence[tuple[str, Image.Image]],
    prompt: str,
) -> dict[str, dict[str, Any]]:
    """Return {style, prompt}: each with its `score`, 0..1, and what that was computed from.

    A score is the share of unrelated pairs of the knowledge base that are less alike. references: (name, picture).
    encoder: the knowledge base's own.
    """
    store.require_encoder(encoder.identity)
    background = store.origin.background if store.origin else {}
    embeds = encoder.encode_images(pictures)
    return {
        "style": _against_references(embeds, references, encoder, background.get("image")),
        "prompt": _against_prompt(embeds, prompt, encoder, background.get("text")),
    }


def _against_references(
    embeds: np.ndarray,
    references: Sequence[tuple[str, Image.Image]],
    encoder: StyleEncoder,
    background: list[float] | None,
) -> dict[str, Any]:
    if not references:
        return {"score": 0.0, "note": "there is no reference to compare with: none was retrieved."}
    names, pictures = zip(*references, strict=True)
    cosines = embeds @ encoder.encode_images(pictures).T
    each = [fmean(score(float(cosine), background) for cosine in column) for column in cosines.T]
    return {
        "score": fmean(each),
        "cosine": float(cosines.mean()),
        "references": dict(zip(names, each, strict=True)),
    }


def _against_prompt(
    embeds: np.ndarray, prompt: str, encoder: StyleEncoder, background: list[float] | None
) -> dict[str, Any]:
    words = wording(prompt)
    if not words.strip():
        return {"score": 0.0, "note": "there is no prompt to compare with."}
    cosines = embeds @ encoder.encode_texts([words])[0]
    return {"score": fmean(score(float(cosine), background) for cosine in cosines), "cosine": float(cosines.mean())}
