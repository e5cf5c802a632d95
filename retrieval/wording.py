"""What a prompt says, apart from what is written in it for the text encoder that paints."""

from __future__ import annotations

import re

# A LoRA or hypernetwork as other programs have it in a prompt, and an embedding's file as ComfyUI has it.
_FILES = re.compile(r"<(?i:lora|lyco|hypernet):[^<>]*>|(?<![\w/\\])embedding:[^\s,:()<>|{}]*")
_BREAK = re.compile(r"\bBREAK\b")
_WEIGHT = re.compile(r":\s*[-+]?(?:\d+\.?\d*|\.\d+)\s*(?=\))")  # after the words in a bracket
_BRACKET = re.compile(r"(?<!\\)[()]")
_ESCAPED = re.compile(r"\\([()])")


def wording(prompt: str) -> str:
    """Return the words of a prompt without weights, names of files and BREAK; one that has none of them as it is."""
    bare = _WEIGHT.sub("", _BREAK.sub(" ", _FILES.sub(" ", prompt)))
    bare = _ESCAPED.sub(r"\1", _BRACKET.sub(" ", bare))
    if bare == prompt:
        return prompt
    bare = re.sub(
        " (?=[,.;，、。；])", "", " ".join(bare.split())
    )  # where something stood between a word and its comma
    return re.sub("[,;](?: ?[,;])+", ",", bare).strip(" ,;")


def left_out(prompt: str) -> list[str]:
    """Return the names of files that a prompt holds, as they are written: a search does not read them."""
    return list(dict.fromkeys(_FILES.findall(prompt)))
