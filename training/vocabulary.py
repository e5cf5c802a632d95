"""The words the miniature CLIP learns: synonyms of each style, of each scene, and sentences around them.

`words.json` holds them. Prompts outside these words can only be guessed at by a model this small.
"""

from __future__ import annotations

import json
from pathlib import Path

WORDS = json.loads((Path(__file__).parent / "words.json").read_text(encoding="utf-8"))

STYLE_WORDS: dict[str, list[str]] = WORDS["styles"]
SCENE_WORDS: dict[str, list[str]] = WORDS["scenes"]
# Nouns that no picture shows, so that unknown content does not disturb the style words around it.
OTHER_NOUNS: list[str] = WORDS["nouns"]
ADJECTIVES: list[str] = WORDS["adjectives"]
# Words of sentences only; they go into the tokeniser's vocabulary.
GLUE_WORDS: list[str] = WORDS["glue"]
TEMPLATES: list[str] = WORDS["templates"]
HELD_OUT_TEMPLATES: list[str] = WORDS["held_out_templates"]


def all_words() -> list[str]:
    """Every distinct word above in lower case, sorted."""
    phrases = [*GLUE_WORDS, *ADJECTIVES, *OTHER_NOUNS]
    for table in (STYLE_WORDS, SCENE_WORDS):
        phrases += [phrase for words in table.values() for phrase in words]
    phrases += [template.replace("{", " ").replace("}", " ") for template in TEMPLATES + HELD_OUT_TEMPLATES]
    cleaned = "".join(letter if letter.isalpha() else " " for letter in " ".join(phrases).lower())
    return sorted(set(cleaned.split()))
