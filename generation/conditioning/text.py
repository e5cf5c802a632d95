"""Prompts to the tokens that UNet and ControlNet attend to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from ..loading.lora import merged
from .prompts import Token, cut_windows, load_embedding, read_segments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..loading.pipeline import StylePipeline


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
        pipeline.device.load(pipeline.text_encoder)
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
