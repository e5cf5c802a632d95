"""What an engine keeps in a folder of ours, as it was when it was published: whether it still is, without opening it.

An engine that is given garbage answers wrongly, or ends the process it runs in.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

from ..disk.durable import checksum
from .base import DamagedIndex, EngineChoice

_CHROMA = "chroma.sqlite3"
_OPENINGS = "acquire_write"  # Chroma's table that grows by a row whenever it is opened
_WAIT = 30.0  # seconds for another process's opening to end

_UNREADABLE = (OSError, ValueError, LookupError, AttributeError, TypeError, RecursionError, sqlite3.Error)


def seal(choice: EngineChoice, folder: Path, file: Path) -> None:
    """Note in a file what lies in an engine's folder. The engine must be closed."""
    sums = {path.relative_to(folder).as_posix(): _sum(path) for path in _fixed(choice, folder)}
    file.write_text(json.dumps(sums), encoding="utf-8")


def check(folder: Path, file: Path) -> None:
    """Raise DamagedIndex when something in an engine's folder is not as it was sealed."""
    try:
        sums = json.loads(file.read_text(encoding="utf-8"))
        changed = [name for name, sum in sums.items() if _sum(folder / name) != sum]
    except _UNREADABLE as error:
        raise DamagedIndex(f"{type(error).__name__}: {error}") from error
    if changed:
        raise DamagedIndex(f"{changed[0]} is not what was written")


def _fixed(choice: EngineChoice, folder: Path) -> list[Path]:
    """Return the files that only change when the vectors do, and Chroma's SQLite file, of which that holds by row.

    Chroma also writes, whenever it is opened, into a graph of which it has saved nothing yet.
    """
    if choice.engine != "chroma":
        return [path for path in folder.rglob("[!.]*") if path.is_file()]
    graphs = [saved.parent for saved in folder.glob("*/index_metadata.pickle")]
    return [folder / _CHROMA, *(path for graph in graphs for path in graph.iterdir())]


def _sum(path: Path) -> int:
    return _sum_of_rows(path) if path.name == _CHROMA else checksum(path)


def _sum_of_rows(path: Path) -> int:
    """Return the CRC-32 of all rows and definitions. Raises an error of sqlite3 for a file that is damaged anywhere."""
    address = f"{path.absolute().as_uri()}?mode=rw"  # never a new one; what a killed process left is rolled back
    with closing(sqlite3.connect(address, uri=True, timeout=_WAIT)) as database:
        database.text_factory = bytes
        if database.execute("PRAGMA quick_check(1)").fetchone()[0] != b"ok":
            raise sqlite3.DatabaseError(f"{path.name} is damaged")
        defined = database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
        crc = zlib.crc32(repr(defined).encode())
        for kind, name, _, sql in defined:
            table = name.decode()
            if kind == b"table" and table != _OPENINGS and not sql.startswith(b"CREATE VIRTUAL"):
                columns = [row[1].decode() for row in database.execute(f'PRAGMA table_info("{table}")')]
                row = " || ',' || ".join(f'quote("{column}")' for column in columns)
                rows = database.execute(f'SELECT group_concat({row}) FROM "{table}"').fetchone()[0]
                crc = zlib.crc32(rows or b"", crc)
        return crc
