"""A prompt as it is written for the encoder that paints, and the words of it that are searched by."""

import json
from pathlib import Path

import pytest
from fakes import ColourEncoder
from style_pack.retrieval.likeness import score_likeness
from style_pack.retrieval.pictures.reader import open_picture
from style_pack.retrieval.search import StyleQuery, search
from style_pack.retrieval.store.store import StyleStore
from style_pack.retrieval.wording import left_out, wording


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("a red wall", "a red wall"),
        ("plain,  words; 16:9 ", "plain,  words; 16:9 "),
        ("a (red) wall", "a red wall"),
        ("a ((red)) wall, (brick:1.3)", "a red wall, brick"),
        ("(a (red:1.5) wall:.7), (x: -2 )", "a red wall, x"),
        (r"red \(old\) wall", "red (old) wall"),
        ("a red wall BREAK at noon", "a red wall at noon"),
        ("BREAKFAST, a break", "BREAKFAST, a break"),
        ("a wall, embedding:Easy-Detail, red", "a wall, red"),
        (r"red (embedding:sub\name:1.2), embedding:sub/name.pt", "red"),
        ("<lora:wall_v2:0.8> a red wall, <LyCO:x>, <hypernet:y:1>", "a red wall"),
        ("a <red> wall", "a <red> wall"),
        ("(a:nan)", "a:nan"),
        ("<lora:only:1>", ""),
        ("(水墨画:1.2)，山水", "水墨画，山水"),
    ],
)
def test_the_words_of_a_prompt_are_without_its_syntax(prompt: str, words: str) -> None:
    assert wording(prompt) == words


def test_what_names_files_is_told() -> None:
    prompt = "<lora:a b:0.8> embedding:x, (embedding:s/y:1.2) <LORA:a> embedding:x"
    assert left_out(prompt) == ["<lora:a b:0.8>", "embedding:x", "embedding:s/y", "<LORA:a>"]
    assert left_out("a house (red:1.2) BREAK") == []


@pytest.mark.parametrize("strategy", ["hybrid", "semantic", "keyword"])
def test_a_search_reads_the_words_alone_and_says_so(filled: StyleStore, encoder: ColourEncoder, strategy: str) -> None:
    plain = search(filled, encoder, StyleQuery("a red wall, blue", strategy, 3, avoid="grey"))
    written = StyleQuery("a (red:1.3) wall, ((blue)), <lora:blue:1>", strategy, 3, avoid="(grey:1.2)")
    told = search(filled, encoder, written)
    assert [each | {"left_out": ["<lora:blue:1>"]} for each in plain.explain()] == told.explain()
    assert "left_out" not in json.dumps(plain.explain())


def test_a_search_that_finds_nothing_says_what_was_left_out(filled: StyleStore, encoder: ColourEncoder) -> None:
    [told] = search(filled, encoder, StyleQuery("zebra embedding:red", "keyword")).explain()
    assert (told["match"], told["left_out"]) == (False, ["embedding:red"])


def test_a_prompt_of_syntax_alone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the prompt is empty but for <lora:red:1>, and strategy hybrid searches by"):
        StyleQuery(" <lora:red:1>, ")


def test_likeness_is_to_the_words(filled: StyleStore, encoder: ColourEncoder) -> None:
    picture = open_picture(Path(next(iter(filled.records().values())).file))
    written, plain = (
        score_likeness(filled, encoder, [picture], [], prompt)["prompt"] for prompt in ("(red:1.2) <lora:x:1>", "red")
    )
    assert written == plain
    assert score_likeness(filled, encoder, [picture], [], "<lora:x:1>")["prompt"]["score"] == 0
