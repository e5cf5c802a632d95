"""Words are found in any script, however they are written: without spaces, composed or not, with accents or without."""

import json
import unicodedata
from pathlib import Path
from typing import Literal

import pytest
from fakes import ColourEncoder, paint
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.search import StyleQuery, search
from style_pack.retrieval.store import snapshot
from style_pack.retrieval.store.store import StyleStore
from style_pack.retrieval.view import postings
from style_pack.retrieval.view.filters import parse_filter
from style_pack.retrieval.view.words import asked_words, fold, matching_words, words_of

CAPTIONS = {
    "ukiyo-e": ("浮世絵の港、木版画", ["浮世絵"]),
    "shuimo": ("水墨风格的山峰", ["水墨"]),
    "popart": ("ポップアート風の女性", ["ポップアート"]),
    "cafe": ("utrillo café in Montmartre", ["café"]),
    "etching": ("гравюра ёлки", ["гравюра"]),
    "hindi": ("हिन्दी चित्र", ["चित्र"]),
    "thai": ("ภาพวาดสีน้ำ", ["สีน้ำ"]),
    "lao": ("ຮູບແຕ້ມສີນ້ຳ", []),
    "khmer": ("គំនូរទឹក", []),
    "burmese": ("ရေဆေးပန်းချီ", []),
    "korean": ("수채화 풍경과 꽃이 있는 들판", ["수채화"]),
    "german": ("Straßenszene in Łódź", ["straße"]),
    "turkish": ("İstanbul'da ışık, çizim", ["çizim"]),
    "greek": ("ΨΗΦΙΔΩΤΌΣ τοίχος", []),
    "arabic": ("خَطّ عَرَبِيّ", []),
    "persian": ("نقاشی می‌کنم", []),
    "hebrew": ("צִיּוּר שֶׁמֶן", []),
    "vietnamese": ("tranh Đông Hồ", []),
    "danish": ("Ærø ved søen", []),
}
FOUND = [
    ("浮世絵の港", "ukiyo-e"),
    ("浮世絵", "ukiyo-e"),
    ("港", "ukiyo-e"),
    ("夜の港町", "ukiyo-e"),
    ("木版画の家", "ukiyo-e"),
    ("水墨画", "shuimo"),
    ("雪山", "shuimo"),
    ("水墨風格", "shuimo"),
    ("ポップアート", "popart"),
    ("ﾎﾟｯﾌﾟｱｰﾄ", "popart"),
    ("アート", "popart"),
    ("CAFÉ", "cafe"),
    ("cafe", "cafe"),
    ("ＣＡＦＥ", "cafe"),
    ("гравюру, гравюра", "etching"),
    ("ЕЛКИ", "etching"),
    ("चित्र", "hindi"),
    ("สีน้ำ", "thai"),
    ("สี", "thai"),
    ("ภาพสีน้ำมัน", "thai"),
    ("ສີນ້ຳ", "lao"),
    ("គំនូរ", "khmer"),
    ("ပန်းချီ", "burmese"),
    ("수채화", "korean"),
    ("수채화로", "korean"),
    ("풍경을", "korean"),
    ("꽃을", "korean"),
    ("꽃", "korean"),
    ("straßenszene", "german"),
    ("STRASSENSZENE", "german"),
    ("lodz", "german"),
    ("istanbul", "turkish"),
    ("İSTANBUL", "turkish"),
    ("ISTANBUL", "turkish"),
    ("IŞIK", "turkish"),
    ("cizim", "turkish"),
    ("ψηφιδωτός", "greek"),
    ("ψηφιδωτοσ", "greek"),
    ("خط", "arabic"),
    ("میکنم", "persian"),
    ("ציור", "hebrew"),
    ("dong ho", "vietnamese"),
    ("aero søen", "danish"),
]
UNKNOWN = ["바다", "돼지", "ねこ", "ข้าว", "の", "的", "ビル"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> StyleStore:
    folder = tmp_path_factory.mktemp("scripts")
    for number, (name, (caption, tags)) in enumerate(CAPTIONS.items()):
        picture = paint(folder / "pictures" / f"{name}.png", (number, 0, 0))
        picture.with_suffix(".json").write_text(json.dumps({"caption": caption, "tags": tags}), encoding="utf-8")
    store = StyleStore(folder / "base")
    ingest(store, ColourEncoder(), [folder / "pictures"], "sync")
    return store


def found(store: StyleStore, text: str) -> list[str]:
    return [match.record.name for match in search(store, ColourEncoder(), StyleQuery(text, "keyword", 3))]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(("text", "name"), FOUND)
def test_a_word_is_found_in_its_script_composed_or_not(
    base: StyleStore, text: str, name: str, form: Literal["NFC", "NFD"]
) -> None:
    assert found(base, unicodedata.normalize(form, text))[:1] == [name]


@pytest.mark.parametrize("text", UNKNOWN)
def test_what_stands_nowhere_is_not_found(base: StyleStore, text: str) -> None:
    assert found(base, text) == []


@pytest.mark.parametrize(
    ("filter", "names"),
    [
        ("tag:浮世絵", ["ukiyo-e"]),
        ("tag:浮世", []),
        ("tag:cafe\u0301", ["cafe"]),
        ("tag:Cafe", ["cafe"]),
        ("tag:STRASSE", ["german"]),
        ("tag:수채화", ["korean"]),
        (f"tag:{unicodedata.normalize('NFD', '수채화')}", ["korean"]),
        ("tag:สีน้ำ", ["thai"]),
        ("tag:ÇİZİM", ["turkish"]),
        ("name:ＧＲＥＥＫ", ["greek"]),
    ],
)
def test_a_filter_knows_a_tag_in_every_spelling(base: StyleStore, filter: str, names: list[str]) -> None:
    with base.reading() as view:
        ids = view.ids(view.passing(parse_filter(filter)))
    assert [record.name for record in base.records(ids).values()] == names


def test_a_match_shows_the_words_as_they_were_asked(base: StyleStore) -> None:
    [match, *_] = search(base, ColourEncoder(), StyleQuery("木版画の港町, Café", "keyword", 3))
    assert (match.record.name, match.matched, match.matched_tags) == ("ukiyo-e", ("木版画", "港"), ())
    [match, *_] = search(base, ColourEncoder(), StyleQuery("浮世絵の女性", "keyword", 1))
    assert (match.record.name, match.matched_tags) == ("ukiyo-e", ("浮世絵",))
    assert matching_words("Im Café: 수채화로, STRASSE", "cafe, 수채화 Straße") == ["café", "수채화", "strasse"]


def test_all_spellings_have_one_form() -> None:
    assert {fold(text) for text in ("Straße", "STRASSE", "straſse", "STRAẞE")} == {"strasse"}
    assert {fold(text) for text in ("iI", "İı", "i\u0307I")} == {"ii"}
    assert {fold(text) for text in ("ガ", "カ\u3099", "ｶﾞ")} == {"ガ"}
    assert fold("か\u3099") == "が" != fold("か")
    assert fold("한") == fold(unicodedata.normalize("NFD", "한")) == "한"
    assert words_of("pop_art, C++ & 8K") == ["pop", "art", "c", "8k"]
    assert asked_words("a red red house") == ["house", "red"]
    assert asked_words("👍 \ud800 …") == []


def test_a_base_whose_words_were_cut_otherwise_is_found_at_once_and_cut_anew_by_the_next_sync(
    store: StyleStore, encoder: ColourEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the index of a knowledge base from before: one run of letters was one word."""
    paint(tmp_path / "s" / "one.png", "red").with_suffix(".txt").write_text("浮世絵の港", encoding="utf-8")
    with monkeypatch.context() as before:
        before.setattr(postings, "words_of", lambda text: text.lower().split())
        before.setattr(snapshot, "_FORM", 3)
        ingest(store, encoder, [tmp_path / "s"], "sync")
        store.close()
    reopened = StyleStore(store.folder)
    assert found(reopened, "港") == ["one"]
    ingest(reopened, encoder, [], "open")
    with reopened.reading() as view:
        assert len(view.snapshot_keys) == 1
    assert found(reopened, "港") == ["one"]
