"""What a person is told when a disk, a file or a database does not do what it should."""

import errno
import os
import shutil
import sqlite3
from collections import namedtuple
from pathlib import Path

import pytest
from style_pack.command_line.__main__ import main
from style_pack.retrieval.database.database_file import DatabaseFile
from style_pack.retrieval.disk.faults import KnowledgeBaseFault, plainly, sentence_of
from style_pack.retrieval.store.encodings import Encodings
from style_pack.retrieval.store.store import StyleStore
from test_store import fill, missing

FULL = "the disk is full: free some room on it, then try again."


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/a/b.png"), f"/a/b.png can't be used: {FULL}"),
        (OSError("13440 requested and 0 written"), f"that can't be done: {FULL}"),
        (sqlite3.OperationalError("database or disk is full"), f"that can't be done: {FULL}"),
        (PermissionError(13, "Permission denied", "a"), "a can't be used: this program's user may not do that there: "
         "give it leave to read and write, then try again."),
        (OSError(errno.EROFS, "Read-only file system", "a"), "a can't be used: it lies where nothing can be written: "
         "make the disk or folder writable, then try again."),
        (OSError(errno.EPROTO, "Protocol error"), "that can't be done: Protocol error: check it, then try again."),
        (PermissionError("the picture lies outside."), "the picture lies outside."),
        (RuntimeError("Chroma says: no\nTraceback"), "Chroma says: no"),
        (RuntimeError(), "RuntimeError"),
        (OSError(), "OSError"),
    ],
    ids=repr,
)  # fmt: skip
def test_every_error_is_one_sentence(error: Exception, sentence: str) -> None:
    assert sentence_of(error) == sentence


def test_a_bare_number_becomes_a_sentence_and_a_sentence_stays() -> None:
    with pytest.raises(KnowledgeBaseFault, match=f"^a can't be used: {FULL}$"), plainly():
        raise OSError(errno.ENOSPC, "No space left on device", "a")
    with pytest.raises(PermissionError, match=r"^not here\.$"), plainly():
        raise PermissionError("not here.")


def without_leave_to_write(database: DatabaseFile) -> sqlite3.Connection:
    raise sqlite3.OperationalError("disk I/O error")  # so SQLite calls a disk without room for its `-shm`


def test_what_can_only_be_read_is_searched_still(store: StyleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, range(40))
    store.publish()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(DatabaseFile, "_connect", without_leave_to_write)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(100, 100, 0))
    opened = StyleStore(store.folder)
    assert missing(opened) == []
    assert len(opened.records()) == 40
    for write in (lambda: fill(opened, range(40, 50)), lambda: opened.remove(opened.ids()[:1])):
        with pytest.raises(OSError, match="knowledge base 'colours' can't be used, .*: the disk is full") as raised:
            write()
        assert raised.value.errno == errno.ENOSPC
    monkeypatch.undo()
    fill(store, range(40, 50))
    assert len(opened) == 50


@pytest.mark.parametrize(
    ("free", "writable", "number"), [(0, True, errno.ENOSPC), (10**9, False, errno.EACCES), (10**9, True, errno.EIO)]
)
def test_why_a_disk_fails_is_looked_for(
    store: StyleStore, monkeypatch: pytest.MonkeyPatch, free: int, writable: bool, number: int
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(DatabaseFile, "_connect", without_leave_to_write)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 0, free))
    monkeypatch.setattr(os, "access", lambda path, mode: writable)
    with pytest.raises(OSError) as raised:
        fill(store, range(3))
    assert raised.value.errno == number


def test_the_command_line_says_what_to_do(
    store: StyleStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def full(self: Encodings, *arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/disk/a.npy")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    fill(store, range(3))
    assert main(["backup", "colours", str(tmp_path / "a.zip"), "--root", str(store.folder.parent)]) == 1
    assert capsys.readouterr().err == f"style-rag: /disk/a.npy can't be used: {FULL}\n"
    assert not list(tmp_path.glob("*.zip")) and not list(tmp_path.glob(".*"))
