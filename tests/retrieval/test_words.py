"""One picture has the words of all files that show it, and keeps what a person says of it."""

import json
import shutil
import sqlite3
import zipfile
from pathlib import Path

import pytest
from fakes import ColourEncoder, paint
from style_pack.retrieval.database.database import FILE
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.pictures.reader import open_picture
from style_pack.retrieval.records import Edit
from style_pack.retrieval.search import StyleQuery, search
from style_pack.retrieval.store.own_pictures import keep_picture
from style_pack.retrieval.store.store import StyleStore
from style_pack.retrieval.store.stylepack import export_pack
from style_pack.retrieval.syncing.other_encoders import keep_encodings
from style_pack.retrieval.view.filters import parse_filter


def say(picture: Path, caption: str = "", tags: tuple[str, ...] = (), licence: str = "") -> None:
    picture.with_suffix(".json").write_text(json.dumps({"caption": caption, "tags": tags, "license": licence}))


@pytest.fixture
def copies(folder: Path) -> list[Path]:
    """The red picture of `folder`, and the same pixels under two other paths of another source."""
    found = [folder / "warm" / "red.png", folder.parent / "favourites" / "wall.png"]
    found.append(folder.parent / "favourites" / "deep" / "brick.bmp")
    paint(found[1], "red")
    paint(found[2], "red")
    say(found[1], "crimson bricks", ("best", "photo"), "")
    return found


def named(store: StyleStore, word: str) -> list[str]:
    """The names of the pictures that hold a word."""
    found = search(store, ColourEncoder(), StyleQuery(word, "keyword", 5))
    return [match.record.name for match in found]


def passing(store: StyleStore, filter: str) -> list[str]:
    with store.reading() as view:
        return [store.records([id])[id].name for id in view.ids(view.passing(parse_filter(filter)))]


def edit(store: StyleStore, id: str, caption: str | None = None, tags: tuple[str, ...] | None = None) -> None:
    with store.saying() as said:
        said.edit(id, Edit(caption, tags))


@pytest.mark.parametrize("together", [True, False])
def test_all_files_words_are_the_pictures(
    store: StyleStore, encoder: ColourEncoder, folder: Path, copies: list[Path], together: bool
) -> None:
    sources = [folder, copies[1].parent]
    for named_now in [sources] if together else [[source] for source in sources]:
        ingest(store, encoder, named_now, "add")
    record = next(r for r in store.records().values() if len(r.files) == 3)
    assert (record.name, record.other_names) == ("warm/red", ("deep/brick", "wall"))
    assert (record.caption, record.other_captions) == ("a red wall", ("crimson bricks",))
    assert record.tags == ("warm", "brick", "photo", "deep", "favourites", "best")
    assert record.licence == "CC0-1.0"
    assert list(record.files) == [str(copies[0]), str(copies[2]), str(copies[1])]
    for word in ("red", "wall", "crimson", "best", "deep"):
        assert "warm/red" in named(store, word), word
    for filter in ("tag:best", "tag:warm", "name:wall", "name:warm/red", "folder:favourites", "folder:warm"):
        assert passing(store, filter) == ["warm/red"] or filter in ("tag:warm", "folder:warm"), filter
    assert passing(store, "name:redwall") == []
    assert sum(encoder.batches) == 5


def test_when_a_copy_goes_its_words_go_and_the_others_stay(
    store: StyleStore, encoder: ColourEncoder, folder: Path, copies: list[Path]
) -> None:
    sources = [folder, copies[1].parent]
    ingest(store, encoder, sources, "sync")
    copies[1].unlink()
    report = ingest(store, encoder, sources, "sync")
    assert (report.removed, report.total) == (0, 5)
    assert named(store, "crimson") == []
    assert passing(store, "tag:best") == []
    assert named(store, "wall") == ["warm/red"]  # of its own caption
    copies[0].unlink()
    assert ingest(store, encoder, sources, "sync").removed == 0
    record = next(r for r in store.records().values() if "deep" in r.tags)
    assert (record.name, record.caption, record.tags, record.other_names) == ("deep/brick", "", ("deep",), ())
    assert open_picture(Path(record.file)).getpixel((0, 0)) == (255, 0, 0)
    assert named(store, "wall") == []
    copies[2].unlink()
    paint(copies[1], "pink")
    assert ingest(store, encoder, sources, "sync").removed == 1
    assert sum(encoder.batches) == 6


