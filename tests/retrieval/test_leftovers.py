"""A backup that is put back by hand beside what a killed program left, and what only looks like that."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from places import ROOT
from style_pack.retrieval.database.database import FILE
from style_pack.retrieval.store.backup import back_up, restore
from style_pack.retrieval.store.store import StyleStore
from test_store import fill, missing

PROGRAM = """
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("style_pack", sys.argv[1] + "/__init__.py",
                                              submodule_search_locations=[sys.argv[1]])
sys.modules["style_pack"] = importlib.util.module_from_spec(spec)
from style_pack.retrieval.database.database import Database
from pathlib import Path
database = Database(Path(sys.argv[2]))
with database.held():
    for _ in range(3):
        with database.transaction():
            database.remove(database.ids(1))
    if sys.argv[3:]:
        database._read("PRAGMA wal_checkpoint(PASSIVE)")
        with database.transaction():
            database.remove(database.ids(1))
    os._exit(0)
"""


def kill_a_writer(folder: Path, *after_a_checkpoint: str) -> None:
    """Remove three pictures in a program that is killed then; a fourth after SQLite put the three into the file."""
    subprocess.run([sys.executable, "-c", PROGRAM, str(ROOT), str(folder / FILE), *after_a_checkpoint], check=True)
    assert (folder / f"{FILE}-wal").stat().st_size > 0


@pytest.fixture
def copies(store: StyleStore, tmp_path: Path) -> dict[str, Path]:
    """The database's file as it was twice: with 20 pictures, and with 40, as it is."""
    kept = {name: tmp_path / f"{name}.sqlite" for name in ("older", "last")}
    fill(store, range(20))
    shutil.copyfile(store.folder / FILE, kept["older"])
    fill(store, range(20, 40))
    shutil.copyfile(store.folder / FILE, kept["last"])
    return kept


@pytest.mark.parametrize("checkpoint", [(), ("checkpoint",)], ids=["at once", "after a checkpoint"])
def test_what_a_killed_program_stored_is_there(
    store: StyleStore, copies: dict[str, Path], checkpoint: tuple[str, ...]
) -> None:
    kill_a_writer(store.folder, *checkpoint)
    assert len(store) == 37 - len(checkpoint)
    assert missing(store) == []
    assert not (store.folder / f"{FILE}-wal").exists()


@pytest.mark.parametrize("copied", [shutil.copyfile, shutil.copy2], ids=["new times", "old times"])
@pytest.mark.parametrize("checkpoint", [(), ("checkpoint",)], ids=["at once", "after a checkpoint"])
def test_a_folder_that_is_copied_as_a_killed_program_left_it_is_whole(
    store: StyleStore,
    copies: dict[str, Path],
    tmp_path: Path,
    copied: Callable[[str, str], object],
    checkpoint: tuple[str, ...],
) -> None:
    kill_a_writer(store.folder, *checkpoint)
    shutil.copytree(store.folder, tmp_path / "copy", copy_function=copied)
    assert len(StyleStore(tmp_path / "copy")) == 37 - len(checkpoint)


def overwrite(kept: Path, file: Path) -> None:
    shutil.copyfile(kept, file)


def move_in(kept: Path, file: Path) -> None:
    Path(shutil.copy2(kept, file.with_suffix(".new"))).replace(file)


@pytest.mark.parametrize("which", ["older", "last"])
@pytest.mark.parametrize("put", [overwrite, move_in], ids=lambda put: put.__name__)
@pytest.mark.parametrize("checkpoint", [(), ("checkpoint",)], ids=["at once", "after a checkpoint"])
def test_a_backup_put_back_beside_it_is_said_and_then_used(
    store: StyleStore,
    copies: dict[str, Path],
    which: str,
    put: Callable[[Path, Path], None],
    checkpoint: tuple[str, ...],
) -> None:
    kill_a_writer(store.folder, *checkpoint)
    put(copies[which], store.folder / FILE)
    for ask in (lambda: len(store), lambda: StyleStore(store.folder)):
        with pytest.raises(OSError, match="beside styles.sqlite-wal, which holds changes of the one before: delete"):
            ask()
    assert (store.folder / FILE).read_bytes() == copies[which].read_bytes()
    for left in ("wal", "shm"):
        (store.folder / f"{FILE}-{left}").unlink(missing_ok=True)
    assert len(store) == {"older": 20, "last": 40}[which]
    assert missing(store) == []


def test_a_backup_is_restored_beside_it(store: StyleStore, copies: dict[str, Path], tmp_path: Path) -> None:
    back_up(store.folder, tmp_path / "all.zip")
    kill_a_writer(store.folder)
    overwrite(copies["older"], store.folder / FILE)
    assert restore(tmp_path / "all.zip", store.folder.parent, store.name, 5.0) == 40
    assert (len(store), missing(store)) == (40, [])


def test_a_damaged_database_beside_it_is_said_to_be_damaged(store: StyleStore, copies: dict[str, Path]) -> None:
    kill_a_writer(store.folder)
    (store.folder / FILE).write_bytes(b"no database at all" * 1000)
    with pytest.raises(OSError, match="file is not a database' of .*: it is damaged: put a copy back"):
        len(store)


def test_a_change_of_nothing_writes_nothing(store: StyleStore, copies: dict[str, Path]) -> None:
    before = (store.folder / FILE).stat()
    with store.writing(), store._database.transaction():
        pass
    assert (store.folder / FILE).stat().st_mtime_ns == before.st_mtime_ns
