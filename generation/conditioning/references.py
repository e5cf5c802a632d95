"""Reference pictures to the tokens that the IP-Adapter's layers attend to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from ...model_files.preprocessing import large_enough
from ..layers.style_attention import Region
from .fit import effective_fit, squares

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..loading.pipeline import StylePipeline
    from ..settings import GenerationSettings


@dataclass(frozen=True)
class Reference:
    """A style picture (RGB), with its encoding by the pipeline's image encoder where that is known already.

    picture: RGB.
    encoding: (E,) or (tokens, E), of the picture as `crop` fits it; with any other fit it is not used, unless the
        picture is square.
    weight: how much it counts beside other references, from 0 on.
    mask: (H, W) float 0..1 of the size that is painted, where it is seen; None = everywhere. References that are given
        the same tensor are combined, those of another are seen beside them.
    """

    picture: Image.Image
    encoding: np.ndarray | None = None
    weight: float = 1.0
    mask: torch.Tensor | None = None


def encode_pictures(pipeline: StylePipeline, pictures: Sequence[Image.Image]) -> torch.Tensor:
    """Encode n RGB pictures to what the IP-Adapter reads: (n, E), or (n, tokens, E) of hidden states."""
    device = pipeline.device.load(pipeline.image_encoder)
    pixels = pipeline.image_processor(list(map(large_enough, pictures)), return_tensors="pt").pixel_values
    return _encode_pixels(pipeline, pixels.to(device))


def encode_to_array(pipeline: StylePipeline, pictures: Sequence[Image.Image]) -> np.ndarray:
    """Encode n RGB pictures as `encode_pictures` does, to float32 (n, ...) that can be stored."""
    return encode_pictures(pipeline, pictures).float().cpu().numpy()


# Positive and negative, each (1, n, E), or (1, n, tokens, E) for an adapter that reads hidden states, on the CPU; and
# how the n share the picture, where they are not all alike.
StyleTokens = tuple[torch.Tensor, torch.Tensor, tuple[Region, ...]]


def encode_references(
    pipeline: StylePipeline,
    references: Sequence[Reference],
    settings: GenerationSettings,
    negative: Reference | None = None,
) -> StyleTokens:
    """Encode references whose weights lie above 0: those of one mask are joined, or averaged, as the settings say.

    A picture that was encoded before is remembered, and then the image encoder is not loaded.
    The other half of guidance is given `negative`, or else what diffusers uses: zeros for an adapter that reads the
    pooled embedding, the encoding of a black (all-zero) picture for one that reads hidden states.
    """
    dtype = next(pipeline.image_encoder.parameters()).dtype
    rows, regions = [], []
    for mask in {id(reference.mask): reference.mask for reference in references}.values():
        inside = [reference for reference in references if reference.mask is mask]
        encoded = torch.cat([_encode_reference(pipeline, one, settings.reference_fit).to(dtype) for one in inside])
        weights = tuple(reference.weight for reference in inside)
        if settings.combine == "averaged" and len(inside) > 1:
            encoded, weights = _average(encoded, weights), (1.0,)
        rows.append(encoded)
        regions.append(Region(weights, mask))
    encoded, avoided = torch.cat(rows), _encode_negative(pipeline, negative, settings.reference_fit).to(dtype)
    plain = len(regions) == 1 and regions[0].is_plain
    return encoded[None], avoided.expand_as(encoded)[None], () if plain else tuple(regions)


def _encode_negative(pipeline: StylePipeline, negative: Reference | None, fit: str) -> torch.Tensor:
    if negative is not None:
        return _encode_reference(pipeline, negative, fit)
    if pipeline.reads_hidden_states:
        return pipeline.remembered(("black",), lambda: _encode_black(pipeline))
    return torch.zeros(1, pipeline.image_encoder.config.projection_dim)


def _average(encoded: torch.Tensor, weights: Sequence[float]) -> torch.Tensor:
    """Return the weighted mean of (n, ...) as (1, ...), summed in float32."""
    parts = torch.tensor(weights, dtype=torch.float32) / sum(weights)
    return torch.tensordot(parts, encoded.float(), dims=1)[None].to(encoded.dtype)


def _encode_reference(pipeline: StylePipeline, reference: Reference, fit: str) -> torch.Tensor:
    picture = reference.picture
    fit = effective_fit(picture, fit)
    if reference.encoding is not None and fit == "crop":
        return torch.from_numpy(reference.encoding)[None]

    def encode() -> torch.Tensor:
        parts = squares(picture, fit, pipeline.image_encoder.config.image_size)
        encoded = encode_pictures(pipeline, parts)
        return encoded if len(parts) == 1 else _average(encoded.cpu(), [1.0] * len(parts))

    key = ("picture", fit, picture.size, hashlib.sha256(picture.tobytes()).digest())
    return pipeline.remembered(key, encode)


def _encode_black(pipeline: StylePipeline) -> torch.Tensor:
    side = pipeline.image_encoder.config.image_size
    return _encode_pixels(pipeline, torch.zeros(1, 3, side, side, device=pipeline.device.load(pipeline.image_encoder)))


def empty_reference(pipeline: StylePipeline) -> StyleTokens:
    """Return embeddings of the right shape for a run at IP-Adapter scale 0: diffusers wants some, and skips them."""
    config = pipeline.image_encoder.config
    shape = (1, 1, config.projection_dim)
    if pipeline.reads_hidden_states:
        shape = (1, 1, (config.image_size // config.patch_size) ** 2 + 1, config.hidden_size)
    zeros = torch.zeros(shape, dtype=next(pipeline.image_encoder.parameters()).dtype)
    return zeros, zeros, ()


def _encode_pixels(pipeline: StylePipeline, pixels: torch.Tensor) -> torch.Tensor:
    pixels = pixels.to(next(pipeline.image_encoder.parameters()).dtype)
    if pipeline.reads_hidden_states:
        return pipeline.image_encoder(pixels, output_hidden_states=True).hidden_states[-2]
    return pipeline.image_encoder(pixels).image_embeds
