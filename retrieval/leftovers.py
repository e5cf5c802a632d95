"""Tells changes that SQLite left beside a database, when its program was killed, from changes of another database.

A person who puts a backup's `styles.sqlite` back beside a leftover `styles.sqlite-wal` would get a mixture of both. So
every change writes two marks into the database's first page, which is then in the `-wal` as well: a number of its own
and that of the `-wal`'s file (as application_id), and, as user_version, what the database's file was at that moment and
the number of the change before. https://www.sqlite.org/fileformat2.html has the places of all these.
"""

from __future__ import annotations

import secrets
import sqlite3
import struct
import time
import zlib
from contextlib import closing, suppress
from pathlib import Path

_HEADER, _FRAME = 32, 24  # bytes of the head of a `-wal`, and of each page in it
_TRIES, _PAUSE = 3, 0.05  # looks, and seconds between: a program at work may be changing both files
_LOW = 0xFFFF


def mark(db: sqlite3.Connection, path: Path) -> None:
    """Note in a change, before it is committed, what it is a change of."""
    [(before,)] = db.execute("PRAGMA application_id").fetchall()
    number = secrets.randbelow(_LOW) + 1
    db.execute(f"PRAGMA application_id = {_signed(number, _file_number(log_of(path)))}")
    db.execute(f"PRAGMA user_version = {_signed(_state_of(path), _high(before))}")


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def is_foreign(path: Path) -> bool:
    """Tell whether the `-wal` beside a database holds changes of another one, or of another state of it."""
    for look in range(_TRIES):
        if look:
            time.sleep(_PAUSE)
        with suppress(FileNotFoundError):
            if log_of(path).stat().st_size > _HEADER and _looks_foreign(path):
                continue
        return False
    return True


def _looks_foreign(path: Path) -> bool:
    marks = _marks_in(log_of(path))
    if not marks or not marks[0][0]:  # nothing in it, or an earlier version's
        return False
    now = _number_in(path)
    first, state = marks[0]
    if now in {_high(number) for number, _ in marks}:
        return False  # SQLite was putting them into the database when it was killed
    if now != state & _LOW:
        return True
    if _state_of(path) == _high(state):
        return False
    return first & _LOW == _file_number(log_of(path))  # otherwise the whole folder was copied


def _marks_in(log: Path) -> list[tuple[int, int]]:
    """Return (application_id, user_version) of each time that the first page is in a `-wal`."""
    found = []
    with log.open("rb") as stream:
        head = stream.read(_HEADER)
        size, salts = struct.unpack(">I", head[8:12])[0], head[16:24]
        while len(frame := stream.read(_FRAME)) == _FRAME and frame[8:16] == salts:
            if frame[:4] != b"\0\0\0\1":
                stream.seek(size, 1)
            elif len(page := stream.read(size)) == size:
                found.append(struct.unpack(">i4xi", page[68:72] + bytes(4) + page[60:64]))
    return found


def _number_in(path: Path) -> int:
    """Read it by SQLite, without the `-wal`: to close the file ourselves would end SQLite's locks on it."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as db:
        return _high(db.execute("PRAGMA application_id").fetchone()[0])


def _state_of(path: Path) -> int:
    status = path.stat()
    return zlib.crc32(f"{status.st_ino} {status.st_size} {status.st_mtime_ns}".encode()) & _LOW


def _file_number(path: Path) -> int:
    return zlib.crc32(str(path.stat().st_ino).encode()) & _LOW


def _high(number: int) -> int:
    return number >> 16 & _LOW


def _signed(high: int, low: int) -> int:
    return struct.unpack(">i", struct.pack(">HH", high, low))[0]
