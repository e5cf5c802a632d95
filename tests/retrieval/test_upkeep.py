"""A knowledge base as a whole: backed up, restored, copied, renamed, deleted, from Python and by `style-rag`."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from fakes import ColourEncoder
from PIL import Image
from style_pack.command_line.__main__ import main
from style_pack.retrieval.database.database import FILE
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.store.backup import back_up, restore
from style_pack.retrieval.store.own_pictures import keep_picture
from style_pack.retrieval.store.store import StyleStore
from style_pack.retrieval.store.upkeep import copy, delete, find_base, rename
from test_store import fill, missing, nearest, record
from writer_process import vector_of

WAIT = 5.0


@pytest.fixture
def mine(tmp_path: Path, encoder: ColourEncoder) -> StyleStore:
    """Three own pictures, each with words beside it, an encoding of one, and an index."""
    store = StyleStore(tmp_path / "all" / "mine")
    for colour in ("red", "green", "blue"):
        keep_picture(store, Image.new("RGB", (8, 8), colour), f"a {colour} wall", [colour])
    ingest(store, encoder, [], "add")
    store.encodings.keep("painter", {store.ids()[0]: vector_of(1)})
    return store


def is_whole(folder: Path, like: StyleStore) -> None:
    """The same styles are here, each with a picture of its own in this folder that is as it was read."""
    store = StyleStore(folder)
    assert store.ids() == like.ids()
    for id, found in store.records().items():
        path = Path(found.file)
        assert path.is_relative_to(folder / "pictures")
        assert [path.stat().st_size, path.stat().st_mtime_ns] == found.files[found.file][:2]
        assert (found.caption, found.tags) == (like.records([id])[id].caption, like.records([id])[id].tags)
    assert missing(store) == []
    assert store.encodings.read("painter", store.ids()[0]) is not None


def test_a_backup_comes_back_whole_in_another_place(mine: StyleStore, tmp_path: Path, encoder: ColourEncoder) -> None:
    assert back_up(mine.folder, tmp_path / "mine.zip") == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all", "mine.zip"]
    assert restore(tmp_path / "mine.zip", tmp_path / "elsewhere", "again", WAIT) == 3
    is_whole(tmp_path / "elsewhere" / "again", mine)
    again = StyleStore(tmp_path / "elsewhere" / "again")
    report = ingest(again, encoder, [], "add")
    assert (report.unchanged, report.added, report.updated) == (3, 0, 0)


def test_a_backup_is_made_while_another_writes(mine: StyleStore, tmp_path: Path) -> None:
    with mine.writing():
        assert back_up(mine.folder, tmp_path / "mine.zip") == 3
    restore(tmp_path / "mine.zip", tmp_path, "again", WAIT)
    is_whole(tmp_path / "again", mine)


@pytest.mark.parametrize("own_process", [False, True], ids=["here", "apart"])
def test_a_restored_one_holds_what_the_backup_holds_and_nothing_else(
    mine: StyleStore, tmp_path: Path, encoder: ColourEncoder, own_process: bool
) -> None:
    back_up(mine.folder, tmp_path / "mine.zip")
    restore(tmp_path / "mine.zip", tmp_path / "all", "like", WAIT)
    late = keep_picture(mine, Image.new("RGB", (8, 8), "black"), "late", [])
    ingest(mine, encoder, [], "add")
    mine.remove(mine.ids()[:1])
    tab = StyleStore(mine.folder, own_process=own_process)
    assert len(nearest(tab, vector_of(1)[:3], 9)) == 3
    assert restore(tmp_path / "mine.zip", tmp_path / "all", "mine", WAIT) == 3
    assert len(nearest(tab, vector_of(1)[:3], 9)) == 3
    assert not late.exists()
    is_whole(mine.folder, StyleStore(tmp_path / "all" / "like"))
    tab.publish()
    assert missing(tab) == []
    ingest(tab, encoder, [], "add")
    assert len(tab) == 3
    tab.close()


def leave_a_log(folder: Path) -> None:
    """Add a picture in a process that is killed before SQLite has put its `-wal` into the database."""
    program = (
        "import os, sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('PRAGMA wal_autocheckpoint=0');"
        "db.execute('UPDATE styles SET caption = \"edited later\"'); db.commit(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program, str(folder / FILE)], check=True)
    assert (folder / f"{FILE}-wal").stat().st_size > 0


def test_what_a_killed_program_left_beside_it_does_not_reach_a_restored_one(mine: StyleStore, tmp_path: Path) -> None:
    back_up(mine.folder, tmp_path / "mine.zip")
    leave_a_log(mine.folder)
    restore(tmp_path / "mine.zip", tmp_path / "all", "mine", WAIT)
    assert {found.caption for found in StyleStore(mine.folder).records().values()} == {
        "a red wall", "a green wall", "a blue wall",
    }  # fmt: skip


def test_a_damaged_one_is_restored(mine: StyleStore, tmp_path: Path) -> None:
    back_up(mine.folder, tmp_path / "mine.zip")
    restore(tmp_path / "mine.zip", tmp_path / "all", "like", WAIT)
    (mine.folder / FILE).write_bytes(b"no database at all" * 1000)
    (mine.folder / f"{FILE}-wal").write_bytes(b"nor this")
    restore(tmp_path / "mine.zip", tmp_path / "all", "mine", WAIT)
    is_whole(mine.folder, StyleStore(tmp_path / "all" / "like"))


def rezip(file: Path, change: Callable[[zipfile.ZipFile, zipfile.ZipFile], None]) -> None:
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(file.with_suffix(".new"), "w") as new:
        new.comment = old.comment
        change(old, new)
    file.with_suffix(".new").replace(file)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 255
    file.write_bytes(bytes(content))


def lead_out(file: Path) -> None:
    rezip(file, lambda old, new: [new.writestr("../out.png", b"x"), new.writestr(FILE, old.read(FILE))][0])


def without_database(file: Path) -> None:
    rezip(file, lambda old, new: new.writestr("pictures/a.png", b"x"))


def with_garbage(file: Path) -> None:
    def change(old: zipfile.ZipFile, new: zipfile.ZipFile) -> None:
        entry = old.getinfo(FILE)
        kept = old.read(FILE)
        new.writestr(entry, kept[:8192] + bytes(len(kept) - 8192))

    rezip(file, change)


@pytest.mark.parametrize("damage", [cut, flip, lead_out, without_database, with_garbage], ids=lambda f: f.__name__)
def test_a_damaged_or_foreign_backup_changes_nothing(
    mine: StyleStore, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    back_up(mine.folder, tmp_path / "mine.zip")
    damage(tmp_path / "mine.zip")
    with pytest.raises(ValueError, match="backup"):
        restore(tmp_path / "mine.zip", tmp_path / "all", "mine", WAIT)
    with pytest.raises(ValueError, match="backup"):
        restore(tmp_path / "mine.zip", tmp_path / "all", "new", WAIT)
    is_whole(mine.folder, mine)
    assert [path.name for path in (tmp_path / "all").iterdir()] == ["mine"]
    assert not (tmp_path / "all" / "out.png").exists()


def test_a_restore_that_is_cut_leaves_the_one_or_the_other(
    mine: StyleStore, tmp_path: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(mine.folder, tmp_path / "mine.zip")
    restore(tmp_path / "mine.zip", tmp_path / "all", "like", WAIT)
    like = StyleStore(tmp_path / "all" / "like")
    keep_picture(mine, Image.new("RGB", (8, 8), "black"), "late", [])
    ingest(mine, encoder, [], "add")
    later = mine.ids()
    replace, cuts = os.replace, 0

    def cut_after(count: int) -> None:
        left = iter(range(count))

        def until_then(source: Path, target: Path) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            replace(source, target)

        monkeypatch.setattr(os, "replace", until_then)

    while StyleStore(mine.folder).ids() == later:
        cut_after(cuts)
        with suppress(KeyboardInterrupt):
            restore(tmp_path / "mine.zip", tmp_path / "all", "mine", WAIT)
        monkeypatch.undo()
        for found in StyleStore(mine.folder).records().values():
            assert Path(found.file).is_file()
        cuts += 1
    assert cuts > 7  # three pictures, their words, an encoding, and then the database
    is_whole(mine.folder, like)


def test_a_copy_is_another_one(mine: StyleStore, encoder: ColourEncoder) -> None:
    copy(mine.folder.parent, "mine", "other")
    other = StyleStore(mine.folder.with_name("other"))
    is_whole(other.folder, mine)
    assert ingest(other, encoder, [], "add").unchanged == 3
    other.remove(other.ids()[:1])
    assert (len(other), len(mine), len(StyleStore(mine.folder))) == (2, 3, 3)


def test_a_renamed_one_is_found_by_its_new_name_alone(mine: StyleStore) -> None:
    assert missing(mine) == []
    rename(mine.folder.parent, "mine", "new name", WAIT)
    is_whole(mine.folder.with_name("new name"), StyleStore(mine.folder.with_name("new name")))
    with pytest.raises(FileNotFoundError, match=r"there is no knowledge base 'mine' in .* \(there: new name\)"):
        find_base(mine.folder.parent, "mine")
    with pytest.raises(FileNotFoundError, match="'mine' is not there any more"):
        mine.ids()


def test_a_deleted_one_is_gone_and_its_name_free(mine: StyleStore) -> None:
    assert missing(mine) == []
    delete(mine.folder.parent, "mine", WAIT)
    assert list(mine.folder.parent.iterdir()) == []
    fill(StyleStore(mine.folder), range(3))
    assert nearest(StyleStore(mine.folder), vector_of(2)) == [record(2).id]


def test_a_damaged_one_can_be_renamed_and_deleted(mine: StyleStore) -> None:
    (mine.folder / FILE).write_bytes(b"no database at all" * 1000)
    rename(mine.folder.parent, "mine", "broken", WAIT)
    delete(mine.folder.parent, "broken", WAIT)
    assert list(mine.folder.parent.iterdir()) == []


def test_a_name_that_is_taken_or_none_is_refused(mine: StyleStore) -> None:
    root = mine.folder.parent
    fill(StyleStore(root / "other"), range(3))
    for act in (lambda to: copy(root, "mine", to), lambda to: rename(root, "mine", to, WAIT)):
        with pytest.raises(FileExistsError, match="there is something named 'other' already: choose another name"):
            act("other")
        with pytest.raises(ValueError, match="can't name a knowledge base"):
            act("../out")
    for act in (
        lambda name: delete(root, name, WAIT),
        lambda name: copy(root, name, "b"),
        lambda name: find_base(root, name),
    ):
        with pytest.raises(ValueError, match="can't name a knowledge base"):
            act("..")
        with pytest.raises(FileNotFoundError, match="there is no knowledge base 'nothing'"):
            act("nothing")
    assert sorted(path.name for path in root.iterdir()) == ["mine", "other"]


def test_who_writes_is_waited_for_and_then_named(mine: StyleStore) -> None:
    root = mine.folder.parent
    with mine.writing():
        for act in (lambda: delete(root, "mine", 0.1), lambda: rename(root, "mine", "b", 0.1)):
            with pytest.raises(TimeoutError, match="is being written by another process, for more than 0.1 seconds"):
                act()
    assert missing(mine) == []


def test_the_commands(mine: StyleStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> int:
        capsys.readouterr()
        return main([*arguments, "--root", str(mine.folder.parent)])

    file = tmp_path / "mine.zip"
    assert run("backup", "mine", str(file)) == 0
    assert capsys.readouterr().out == f"pictures: 3\nfile: {file}\n"
    assert run("copy", "mine", "b") == 0
    assert run("rename", "b", "c") == 0
    assert run("delete", "c") == 1
    assert (
        "style-rag: 'c' will be deleted for good, with the pictures that it keeps itself: add --yes"
        in capsys.readouterr().err
    )
    assert run("delete", "c", "--yes") == 0
    mine.remove(mine.ids()[:2])
    assert run("restore", "mine", str(file)) == 1
    assert "add --yes" in capsys.readouterr().err
    assert run("restore", "mine", str(file), "--yes") == 0
    assert capsys.readouterr().out == "name: mine\ntotal: 3\n"
    assert run("restore", "new", str(file)) == 0
    assert run("restore", "new", str(mine.folder / "write.lock"), "--yes") == 1
    assert "is no backup of a knowledge base, or a damaged one" in capsys.readouterr().err
    assert run("backup", "mine", str(tmp_path / "nowhere" / "mine.zip")) == 1
    assert f"folder {tmp_path / 'nowhere'} does not exist" in capsys.readouterr().err
    shutil.rmtree(mine.folder)
    assert run("backup", "mine", str(file)) == 1
    assert "(there: new): correct the name or --root, or make it with ingest." in capsys.readouterr().err