def test_a_caption_is_kept_over_an_empty_one(store: StyleStore, encoder: ColourEncoder, tmp_path: Path) -> None:
    first, second = paint(tmp_path / "a" / "1.png", "red"), paint(tmp_path / "b" / "2.png", "red")
    say(second, "a red wall", (), "CC0")
    ingest(store, encoder, [tmp_path / "a", tmp_path / "b"], "sync")
    [record] = store.records().values()
    assert (record.file, record.caption, record.licence) == (str(first), "a red wall", "CC0")
    say(second, "a crimson wall")
    ingest(store, encoder, [tmp_path / "a", tmp_path / "b"], "sync")
    assert next(iter(store.records().values())).caption == "a crimson wall"
    say(first, "bricks")
    ingest(store, encoder, [tmp_path / "a", tmp_path / "b"], "sync")
    [record] = store.records().values()
    assert (record.caption, record.other_captions, record.licence) == ("bricks", ("a crimson wall",), "")


def test_a_file_that_shows_another_picture_takes_its_words_along(
    store: StyleStore, encoder: ColourEncoder, tmp_path: Path
) -> None:
    one, two = paint(tmp_path / "s" / "one.png", "red"), paint(tmp_path / "s" / "two.png", "red")
    say(one, "a barn")
    ingest(store, encoder, [tmp_path / "s"], "sync")
    paint(one, "blue", size=20)
    report = ingest(store, encoder, [tmp_path / "s"], "sync")
    assert (report.updated, report.removed, report.total) == (1, 0, 2)
    assert {r.name: (r.caption, list(r.files)) for r in store.records().values()} == {
        "one": ("a barn", [str(one)]),
        "two": ("", [str(two)]),
    }


def test_what_a_person_says_outlives_files_that_change_and_a_rebuild(
    filled: StyleStore, encoder: ColourEncoder, folder: Path
) -> None:
    id = next(id for id, record in filled.records().items() if record.name == "warm/red")
    edit(filled, id, caption="mine")
    say(folder / "warm" / "red.png", "theirs", ("new",), "MIT")
    ingest(filled, encoder, [folder], "sync")
    record = filled.records([id])[id]
    assert (record.caption, record.tags, record.licence) == ("mine", ("warm", "new"), "MIT")
    edit(filled, id, tags=())
    paint(folder / "copy" / "red.png", "red")
    for update in ("sync", "rebuild"):
        ingest(filled, encoder, [folder], update)
        record = filled.records([id])[id]
        assert (record.caption, record.tags) == ("mine", ())
        assert len(record.files) == 2
        assert named(filled, "mine")
        assert named(filled, "theirs") == []


def test_what_a_person_says_stays_with_a_file_that_is_painted_over_and_comes_back_with_one_that_was_away(
    filled: StyleStore, encoder: ColourEncoder, folder: Path, tmp_path: Path
) -> None:
    red, blue = (
        next(id for id, record in filled.records().items() if record.name == name) for name in ("warm/red", "cool/blue")
    )
    edit(filled, red, "a barn at noon", ("barn",))
    edit(filled, blue, "a lake")
    paint(folder / "warm" / "red.png", (250, 0, 0))
    shutil.move(folder / "cool" / "blue.png", tmp_path / "away.png")
    ingest(filled, encoder, [folder], "sync")
    record = next(record for record in filled.records().values() if record.name == "warm/red")
    assert record.id != red
    assert (record.caption, record.tags) == ("a barn at noon", ("barn",))
    shutil.copy(folder / "plain" / "grey.png", folder / "warm" / "red.png")
    shutil.move(tmp_path / "away.png", folder / "cool" / "blue.png")
    ingest(filled, encoder, [folder], "sync")
    grey = next(record for record in filled.records().values() if record.name == "plain/grey")
    assert (grey.caption, grey.other_names) == ("a red wall", ("warm/red",))  # its own, not what was said of another
    assert filled.records([blue])[blue].caption == "a lake"


def test_a_removed_picture_that_is_added_again_has_its_files_words(
    filled: StyleStore, encoder: ColourEncoder, folder: Path
) -> None:
    id = next(id for id, record in filled.records().items() if record.name == "warm/red")
    edit(filled, id, "mine")
    filled.remove([id])
    assert ingest(filled, encoder, [folder], "add").added == 1
    assert filled.records([id])[id].caption == "a red wall"


