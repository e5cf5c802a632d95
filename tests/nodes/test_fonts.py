"""The contact sheet's letters: a font of the system's that has them, or what can be read without one."""

import sys
from typing import Any

import pytest
from PIL import ImageFont


@pytest.fixture
def fonts(comfy_nodes: dict[str, Any]) -> Any:
    return sys.modules[comfy_nodes["RetrieveStyle"].__module__.rpartition(".")[0] + ".host.fonts"]


def test_without_a_font_letters_lose_their_accents_and_nothing_else(
    fonts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fonts, "_FILES", ("no such font.ttf",))
    for text, drawn in {"Café Łódź": "Cafe Łodz", "plain…": "plain…", "浮世絵": "浮世絵"}.items():
        assert fonts.drawable(text, 12)[0] == drawn


def test_the_font_that_has_the_most_letters_is_taken(fonts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    own = ImageFont.load_default
    has = {"": "", "west.ttf": "éß", "east.ttf": "é浮世絵"}
    monkeypatch.setattr(fonts, "_FILES", ("west.ttf", "gone.ttf", "east.ttf"))
    opened = {name: own(12) for name in has}
    monkeypatch.setattr(fonts, "_opened", lambda name, size: opened.get(name))
    monkeypatch.setattr(fonts, "_has", lambda name, letter: letter in has[name])
    for text, file in {"plain": "", "Café": "west.ttf", "浮世絵 é": "east.ttf", "ไทย": ""}.items():
        drawn, font = fonts.drawable(text, 12)
        assert (drawn, font) == (text, opened[file])


def test_a_font_of_this_system_draws_what_it_has(fonts: Any) -> None:
    name = next((name for name in fonts._FILES if fonts._opened(name, 12)), None)
    if name is None:
        pytest.skip("this system has none of the fonts")
    assert fonts.drawable("Café Größe", 12)[0] == "Café Größe"
    assert not fonts._has("", "é")
    assert fonts._has(name, "é")
