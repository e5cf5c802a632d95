"""Words and reference pictures to the tokens that UNet and ControlNet attend to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from .lora import merged
from .prompts import Token, cut_windows, load_embedding, read_segments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .pipeline import StylePipeline


def encode_prompts(pipeline: StylePipeline, prompts: Mapping[str, str], clip_skip: int = 1) -> list[torch.Tensor]:
    """Encode prompts, given by the names of their inputs, to (1, 77 * windows, D) each, all of the same length.

    Each is what ComfyUI's encoder makes of it; a shorter one is filled up with windows of an empty text, so that both
    halves of guidance can be computed together. Encodings are remembered: the same text is not encoded again.
    clip_skip: the layer that is read, counted from the last, 1; more than there are layers is the last.
    """
    encoded = [_encode_prompt(pipeline, text, name, clip_skip) for name, text in prompts.items()]
    count = max(rows.shape[1] for rows in encoded)
    empty = (
        _encode_prompt(pipeline, "", "prompt", clip_skip)
        if any(rows.shape[1] < count for rows in encoded)
        else encoded[0]
    )
    return [torch.cat([rows, *[empty] * ((count - rows.shape[1]) // empty.shape[1])], dim=1) for rows in encoded]


def _encode_prompt(pipeline: StylePipeline, text: str, name: str, clip_skip: int) -> torch.Tensor:
    segments = read_segments(text, name)
    files = {segment.text: pipeline.find_embedding(segment.text) for segment in segments if segment.is_embedding}
    loras = tuple((lora.fingerprint, lora.strength) for lora in pipeline.loras)
    key = ("text", text, clip_skip, loras, tuple((file, file.stat().st_mtime_ns) for file in files.values()))
    width = pipeline.text_encoder.config.hidden_size

    def encode() -> torch.Tensor:
        windows = cut_windows(segments, pipeline.tokenizer, lambda named: load_embedding(files[named], width))
        weighted = any(token.weight != 1 for window in windows for token in window)
        empty = _encode_prompt(pipeline, "", name, clip_skip) if weighted else None
        pipeline.on_device(pipeline.text_encoder)
        loras = merged(pipeline.text_encoder, "text_encoder", pipeline.loras)
        with loras, _without_last_layers(pipeline.text_encoder, clip_skip - 1):
            return torch.cat([_encode_window(pipeline, window, empty) for window in windows], dim=1)

    return pipeline.remembered(key, encode)


@contextmanager
def _without_last_layers(text_encoder: torch.nn.Module, count: int) -> Iterator[None]:
    """Let a text encoder end some layers earlier. What it then gives has its final norm, as ComfyUI's has."""
    encoder: Any = next(module for module in text_encoder.modules() if hasattr(module, "layers"))
    layers = encoder.layers
    try:
        if count < len(layers):
            encoder.layers = layers[: len(layers) - count]
        yield
    finally:
        encoder.layers = layers


def _encode_window(pipeline: StylePipeline, window: list[Token], empty: torch.Tensor | None) -> torch.Tensor:
    """Return (1, 77, D). A weight moves a token's encoding away from that of an empty text, in proportion."""
    vectors = {at: token.vector for at, token in enumerate(window) if token.vector is not None}

    def place(layer: torch.nn.Module, given: object, output: torch.Tensor) -> torch.Tensor:
        for at, vector in vectors.items():
            output[0, at] = vector.to(output)
        return output

    hook = pipeline.text_encoder.get_input_embeddings().register_forward_hook(place)
    try:
        numbers = torch.tensor([[token.number for token in window]])
        encoded = pipeline.text_encoder(numbers.to(next(pipeline.text_encoder.parameters()).device))[0]
    finally:
        hook.remove()
    if empty is None:
        return encoded
    empty = empty.to(encoded)
    weights = torch.tensor([token.weight for token in window]).to(encoded)[None, :, None]
    return torch.where(weights == 1, encoded, (encoded - empty) * weights + empty)


@dataclass(frozen=True)
class Reference:
    """A style picture (RGB), with its encoding by the pipeline's image encoder where that is known already."""

    picture: Image.Image
    encoding: np.ndarray | None = None


def encode_pictures(pipeline: StylePipeline, pictures: Sequence[Image.Image]) -> torch.Tensor:
    """Encode n RGB pictures to what the IP-Adapter reads: (n, E), or (n, tokens, E) for a plus adapter."""
    device = pipeline.on_device(pipeline.image_encoder)
    pixels = pipeline.image_processor(list(pictures), return_tensors="pt").pixel_values
    return _encode_pixels(pipeline, pixels.to(device))


def encode_references(pipeline: StylePipeline, references: Sequence[Reference]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return n references as (positive, negative), each (1, n, E), or (1, n, tokens, E) for a plus adapter, on the CPU.

    A picture that was encoded before is remembered, and then the image encoder is not loaded.
    The negative is what diffusers uses: zeros for an adapter that reads the pooled embedding, the encoding of a black
    (all-zero) picture for one that reads hidden states.
    """
    dtype = next(pipeline.image_encoder.parameters()).dtype
    positive = torch.cat([_encode_reference(pipeline, reference).to(dtype) for reference in references])
    if not pipeline.reads_hidden_states:
        return positive[None], torch.zeros_like(positive)[None]
    negative = pipeline.remembered(("black",), lambda: _encode_black(pipeline))
    return positive[None], negative.expand_as(positive)[None]


def _encode_reference(pipeline: StylePipeline, reference: Reference) -> torch.Tensor:
    if reference.encoding is not None:
        return torch.from_numpy(reference.encoding)[None]
    picture = reference.picture
    key = ("picture", picture.size, hashlib.sha256(picture.tobytes()).digest())
    return pipeline.remembered(key, lambda: encode_pictures(pipeline, [picture]))


def _encode_black(pipeline: StylePipeline) -> torch.Tensor:
    side = pipeline.image_encoder.config.image_size
    return _encode_pixels(pipeline, torch.zeros(1, 3, side, side, device=pipeline.on_device(pipeline.image_encoder)))


def empty_reference(pipeline: StylePipeline) -> tuple[torch.Tensor, torch.Tensor]:
    """Return embeddings of the right shape for a run at IP-Adapter scale 0: diffusers wants some, and skips them."""
    config = pipeline.image_encoder.config
    shape = (1, 1, config.projection_dim)
    if pipeline.reads_hidden_states:
        shape = (1, 1, (config.image_size // config.patch_size) ** 2 + 1, config.hidden_size)
    zeros = torch.zeros(shape, dtype=next(pipeline.image_encoder.parameters()).dtype)
    return zeros, zeros


def _encode_pixels(pipeline: StylePipeline, pixels: torch.Tensor) -> torch.Tensor:
    pixels = pixels.to(next(pipeline.image_encoder.parameters()).dtype)
    if pipeline.reads_hidden_states:
        return pipeline.image_encoder(pixels, output_hidden_states=True).hidden_states[-2]
    return pipeline.image_encoder(pixels).image_embeds
