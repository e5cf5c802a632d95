"""Learns a small byte-pair vocabulary and writes it as a CLIP tokeniser.

Knows words, not what they mean.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from transformers import CLIPTokenizer

from .vocabulary import all_words

MERGES = 1500
SPECIAL_TOKENS = ("<|startoftext|>", "<|endoftext|>")
END_OF_WORD = "</w>"


def byte_letters() -> list[str]:
    """The 256 printable letters that stand for bytes in byte-level BPE (GPT-2's table)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]


def join_pair(symbols: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    """`symbols` with every neighbouring `pair` joined, from the left."""
    joined: list[str] = []
    for symbol in symbols:
        if joined and (joined[-1], symbol) == pair:
            joined[-1] += symbol
        else:
            joined.append(symbol)
    return tuple(joined)


def learn_merges(words: list[str], count: int) -> list[tuple[str, str]]:
    """Up to `count` merges, the most frequent pair first, ties by the alphabet."""
    split = {word: (*word[:-1], word[-1] + END_OF_WORD) for word in words}
    merges: list[tuple[str, str]] = []
    while len(merges) < count:
        pairs = Counter(pair for symbols in split.values() for pair in zip(symbols, symbols[1:], strict=False))
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        split = {word: join_pair(symbols, best) for word, symbols in split.items()}
    return merges


def build_tokenizer() -> CLIPTokenizer:
    """A CLIP tokeniser (77 tokens) over the training words; any other text falls to pieces and bytes."""
    merges = learn_merges(all_words(), MERGES)
    letters = byte_letters()
    tokens = [*letters, *(letter + END_OF_WORD for letter in letters), *("".join(pair) for pair in merges)]
    unique = [*dict.fromkeys(tokens), *SPECIAL_TOKENS]
    vocabulary = {token: index for index, token in enumerate(unique)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)


def save_tokenizer(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write the tokeniser, with the two files of older transformers beside `tokenizer.json`."""
    tokenizer.save_pretrained(folder)
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False), encoding="utf-8")
    pairs = (pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"])
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs]) + "\n", encoding="utf-8")
