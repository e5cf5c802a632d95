"""A prompt as ComfyUI's users write it, cut into windows of tokens with weights. Knows no model but its tokenizer.

`(word)` weighs 1.1, `(word:1.3)` 1.3, brackets nest, `\\(` is a bracket; `embedding:name` stands for a file's vectors.
Rules and results are those of ComfyUI's own encoder for SD 1.5, but for what other programs load by a prompt, such as
`<lora:name:1>`: ComfyUI loads nothing by it, and it is no description, so it is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...model_files.identify import load_state_dict

MAX_DEPTH = 50
_EMBEDDING = "embedding:"
_ESCAPED = {"\\(": "\ue000", "\\)": "\ue001"}
_LOADED = re.compile("<(?:lora|lyco|hypernet):[^<>]*>", re.IGNORECASE)
_WORD_TOKENS = 8  # a group of fewer tokens is not divided between two windows


@dataclass(frozen=True)
class Segment:
    """Words of one weight, or the name of an embedding.

    text: the words, or the name.
    weight: 1 = as the text encoder has them.
    is_embedding: whether it is a name.
    """

    text: str
    weight: float
    is_embedding: bool = False


@dataclass(frozen=True)
class Token:
    """A token of a window.

    number: the tokenizer's id of it.
    weight: 1 = as the text encoder has it.
    vector: (D,), in place of the token's own.
    """

    number: int
    weight: float = 1.0
    vector: torch.Tensor | None = None


def read_segments(text: str, name: str) -> list[Segment]:
    """Return a prompt's segments in their order.

    Raises ValueError in one sentence for a weight that is not finite, brackets nested without end, and an embedding
    without a name.
    """
    text = _LOADED.sub("", text)
    for written, stand_in in _ESCAPED.items():
        text = text.replace(written, stand_in)
    segments = []
    for words, weight in _weights(text, 1.0, name):
        if not math.isfinite(weight):
            raise ValueError(f"{name} gives '{words}' the weight {weight}: use a number such as 1.2.")
        for written, stand_in in _ESCAPED.items():
            words = words.replace(stand_in, written[1])
        segments += _split_embeddings(words, weight, name)
    return segments


def left_out(text: str) -> list[str]:
    """Return what of a prompt is not read, as it is written."""
    return list(dict.fromkeys(_LOADED.findall(text)))


def cut_windows(segments: list[Segment], tokenizer: Any, load: Callable[[str], torch.Tensor]) -> list[list[Token]]:
    """Return windows of 77 tokens: start, up to 75 of the text, end, padding. load: embedding's name to (n, D)."""
    room = tokenizer.model_max_length - 2
    windows: list[list[Token]] = [[]]
    for segment in segments:
        group = _tokens(segment, tokenizer, load)
        whole = len(group) < _WORD_TOKENS
        while group:
            left = room - len(windows[-1])
            if len(group) > left:
                taken = 0 if whole else left
                windows[-1] += group[:taken]
                group = group[taken:]
                windows.append([])
            else:
                windows[-1] += group
                group = []
    start, end, pad = (Token(getattr(tokenizer, f"{name}_token_id")) for name in ("bos", "eos", "pad"))
    return [[start, *window, end, *[pad] * (room - len(window))] for window in windows]


def load_embedding(file: Path, width: int) -> torch.Tensor:
    """Return an embedding file's vectors as (n, width). Raises ValueError when none has the text encoder's width."""
    for name, value in load_state_dict(file).items():
        vectors = value[0] if value.ndim == 3 and len(value) == 1 else value
        if vectors.ndim in (1, 2) and vectors.numel() and vectors.shape[-1] == width and "optimizer" not in name:
            return vectors.reshape(-1, width)
    raise ValueError(
        f"embedding {file.name} holds no vectors of {width} numbers, which the text encoder of this base_model reads: "
        "choose one made for SD 1.5."
    )


def _weights(text: str, weight: float, name: str, depth: int = 0) -> Iterator[tuple[str, float]]:
    if depth > MAX_DEPTH:
        raise ValueError(f"{name} nests brackets more than {MAX_DEPTH} deep: use a number, such as (word:1.5).")
    for part in _groups(text):
        if len(part) < 2 or part[0] != "(" or part[-1] != ")":
            yield part, weight
            continue
        inside, inner = part[1:-1], weight * 1.1
        words, colon, number = inside.rpartition(":")
        if words and colon and _is_number(number):
            inside, inner = words, float(number)
        yield from _weights(inside, inner, name, depth + 1)


def _groups(text: str) -> Iterator[str]:
    """Yield a text's outermost bracketed parts and what lies between them; what is never closed is plain text."""
    start = depth = 0
    for at, character in enumerate(text):
        if character == "(":
            if depth == 0 and at > start:
                yield text[start:at]
                start = at
            depth += 1
        elif character == ")":
            depth -= 1
            if depth == 0:
                yield text[start : at + 1]
                start = at + 1
    if start < len(text):
        yield text[start:]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _split_embeddings(words: str, weight: float, name: str) -> Iterator[Segment]:
    first, *others = re.split(rf"[ \n]{_EMBEDDING}", words)
    for piece in filter(None, [first, *(_EMBEDDING + other for other in others)]):
        if not piece.startswith(_EMBEDDING):
            yield Segment(piece, weight)
            continue
        called, *rest = piece.removeprefix(_EMBEDDING).split() or [""]
        file = called.rstrip(",")
        if not file:
            raise ValueError(f"{name} has '{_EMBEDDING}' without a name: write {_EMBEDDING}name, or leave it out.")
        yield Segment(file, weight, is_embedding=True)
        if after := " ".join([called[len(file) :], *rest]).strip():
            yield Segment(after, weight)


def _tokens(segment: Segment, tokenizer: Any, load: Callable[[str], torch.Tensor]) -> list[Token]:
    if segment.is_embedding:
        return [Token(tokenizer.eos_token_id, segment.weight, vector) for vector in load(segment.text)]
    text = segment.text.encode("utf-8", "replace").decode()  # half a surrogate pair is no text to a tokenizer
    numbers = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
    return [Token(number, segment.weight) for number in numbers]