def test_copies_and_what_a_person_says_travel_in_a_pack(
    store: StyleStore, encoder: ColourEncoder, folder: Path, copies: list[Path], tmp_path: Path
) -> None:
    ingest(store, encoder, [folder, copies[1].parent], "sync")
    grey = next(id for id, record in store.records().items() if record.name == "plain/grey")
    edit(store, grey, "fog", ("weather",))
    copies[0].unlink()  # another file shows it still
    export_pack(store, tmp_path / "all.stylepack")
    other = StyleStore(tmp_path / "bases" / "other")
    batches = list(encoder.batches)
    ingest(other, encoder, [tmp_path / "all.stylepack"], "add")
    assert encoder.batches == [*batches, 1, 1, 1, 1]  # the sample that its vectors are compared with
    assert other.ids() == store.ids()
    for update in ("open", "rebuild"):
        ingest(other, encoder, [tmp_path / "all.stylepack"] if update == "rebuild" else [], update)
        for id, record in store.records().items():
            there = other.records([id])[id]
            names = {there.name, *there.other_names}
            assert names == {record.name, *record.other_names}
            assert {there.caption, *there.other_captions} == {record.caption, *record.other_captions}
            assert set(there.tags) == set(record.tags)
    say(Path(other.records([grey])[grey].file), "theirs", ("new",))
    ingest(other, encoder, [folder / "warm"], "sync")
    assert (other.records([grey])[grey].caption, other.records([grey])[grey].tags) == ("fog", ("weather",))


@pytest.mark.parametrize("edits", [[], {"x": 1}, {"x": {"caption": 5}}, {"x": {"tags": "a"}}, {"x": {"tags": [1]}}])
def test_edits_that_no_one_can_have_made_are_refused(
    filled: StyleStore, encoder: ColourEncoder, tmp_path: Path, edits: object
) -> None:
    export_pack(filled, tmp_path / "good.stylepack")
    with zipfile.ZipFile(tmp_path / "good.stylepack") as good, zipfile.ZipFile(tmp_path / "b.stylepack", "w") as bad:
        for entry in good.namelist():
            content = good.read(entry)
            if entry == "pack.json":
                content = json.dumps(json.loads(content) | {"edits": edits}).encode()
            bad.writestr(entry, content)
    with pytest.raises(ValueError, match=r"export it again\.$"):
        ingest(StyleStore(tmp_path / "bases" / "other"), encoder, [tmp_path / "b.stylepack"], "add")


def test_an_own_picture_that_lies_in_a_folder_too_has_both_words(
    filled: StyleStore, encoder: ColourEncoder, folder: Path
) -> None:
    keep_picture(filled, open_picture(folder / "warm" / "red.png"), "from the graph", ["mine"])
    ingest(filled, encoder, [folder], "sync")
    record = next(record for record in filled.records().values() if record.name == "warm/red")
    assert {"brick", "mine"} <= set(record.tags)
    assert record.other_captions == ("from the graph",)
    (folder / "warm" / "red.png").unlink()
    ingest(filled, encoder, [folder], "sync")
    record = filled.records([record.id])[record.id]
    assert (record.caption, "mine" in record.tags, "brick" in record.tags) == ("from the graph", True, False)


def test_another_encoder_sees_the_copy_when_the_first_file_is_gone(
    store: StyleStore, encoder: ColourEncoder, folder: Path, copies: list[Path]
) -> None:
    ingest(store, encoder, [folder, copies[1].parent], "sync")
    copies[0].unlink()
    assert keep_encodings(store, "other", encoder.encode_images) == 5


def test_a_knowledge_base_of_an_earlier_version_takes_over_its_words(
    store: StyleStore, encoder: ColourEncoder, folder: Path, copies: list[Path]
) -> None:
    sources = [folder, copies[1].parent]
    ingest(store, encoder, sources, "sync")
    as_before(store.folder / FILE)
    opened = StyleStore(store.folder)
    assert [record.caption for record in opened.records().values()] == [
        record.caption for record in store.records().values()
    ]
    revision = opened.revision
    assert ingest(opened, encoder, [folder / "cool"], "add").unchanged == 2
    assert opened.revision == revision
    report = ingest(opened, encoder, sources, "sync")
    assert (report.updated, report.unchanged, report.total) == (2, 5, 5)  # two copies, whose words no one has kept
    record = next(r for r in opened.records().values() if len(r.files) == 3)
    assert (record.caption, record.other_captions) == ("a red wall", ("crimson bricks",))
    assert set(record.other_names) == {"deep/brick", "wall"}
    assert ingest(opened, encoder, sources, "sync").unchanged == 7


def as_before(file: Path) -> None:
    """Leave the tables that version 0.1.0 made."""
    database = sqlite3.connect(file)
    for table in ("files", "edits", "sources", "dropped_files", "dropped_styles", "dropped_sources"):
        database.execute(f"DROP TABLE {table}")
    for column in ("other_names", "other_captions"):
        database.execute(f"ALTER TABLE styles DROP COLUMN {column}")
    database.execute("PRAGMA user_version = 0")
    database.commit()
    database.close()


def test_tables_of_a_later_version_are_refused(store: StyleStore) -> None:
    database = sqlite3.connect(store.folder / FILE)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(ValueError, match="tables of version 99, made by a later version of the pack"):
        StyleStore(store.folder)
