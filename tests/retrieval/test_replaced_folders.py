"""What happens to a folder by hand while programs have the knowledge base open: each finds what is there now."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from style_pack.retrieval.database.database import FILE
from style_pack.retrieval.records import StyleRecord
from style_pack.retrieval.store.store import StyleStore
from test_store import fill, missing, nearest, record
from writer_process import vector_of

OLD, NEW, OTHER = range(40), range(40, 60), range(500, 540)


def published(folder: Path, numbers: range) -> StyleStore:
    store = StyleStore(folder)
    fill(store, numbers)
    store.publish()
    return store


def deleted(here: Path, backup: Path, other: Path) -> range:
    shutil.rmtree(here)
    published(here, range(3)).close()
    return range(3)


def restored(here: Path, backup: Path, other: Path) -> range:
    shutil.rmtree(here)
    shutil.copytree(backup, here)
    return OLD


def moved_away_and_back(here: Path, backup: Path, other: Path) -> range:
    here.rename(here.parent / "elsewhere")
    (here.parent / "elsewhere").rename(here)
    return range(60)


def replaced_by_another(here: Path, backup: Path, other: Path) -> range:
    shutil.rmtree(here)
    other.rename(here)
    return OTHER


def exchanged_for_another(here: Path, backup: Path, other: Path) -> range:
    here.rename(here.parent / "elsewhere")
    other.rename(here)
    return OTHER


def written_over(here: Path, backup: Path, other: Path) -> range:
    for file in backup.rglob("*"):
        if file.is_file():
            (here / file.relative_to(backup)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, here / file.relative_to(backup))
    return OLD


def database_written_over(here: Path, backup: Path, other: Path) -> range:
    shutil.copyfile(backup / FILE, here / FILE)
    return OLD


def database_replaced(here: Path, backup: Path, other: Path) -> range:
    shutil.copyfile(backup / FILE, here / "fresh")
    os.replace(here / "fresh", here / FILE)
    return OLD


def index_deleted(here: Path, backup: Path, other: Path) -> range:
    shutil.rmtree(here / "index")
    return range(60)


def equal_copy(here: Path, backup: Path, other: Path) -> range:
    shutil.copytree(here, here.parent / "copy")
    shutil.rmtree(here)
    (here.parent / "copy").rename(here)
    return range(60)


HANDS = [
    deleted, restored, moved_away_and_back, replaced_by_another, exchanged_for_another, written_over,
    database_written_over, database_replaced, index_deleted, equal_copy,
]  # fmt: skip


@pytest.mark.parametrize("own_process", [False, True], ids=["here", "apart"])
@pytest.mark.parametrize("hand", HANDS, ids=lambda hand: hand.__name__)
def test_the_next_look_is_at_what_is_there_then(
    tmp_path: Path, hand: Callable[[Path, Path, Path], range], own_process: bool
) -> None:
    here, backup = tmp_path / "all" / "mine", tmp_path / "backup"
    published(here, OLD).close()
    shutil.copytree(here, backup)
    published(tmp_path / "all" / "other", OTHER).close()
    fill(StyleStore(here), NEW)
    StyleStore(here).publish()
    tab, node = StyleStore(here, own_process=own_process), StyleStore(here, own_process=own_process)
    for opened in (tab, node):
        assert nearest(opened, vector_of(50)) == [record(50).id]

    there = hand(here, backup, tmp_path / "all" / "other")
    expected = sorted(record(n).id for n in there)
    assert tab.ids() == expected
    assert missing(tab) == []
    writer = StyleStore(here, own_process=own_process)
    fill(writer, range(600, 640))
    writer.publish()
    for opened in (tab, node, StyleStore(here, own_process=own_process)):
        assert len(opened) == len(there) + 40
        assert missing(opened) == []
        assert {id for id in expected if opened.records([id])} == set(expected)
    for opened in (tab, node, writer):
        opened.close()


def test_as_many_changes_as_before_are_not_taken_for_the_same(tmp_path: Path) -> None:
    published(tmp_path / "mine", OLD).close()
    shutil.copytree(tmp_path / "mine", tmp_path / "backup")
    fill(StyleStore(tmp_path / "mine"), range(50, 51))
    tab = StyleStore(tmp_path / "mine")
    assert nearest(tab, vector_of(50)) == [record(50).id]
    shutil.copyfile(tmp_path / "backup" / FILE, tmp_path / "mine" / FILE)
    fill(StyleStore(tmp_path / "mine"), range(60, 61))
    assert nearest(tab, vector_of(60)) == [record(60).id]
    assert nearest(tab, vector_of(50)) != [record(50).id]


def test_a_folder_that_is_gone_is_said_and_stays_gone(store: StyleStore) -> None:
    fill(store, OLD)
    away = store.folder.with_name("away")
    store.folder.rename(away)
    for ask in (store.ids, lambda: fill(store, NEW), lambda: nearest(store, vector_of(1)), lambda: store.remove([])):
        with pytest.raises(
            FileNotFoundError, match="knowledge base 'colours' is not there any more, .*: bring it back"
        ):
            ask()
    assert not store.folder.exists()
    away.rename(store.folder)
    assert missing(store) == []


def test_a_writer_whose_folder_is_replaced_says_so(store: StyleStore) -> None:
    fill(store, OLD)
    with pytest.raises(OSError, match="'colours' was deleted, moved or replaced meanwhile: try again"), store.writing():
        shutil.rmtree(store.folder)
        StyleStore(store.folder)
        fill(store, NEW)
    assert len(StyleStore(store.folder)) == 0


def test_at_rest_it_is_one_file(store: StyleStore) -> None:
    fill(store, OLD)
    store.publish()
    assert missing(store) == []
    assert [path.name for path in store.folder.glob(f"{FILE}*")] == [FILE]


def own(folder: Path, number: int) -> StyleRecord:
    files = {str(folder / "pictures" / f"{number}.png"): [1, number, 0], f"/elsewhere/{number}.png": [1, 1, 0]}
    return StyleRecord(f"{number:064x}", f"n{number}", "", (), "", 1, 1, files)


def test_paths_of_own_pictures_move_with_the_folder(store: StyleStore) -> None:
    store.add([own(store.folder, 1)], vector_of(1)[None], "made@1")
    moved = store.folder.rename(store.folder.with_name("moved"))
    found = StyleStore(moved)
    assert found.records()[record(1).id] == own(moved, 1)
    assert set(found.said.all()) == set(own(moved, 1).files)
    draft = found.draft("made@1")
    draft.add([own(moved, 2)], vector_of(2)[None], "made@1")
    found.replace_with(draft)
    assert StyleStore(moved).records()[record(2).id] == own(moved, 2)


def test_vectors_come_back_with_a_copy(tmp_path: Path) -> None:
    store = published(tmp_path / "mine", OLD)
    store._database.copy_to(tmp_path / "copy.sqlite")
    (tmp_path / "other").mkdir()
    shutil.move(tmp_path / "copy.sqlite", tmp_path / "other" / FILE)
    copy = StyleStore(tmp_path / "other")
    assert np.array_equal(copy.vectors(copy.ids()), store.vectors(store.ids()))
