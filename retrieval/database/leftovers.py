"""Tells changes that SQLite left beside a database, when its program was killed, from changes of another database.

A person who puts a backup's `styles.sqlite` back beside a leftover `styles.sqlite-wal` would get a mixture of both. So
every change leaves a mark, in a table that is one row on a page of its own, and is then in the `-wal` as well: a
number, that of the change before, what the database's file was at that moment, and which file the `-wal` was.
https://www.sqlite.org/fileformat2.html says where these are in a file.
"""

from __future__ import annotations

import secrets
import sqlite3
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import astuple, dataclass
from pathlib import Path

_HEADER, _FRAME = 32, 24  # bytes of the head of a `-wal`, and of each page in it
_LEAF = 13  # the first byte of a page that holds a table's rows
_SIGN = b"whichlog"  # in front of a mark, for it to be found in a page
_FORM = ">IIII"
_CELL = 64  # bytes: a row with its head is shorter
_TRIES, _PAUSE = 3, 0.05  # looks, and seconds between: a program at work may be changing both files


@dataclass(frozen=True)
class _Mark:
    """number: of a change, at random. before: of the one before. state, log: of the two files, see `_check`."""

    number: int
    before: int
    state: int
    log: int


def mark(db: sqlite3.Connection, path: Path) -> None:
    """Note in a change, before it is committed, what it is a change of."""
    db.execute("CREATE TABLE IF NOT EXISTS log_mark (one INTEGER PRIMARY KEY, mark BLOB NOT NULL)")
    made = _Mark(secrets.randbits(32), _number_in(db), _state_of(path), _log_number(path))
    packed = _SIGN + struct.pack(_FORM, *astuple(made))
    db.execute("INSERT OR REPLACE INTO log_mark VALUES (1, ?)", (packed,))


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def is_foreign(path: Path) -> bool:
    """Tell whether the `-wal` beside a database holds changes of another one, or of another state of it."""
    for look in range(_TRIES):
        if look:
            time.sleep(_PAUSE)
        with suppress(FileNotFoundError, sqlite3.Error, struct.error):  # what is damaged says so when it is opened
            if log_of(path).stat().st_size > _HEADER and _looks_foreign(path):
                continue
        return False
    return True


def _looks_foreign(path: Path) -> bool:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as db:  # without its `-wal`
        now = _number_in(db)
    first = None
    for mark_in_log in _marks_in(log_of(path)):
        first = first or mark_in_log
        if now == first.before:  # it is the state that these changes began with
            return first.state != _state_of(path) and first.log == _log_number(path)  # not for a folder that was copied
        if now == mark_in_log.number:  # SQLite was putting them into the database when it was killed
            return False
    return first is not None


def _marks_in(log: Path) -> Iterator[_Mark]:
    """Yield the marks in a `-wal`; an earlier version leaves none."""
    with log.open("rb") as stream:
        head = stream.read(_HEADER)
        size, salts = struct.unpack(">I", head[8:12])[0], head[16:24]
        while len(frame := stream.read(_FRAME)) == _FRAME and frame[8:16] == salts:
            page = stream.read(size)
            if len(page) == size and page[0] == _LEAF and page[3:5] == b"\0\1":  # one row
                row = int.from_bytes(page[8:10], "big")
                place = page.find(_SIGN, row, row + _CELL)
                if place >= 0:
                    yield _Mark(*struct.unpack_from(_FORM, page, place + len(_SIGN)))


def _number_in(db: sqlite3.Connection) -> int:
    if not db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'log_mark'").fetchone()[0]:
        return 0
    rows = db.execute("SELECT mark FROM log_mark").fetchall()
    return struct.unpack_from(_FORM, rows[0][0], len(_SIGN))[0] if rows else 0


def _state_of(path: Path) -> int:
    status = path.stat()
    return _check(status.st_ino, status.st_size, status.st_mtime_ns)


def _log_number(path: Path) -> int:
    return _check(log_of(path).stat().st_ino)


def _check(*numbers: int) -> int:
    return zlib.crc32(repr(numbers).encode())
