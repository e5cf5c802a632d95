"""Odd inputs for Hypothesis: made of good ones by what breaks files in the wild, and by what people try.

Bytes are flipped, cut, doubled, overwritten with numbers at their limits; values of a JSON document are put in place of
one another; words of a language are written in any order.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fuzz_watch import Target, look
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example)  # and nothing wrong with that

Draw = Any  # what Hypothesis hands to a composite strategy

_LIMITS = tuple(
    value.to_bytes(size, order)
    for size in (1, 2, 4, 8)
    for value in (0, 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1)
    for order in ("little", "big")
)
_ODD_NUMBERS = (0, -1, 1, 2**31, 2**63, 2**64, 10**30, 0.5, 1e308, math.inf, -math.inf, math.nan)
_ODD_TEXTS = ("", "\x00", "\ud800", "é", "\u202e", "a" * 300, "../x", "%s", "1", "true", "\n", "𝕏")
_DEEP = 2000  # brackets within one another
_TEXT = st.text(max_size=8) | st.sampled_from(_ODD_TEXTS)


def look_at_some(target: Target, folder: Path, inputs: int) -> None:
    """Look at so many inputs, fewer where each takes long; the same ones each time."""

    @settings(
        max_examples=max(inputs // target.cost, 5),
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=SLOW,
    )
    @given(inputs_for(target))
    def no_surprise(data: bytes) -> None:
        look(target, data, folder / "input")

    no_surprise()


def inputs_for(target: Target) -> st.SearchStrategy[bytes]:
    seeds = list(target.seeds())
    words = [word.encode() for word in target.words]
    if target.form == "json":
        return changed_documents([json.loads(seed) for seed in seeds], target.words) | changed_bytes(seeds, words)
    if target.form == "text":
        return sentences(target.words) | changed_bytes(seeds, words)
    return changed_bytes(seeds, words)


@st.composite
def changed_bytes(draw: Draw, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """A good input with one to six changes."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 6))):
        _change(draw, data, seeds, words)
    return bytes(data)


def _change(draw: Draw, data: bytearray, seeds: Sequence[bytes], words: Sequence[bytes]) -> None:
    at = draw(st.integers(0, len(data)))
    length = draw(st.sampled_from((1, 1, 2, 4, 8, 32, 256, 4096)))
    match draw(st.integers(0, 7)):
        case 0 if at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        case 1 if at < len(data):
            data[at] = draw(st.integers(0, 255))
        case 2:
            limit = draw(st.sampled_from(_LIMITS))
            data[at : at + len(limit)] = limit
        case 3:
            del data[at : at + length]
        case 4:
            data[at:at] = data[at : at + length]
        case 5:
            del data[at:]
        case 6:
            other = draw(st.sampled_from(seeds))
            data[at : at + length] = other[at : at + length]
        case _:
            data[at:at] = draw(st.sampled_from(words) if words else st.binary(max_size=8))


def documents(words: Sequence[str]) -> st.SearchStrategy[Any]:
    """Any value of JSON, and some that only Python's reader takes."""
    texts = _TEXT | st.sampled_from(words) if words else _TEXT
    leaves = st.none() | st.booleans() | st.sampled_from(_ODD_NUMBERS) | st.integers(-4, 70) | texts
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3), max_leaves=5
    )


@st.composite
def changed_documents(draw: Draw, seeds: Sequence[Any], words: Sequence[str]) -> bytes:
    """A good document in which one to three values were replaced, dropped, doubled or put somewhere else."""
    root = [json.loads(json.dumps(draw(st.sampled_from(seeds))))]
    for _ in range(draw(st.integers(1, 3))):
        holder, key = _place(draw, root)
        match draw(st.integers(0, 5)):
            case 0 if holder is not root:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[draw(_TEXT | st.sampled_from(words) if words else _TEXT)] = holder[key]
            case 2:
                holder[key] = [holder[key]]
            case 3:
                other, its = _place(draw, root)
                holder[key] = json.loads(json.dumps(other[its]))
            case _:
                holder[key] = draw(documents(words))
    text = json.dumps(root[0])
    if draw(st.integers(0, 30)) == 0:
        text = "[" * _DEEP + text + "]" * _DEEP
    return text.encode()


def _place(draw: Draw, root: list[Any]) -> tuple[Any, Any]:
    """Some value of a document, as what holds it and its key there."""
    holder: Any = root
    key: Any = 0
    while isinstance(holder[key], dict | list) and holder[key] and draw(st.integers(0, 3)):
        holder = holder[key]
        key = draw(st.sampled_from(list(holder))) if isinstance(holder, dict) else draw(st.integers(0, len(holder) - 1))
    return holder, key


def sentences(words: Sequence[str]) -> st.SearchStrategy[bytes]:
    """Words of a language in any order, with anything between them."""
    parts = st.lists(st.sampled_from(words) | _TEXT | st.sampled_from((" ", "\n", "", '"')), max_size=16)
    long = st.tuples(st.sampled_from(words), st.integers(1, 3000)).map(lambda pair: pair[0] * pair[1])
    text = parts.map("".join) | long
    return text.map(lambda whole: whole.encode("utf-8", "surrogatepass"))
