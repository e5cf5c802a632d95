"""What a filter lets through, against a look at each record, and what is said of one that is not understood."""

import os
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from fakes import ColourEncoder, paint
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.records import StyleRecord
from style_pack.retrieval.store.store import StyleStore
from style_pack.retrieval.view.filters import Span, parse_filter
from style_pack.retrieval.view.postings import Postings


def moment(year: int, month: int, day: int, hour: int = 0) -> int:
    return int(datetime(year, month, day, hour).timestamp()) * 10**9


def record(n: int) -> StyleRecord:
    tags = tuple(tag for k, tag in enumerate(("ink", "Wood Block", "neon")) if n >> k & 1)
    tags += (('5" plate', "c:\\art", '\\"', "浮世絵", "cafe\u0301", "Straße", "ışık", "C++ (old)")[n % 8],)
    name, folder = ("Hokusai's waves", "waves (2)", "aaa", "été")[n % 4], ("prints", "photos")[n % 2]
    file = {f"/art/{folder}/{n}.png": [1, moment(2023 + n % 3, 1 + n % 12, 1 + n, 12), 0]}
    licence = ("CC0-1.0", "CC-BY-4.0", "")[n % 3]
    return StyleRecord(f"{n:064x}", name, "", tags, licence, 100 * (n + 1), 900 - 50 * n, file)


RECORDS = [record(n) for n in range(12)]
POSTINGS = Postings.build(RECORDS)


def modified(one: StyleRecord) -> int:
    return one.files[one.file][1]


def shorter(one: StyleRecord) -> int:
    return min(one.width, one.height)


@pytest.mark.parametrize(
    ("filter", "holds"),
    [
        ("tag:ink", lambda r: "ink" in r.tags),
        ('tag:"wood block"', lambda r: "Wood Block" in r.tags),
        ("TAG:'WOOD BLOCK'", lambda r: "Wood Block" in r.tags),
        ("tag:in", lambda _: False),
        ("license:cc0", lambda r: r.licence == "CC0-1.0"),
        ("licence:CC", lambda r: r.licence != ""),
        ("folder:prints", lambda r: "prints" in r.file),
        ("name:wave", lambda r: "waves" in r.name),
        ("name:Hokusai's", lambda r: "Hokusai" in r.name),
        ('name:"waves (2)"', lambda r: r.name == "waves (2)"),
        ("name:aa", lambda r: r.name == "aaa"),
        ("name:aaaa", lambda _: False),
        ("name:ÉT", lambda r: r.name == "été"),
        ("size:350", lambda r: shorter(r) == 350),
        ("size:>=350", lambda r: shorter(r) >= 350),
        ("size:<350", lambda r: shorter(r) < 350),
        ("width:>500", lambda r: r.width > 500),
        ("height:<=500", lambda r: r.height <= 500),
        ("height:500..700", lambda r: 500 <= r.height <= 700),
        ("width:..300", lambda r: r.width <= 300),
        ("width:300..", lambda r: r.width >= 300),
        ("date:2024", lambda r: moment(2024, 1, 1) <= modified(r) < moment(2025, 1, 1)),
        ("date:>2024", lambda r: modified(r) >= moment(2025, 1, 1)),
        ("date:>=2024-05", lambda r: modified(r) >= moment(2024, 5, 1)),
        ("date:<2024-05-06", lambda r: modified(r) < moment(2024, 5, 6)),
        ("date:<=2024-05-05", lambda r: modified(r) < moment(2024, 5, 6)),
        ("date:2023-12..2024", lambda r: moment(2023, 12, 1) <= modified(r) < moment(2025, 1, 1)),
        ("tag:ink tag:neon", lambda r: {"ink", "neon"} <= set(r.tags)),
        ("tag:ink and tag:neon", lambda r: {"ink", "neon"} <= set(r.tags)),
        ("tag:ink OR tag:neon", lambda r: bool({"ink", "neon"} & set(r.tags))),
        ('tag:"5\\" plate"', lambda r: '5" plate' in r.tags),
        ("tag:'5\" plate'", lambda r: '5" plate' in r.tags),
        ('tag:"c:\\\\art"', lambda r: "c:\\art" in r.tags),
        ('tag:"c:\\art"', lambda r: "c:\\art" in r.tags),
        ("tag:c:\\art", lambda r: "c:\\art" in r.tags),
        ('tag:"\\\\\\""', lambda r: '\\"' in r.tags),
        ('tag:"C++ (old)" tag:ink', lambda r: {"C++ (old)", "ink"} <= set(r.tags)),
        ("tag:“wood block”", lambda r: "Wood Block" in r.tags),
        ("tag:„wood block“ OR tag:‘ink’", lambda r: bool({"Wood Block", "ink"} & set(r.tags))),
        ("tag：「浮世絵」", lambda r: "浮世絵" in r.tags),
        ("tag:浮世絵", lambda r: "浮世絵" in r.tags),
        ("tag:浮世", lambda _: False),
        ("tag:café", lambda r: "cafe\u0301" in r.tags),
        ("tag:CAFE", lambda r: "cafe\u0301" in r.tags),
        ("tag:STRASSE", lambda r: "Straße" in r.tags),
        ("tag:IŞIK", lambda r: "ışık" in r.tags),
        ("name:\ud800", lambda _: False),
        ("name:e\u0301te\u0301", lambda r: r.name == "été"),
        ("-tag:ink", lambda r: "ink" not in r.tags),
        ("not not tag:ink", lambda r: "ink" in r.tags),
        ("tag:ink OR tag:neon folder:prints", lambda r: "ink" in r.tags or ("neon" in r.tags and "prints" in r.file)),
        ("(tag:ink OR tag:neon) folder:prints", lambda r: {"ink", "neon"} & set(r.tags) and "prints" in r.file),
        ("-(tag:ink or tag:neon)", lambda r: not {"ink", "neon"} & set(r.tags)),
        ("NOT tag:ink tag:neon", lambda r: "ink" not in r.tags and "neon" in r.tags),
    ],
)
def test_a_filter_lets_through_what_it_says(filter: str, holds: Callable[[StyleRecord], object]) -> None:
    wanted = parse_filter(filter)
    assert wanted is not None
    assert POSTINGS.passing(wanted).tolist() == [bool(holds(one)) for one in RECORDS]


