"""Captions as editors all over the world save them."""

import pytest
from style_pack.retrieval.pictures.text_files import decode_text

TEXTS = {
    "cp1252": [
        "café au lait", "a house with a naïve façade", "Straße", "Zürich, Öl auf Leinwand", "señor", "é",
        "Ein Schloß im Nebel — düster", "l'été à la plage", "garçon à l’écharpe", "“quoted” text – dash",
    ],
    "cp932": ["浮世絵の港、木版画", "水墨画", "港の夕暮れ", "夜の街、ネオン"],
    "gb18030": ["水墨画", "山水画，水墨，竹林", "海港", "赛博朋克霓虹灯的夜晚城市", "一座城堡"],
    "big5": ["水墨畫", "賽博龐克的城市夜晚", "港口的日落"],
    "cp949": ["수채화로 그린 항구", "어두운 도시의 밤"],
    "cp1251": ["Привет мир, замок на холме", "город ночью"],
    "utf-16": ["浮世絵の港", "castle"],
    "utf-16-le": ["café", "a castle", "浮世絵の港"],
    "utf-16-be": ["café", "a castle"],
    "utf-8": ["浮世絵の港", "café", "x\0y", "", "a\x1bb"],
    "utf-8-sig": ["港"],
}  # fmt: skip


@pytest.mark.parametrize(("encoding", "text"), [(e, text) for e, texts in TEXTS.items() for text in texts])
def test_a_text_in_any_encoding_is_read(encoding: str, text: str) -> None:
    assert decode_text(text.encode(encoding)) == text


@pytest.mark.parametrize(
    "content", [bytes(range(128, 256)), b"\x89PNG\r\n\x1a\n\xff\xd8" * 4, b"\x80\x81\xff\xfe" * 20]
)
def test_what_is_no_text_is_not_made_one(content: bytes) -> None:
    with pytest.raises(ValueError):
        decode_text(content)


@pytest.mark.parametrize(
    ("text", "encoding"), [("éé", "cp1252"), ("öäü", "cp1252"), ("海", "gb18030"), ("港", "cp932")]
)
def test_what_is_too_short_to_tell_is_not_guessed(text: str, encoding: str) -> None:
    with pytest.raises(ValueError):
        decode_text(text.encode(encoding))


def test_a_cut_text_loses_no_more_than_its_last_letter() -> None:
    assert decode_text("港の夕".encode()[:-1], cut=True) == "港の"
    with pytest.raises(ValueError):
        decode_text("浮世絵の港、木版画".encode()[:-1] + b"\xff\xff\xff")
