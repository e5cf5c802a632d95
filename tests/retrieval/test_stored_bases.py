"""Knowledge bases that are kept as files: what a user of any version of the tables has is opened, searched, changed."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from fakes import ColourEncoder, paint
from style_pack.retrieval.database.database import FILE
from style_pack.retrieval.database.schema import STEPS
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.search import StyleQuery, search
from style_pack.retrieval.store.store import StyleStore
from write_bases import BASES, EDIT, STYLES, id_of

VERSIONS = range(1, len(STEPS) + 1)


@pytest.fixture(params=VERSIONS, ids=lambda version: f"version {version}")
def base(request: pytest.FixtureRequest, store: StyleStore) -> StyleStore:
    shutil.copyfile(BASES / f"version_{request.param}.sqlite", store.folder / FILE)
    return StyleStore(store.folder)


def version_of(file: Path) -> int:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro&immutable=1", uri=True)) as db:
        return db.execute("PRAGMA user_version").fetchone()[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_file_of_each_version_is_kept_as_it_was(version: int) -> None:
    assert version_of(BASES / f"version_{version}.sqlite") == version


def test_every_version_becomes_the_present_one_when_it_is_opened(base: StyleStore) -> None:
    assert version_of(base.folder / FILE) == len(STEPS)


def test_pictures_words_and_vectors_of_every_version_are_here(base: StyleStore) -> None:
    records = base.records()
    assert {(record.name, *record.tags, record.licence) for record in records.values()} == {
        ("blue", "water", "CC0-1.0"),
        ("red", "brick", "CC0-1.0"),
    }
    for name, caption, _, vector in STYLES:
        record = records[id_of(name)]
        edited = EDIT[1] if id_of(name) in base.said.edits() else caption
        assert (record.caption, record.file) == (edited, str(base.folder / "pictures" / f"{name}.png"))
        assert base.vectors([record.id])[0].tolist() == list(vector)
        assert [shown.caption for shown in base.said.of([record.id])[record.id]] == [caption]


def test_every_version_is_searched_and_added_to(base: StyleStore, encoder: ColourEncoder, tmp_path: Path) -> None:
    assert search(base, encoder, StyleQuery("red"))[0].record.name == "red"
    report = ingest(base, encoder, [paint(tmp_path / "green.png", (0, 255, 0))], "add")
    assert (report.added, report.total, base.revision) == (1, 3, 3)
    assert search(base, encoder, StyleQuery("green"))[0].record.name == "green"
    assert encoder.batches[0] == 1
