"""The texts in locales/: complete in both languages, and nothing in them that the front end would misread."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from node_texts import LOCALES, as_message, read_texts
from places import ROOT

SAME_IN_CHINESE = {"ControlNet", "IP-Adapter", "LoRA", "CFG"}
CHINESE = re.compile(r"[\u4e00-\u9fff]")
LITERAL = re.compile(r"\{'[{}@|]'\}")
"""How vue-i18n is told that a sign of its own syntax is meant as it is."""


def texts(part: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each text with its place, such as RetrieveStyle.inputs.prompt.tooltip."""
    if isinstance(part, str):
        yield path.removeprefix("."), part
    else:
        for name, below in part.items():
            yield from texts(below, f"{path}.{name}")


def asked_for_by_the_page() -> set[str]:
    """The texts that the modules in web/js translate."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "web" / "js").glob("*.js")]
    return {
        json.loads(f'"{text}"') for source in sources for text in re.findall(r'\bt\(\s*"((?:[^"\\]|\\.)*)"', source)
    }


def names_in(text: str) -> list[str]:
    return sorted(re.findall(r"\{\w+\}", text))


def test_both_languages_have_the_same_texts_in_the_same_order() -> None:
    english, chinese = (dict(texts(read_texts(language))) for language in ("en", "zh"))
    assert list(chinese) == list(english)


def test_every_chinese_text_is_chinese() -> None:
    for place, text in [*texts(read_texts("zh")), *texts(read_texts("zh", "main"))]:
        assert CHINESE.search(text) or text in SAME_IN_CHINESE, place


def test_a_chinese_text_names_the_same_choices_folders_and_files_as_the_english_one() -> None:
    english, chinese = (dict(texts(read_texts(language))) for language in ("en", "zh"))
    named = re.compile(r"(?:(?<=^)|(?<=\. ))[a-z_]+(?=: )|models/\w+|\.stylepack|\.txt|\w+:[\w.<>=-]+[0-9]\b")
    for place, text in english.items():
        assert not [name for name in named.findall(text) if name not in chinese[place]], place


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_text_of_a_node_holds_syntax_of_the_front_end(language: str) -> None:
    for place, text in texts(read_texts(language)):
        assert not re.search(r"[{}@|]", LITERAL.sub("", text)), place


def test_syntax_of_the_front_end_is_written_as_literals() -> None:
    assert as_message("a@b {c|d}") == "a{'@'}b {'{'}c{'|'}d{'}'}"


def test_what_the_page_asks_for_is_there_in_chinese_and_nothing_else() -> None:
    assert set(read_texts("zh", "main")["styleRag"]) == asked_for_by_the_page()
    assert len(asked_for_by_the_page()) > 40


def test_a_chinese_text_of_the_page_takes_the_same_values() -> None:
    for english, chinese in read_texts("zh", "main")["styleRag"].items():
        assert names_in(chinese) == names_in(english)


def test_the_page_keeps_the_texts_of_every_node() -> None:
    listed = re.search(r"const NODES = (.*?)const LOADING", (ROOT / "web/js/words.js").read_text("utf-8"), re.DOTALL)
    assert listed and sorted(re.findall(r'"(\w+)"', listed[1])) == list(read_texts("en"))


def test_there_are_no_other_files() -> None:
    files = {str(path.relative_to(LOCALES).as_posix()) for path in LOCALES.rglob("*") if path.is_file()}
    assert files == {"en/nodeDefs.json", "zh/nodeDefs.json", "zh/main.json"}
