"""Words and reference pictures to the tokens that UNet and ControlNet attend to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from .lora import merged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .pipeline import StylePipeline


def encode_prompts(pipeline: StylePipeline, texts: Sequence[str]) -> list[torch.Tensor]:
    """Encode texts to (1, 77 * windows, D) each, all with the same number of windows.

    Up to 75 tokens this is what diffusers does. A longer text is cut into windows of 75 tokens, each with its own start
    and end token, whose encodings are joined, as ComfyUI's and AUTOMATIC1111's encoders do; no word is dropped.
    """
    device = pipeline.on_device(pipeline.text_encoder)
    windows = [_windows(pipeline.tokenizer, text) for text in texts]
    count = max(len(rows) for rows in windows)
    empty = _windows(pipeline.tokenizer, "")
    with merged(pipeline.text_encoder, "text_encoder", pipeline.loras):
        return [
            torch.cat([pipeline.text_encoder(row.to(device))[0] for row in rows + empty * (count - len(rows))], dim=1)
            for rows in windows
        ]


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
    """Return n references as (positive, negative), each (1, n, E), or (1, n, tokens, E) for a plus adapter.

    The negative is what diffusers uses: zeros for an adapter that reads the pooled embedding, the encoding of a black
    (all-zero) picture for one that reads hidden states.
    """
    known = [reference.encoding for reference in references if reference.encoding is not None]
    if len(known) == len(references):
        positive = torch.from_numpy(np.stack(known)).to(next(pipeline.image_encoder.parameters()).dtype)
    else:
        positive = encode_pictures(pipeline, [reference.picture for reference in references])
    if not pipeline.reads_hidden_states:
        return positive[None], torch.zeros_like(positive)[None]
    side = pipeline.image_encoder.config.image_size
    black = torch.zeros(1, 3, side, side, device=pipeline.on_device(pipeline.image_encoder))
    negative = _encode_pixels(pipeline, black).expand_as(positive)
    return positive[None].to(negative.device), negative[None]


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


def _windows(tokenizer, text: str) -> list[torch.Tensor]:
    """Cut a text's tokens into windows of 75 between start and end token, padded: a list of (1, 77) int64."""
    body = tokenizer.model_max_length - 2
    ids = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
    rows = []
    for at in range(0, max(len(ids), 1), body):
        row = [tokenizer.bos_token_id, *ids[at : at + body], tokenizer.eos_token_id]
        row += [tokenizer.pad_token_id] * (tokenizer.model_max_length - len(row))
        rows.append(torch.tensor([row]))
    return rows