def test_an_empty_filter_is_none() -> None:
    assert parse_filter("  ") is None


def test_periods_of_a_date_have_no_gap() -> None:
    """The end of a month and of a year is the start of the next one."""
    for first, then in (("2024-12", "2025-01"), ("2023", "2024"), ("2024-02-29", "2024-03-01")):
        before, after = parse_filter(f"date:{first}"), parse_filter(f"date:{then}")
        assert isinstance(before, Span)
        assert isinstance(after, Span)
        assert before.high == after.low


@pytest.mark.parametrize(
    ("filter", "sentence"),
    [
        ("ukiyo", "character 1: 'ukiyo' is not understood: write field:value with a field of tag, license, folder"),
        ("tag:a colour:red", "character 7: 'colour:red' is not understood"),
        ('tag:a  tag:"wood block', "character 8: 'tag:\"wood' has a quote that is not closed"),
        ('tag:"wood\\"', "has a quote that is not closed"),
        ("tag:“wood block", "has a quote that is not closed"),
        ("tag:", "character 1: 'tag:' has no value: write one, such as tag:ukiyo-e"),
        ('tag:" "', "has no value"),
        ("(tag:a OR tag:b", "character 1: '(' opens a parenthesis that is not closed"),
        ("tag:a)", "character 6: ')' closes a parenthesis that was not opened"),
        ("tag:a OR", "character 9: its end stands where a term has to"),
        ("OR tag:a", "character 1: 'OR' stands where a term has to"),
        ("tag:a () tag:b", "character 8: ')' stands where a term has to"),
        ("tag:a -", "its end stands where a term has to"),
        (
            "date:yesterday",
            "character 1: 'date:yesterday' asks for no date that is understood: write it like date:2024",
        ),
        ("date:2024-02-30", "'2024-02-30' is no date (day is out of range for month"),
        ("date:2024-2", "'2024-2' is no date: write a year from 1971 to 2200, or 2024-05, or 2024-05-17"),
        ("date:9999", "'9999' is no date: write a year from 1971 to 2200"),
        ("date:2025..2024", "ends before it begins: swap the two"),
        ("size:big", "'size:big' asks for no size that is understood: write it like size:>=1024"),
        ("size:-5", "'-5' is no whole number of pixels"),
        ("width:..", "asks for no width"),
        ("(" * 60 + "tag:a" + ")" * 60, "lies more than 50 parentheses and minuses deep"),
        ("tag:a " * 400, "filter has 2,400 characters: 2,000 are allowed"),
    ],
)
def test_what_is_not_understood_is_named_with_its_place(filter: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        parse_filter(filter)


def test_a_date_follows_the_picture_file(store: StyleStore, encoder: ColourEncoder, tmp_path: Path) -> None:
    old, new = paint(tmp_path / "old.png", "red"), paint(tmp_path / "new.png", "blue", 32)
    os.utime(old, ns=(0, moment(2020, 6, 1)))
    os.utime(new, ns=(0, moment(2024, 6, 1)))

    def found(filter: str) -> list[str]:
        wanted = parse_filter(filter)
        with store.reading() as view:
            ids = view.ids(view.passing(wanted))
        return sorted(one.name for one in store.records(ids).values())

    ingest(store, encoder, [old, new], "sync")
    assert found("date:<2024") == ["old"]
    assert found("date:2024 size:32") == ["new"]
    os.utime(old, ns=(0, moment(2024, 7, 1)))
    assert ingest(store, encoder, [old, new], "sync").updated == 1
    assert found("date:2024") == ["new", "old"]
    assert sum(encoder.batches) == 2  # its pixels are the same: nothing was embedded again


def test_a_snapshot_of_an_earlier_form_is_made_anew(filled: StyleStore, encoder: ColourEncoder) -> None:
    number = filled._database.meta()["snapshot"]
    with filled._database.transaction():
        filled._database.set_meta(form=1, revision=filled.revision + 1)
    (filled.folder / "index" / str(number) / "numbers.npy").unlink()
    reopened = StyleStore(filled.folder)
    with reopened.reading() as view:
        assert len(view.ids(view.passing(parse_filter("size:16 -folder:nothing")))) == 5
        assert len(view.snapshot_keys) == 0
    ingest(reopened, encoder, [], "open")
    with reopened.reading() as view:
        assert len(view.snapshot_keys) == 5
        assert np.count_nonzero(view.passing(parse_filter("name:blue"))) == 1
