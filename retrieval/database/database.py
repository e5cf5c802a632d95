"""The truth about one knowledge base: records and vectors in SQLite. Knows nothing of how they are searched.

Each change is one transaction in write-ahead mode, so that a process that is killed leaves all of it or none, and
readers in other processes see it at their next look. A key is given once and never again: a record whose text changes
gets a new one. So what was added since is what has a higher key, and what an index has to forget is in `removed`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..records import StyleRecord
from .database_file import DatabaseFile
from .own_paths import found_at, kept_as
from .schema import bring_up_to_date
from .word_tables import WordTables

FILE = "styles.sqlite"
_PAGE = 500  # parameters a statement; SQLite before 3.32 allows 999

_COLUMNS = "id, name, caption, tags, licence, width, height, files, other_names, other_captions"
_MARKS = ", ".join("?" * 10)


class Database(DatabaseFile, WordTables):
    """A knowledge base's truth in SQLite. Any thread may call; writers of several processes wait for the store's lock.

    home: the folder that a knowledge base's own pictures are in; the file's, where None.
    """

    def __init__(self, path: Path, home: Path | None = None) -> None:
        self._home = home or path.parent
        self._unseen = 0
        super().__init__(path, bring_up_to_date)
        with self.held():
            pass  # a file that is no knowledge base, or damaged, is refused at once

    @property
    def changes(self) -> int:
        """Counts the rows that were written since this object was made, of those that searches see."""
        return self._db.total_changes - self._unseen

    def meta(self) -> dict[str, Any]:
        return {name: json.loads(value) for name, value in self._read("SELECT name, value FROM meta")}

    def state(self) -> str:
        """Return what tells one state from any other: the revision, and the name of the last change."""
        meta = self.meta()
        return repr((meta.get("revision", 0), meta.get("changes", [])[-1:]))

    def set_meta(self, **values: Any) -> None:
        rows = [(name, json.dumps(value)) for name, value in values.items()]
        self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)

    def count(self) -> int:
        return self._read("SELECT count(*) FROM styles")[0][0]

    def ids(self, limit: int = -1) -> list[str]:
        return [id for (id,) in self._read("SELECT id FROM styles ORDER BY id LIMIT ?", (limit,))]

    def records(self, ids: Sequence[str] | None = None) -> Iterator[StyleRecord]:
        """Yield the records of some ids, in no order, or all of them by id."""
        if ids is None:
            yield from map(self._record, self._read(f"SELECT {_COLUMNS} FROM styles ORDER BY id"))
        else:
            yield from map(self._record, self._read_pages(f"SELECT {_COLUMNS} FROM styles WHERE id IN", ids))

    def vectors(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        query = "SELECT id, vector FROM styles JOIN vectors USING (key) WHERE id IN"
        return {id: np.frombuffer(blob, dtype="<f4") for id, blob in self._read_pages(query, ids)}

    def rows_after(self, key: int, limit: int) -> list[tuple[int, StyleRecord, bytes]]:
        """Return (key, record, vector) of what came after a key, in order."""
        query = (
            f"SELECT {_COLUMNS}, key, vector FROM styles JOIN vectors USING (key) WHERE key > ? ORDER BY key LIMIT ?"
        )
        return [(row[-2], self._record(row[:-2]), row[-1]) for row in self._read(query, (key, limit))]

    def removed_after(self, seq: int) -> list[tuple[int, int]]:
        """Return (seq, key) of what was removed after the removal `seq`."""
        return self._read("SELECT seq, key FROM removed WHERE seq > ? ORDER BY seq", (seq,))

    def insert(self, records: Sequence[StyleRecord], vectors: Iterable[np.ndarray]) -> None:
        self.remove([record.id for record in records])
        for record, vector in zip(records, vectors, strict=True):
            added = self._db.execute(f"INSERT INTO styles ({_COLUMNS}) VALUES ({_MARKS})", self._row(record))
            blob = vector.astype("<f4").tobytes()
            self._db.execute("INSERT INTO vectors VALUES (?, ?)", (added.lastrowid, blob))

    def set_files(self, record: StyleRecord) -> None:
        self._write_unseen("UPDATE styles SET files = ? WHERE id = ?", [(self._files(record), record.id)])

    def remove(self, ids: Sequence[str]) -> None:
        keys = [key for (key,) in self._read_pages("SELECT key FROM styles WHERE id IN", ids)]
        rows = [(key,) for key in keys]
        self._db.executemany("INSERT INTO removed (key) VALUES (?)", rows)
        self._db.executemany("DELETE FROM vectors WHERE key = ?", rows)
        self._db.executemany("DELETE FROM captions WHERE key = ?", rows)
        self._db.executemany("DELETE FROM styles WHERE key = ?", rows)

    def without_caption_vector(self) -> list[str]:
        return [id for (id,) in self._read("SELECT id FROM styles WHERE key NOT IN (SELECT key FROM captions)")]

    def captions_after(self, seq: int) -> list[tuple[int, int, bytes]]:
        """Return (seq, key, vector) of the caption vectors that were stored after the entry `seq`."""
        return self._read("SELECT seq, key, vector FROM captions WHERE seq > ? ORDER BY seq", (seq,))

    def insert_captions(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        rows = [(vector.astype("<f4").tobytes(), id) for id, vector in zip(ids, vectors, strict=True)]
        self._db.executemany("INSERT INTO captions (key, vector) SELECT key, ? FROM styles WHERE id = ?", rows)

    def clear_captions(self) -> None:
        self._db.execute("DELETE FROM captions")

    def forget_removed(self, through: int) -> None:
        """Drop the removals of keys up to `through`, which the published snapshot knows."""
        self._db.execute("DELETE FROM removed WHERE key <= ?", (through,))

    def forget_published(self) -> None:
        """Drop all that is said of an index."""
        names = ("snapshot", "through", "collection", "engine", "lost", "form", "publishing")
        self._db.executemany("DELETE FROM meta WHERE name = ?", [(name,) for name in names])

    def check(self) -> None:
        """Raise OSError for a file that is damaged anywhere."""
        with self._in_a_sentence():
            if (answer := self._read("PRAGMA quick_check")[0][0]) != "ok":
                raise sqlite3.DatabaseError(answer)

    @contextmanager
    def attached(self, path: Path) -> Iterator[None]:
        """Have another database at hand for `replace_with_attached`; outside of transactions."""
        with self._lock, self.held(), self._in_a_sentence():
            self._db.execute("ATTACH ? AS other", (str(path),))
            try:
                yield
            finally:
                self._db.execute("DETACH other")

    def replace_with_attached(self) -> None:
        """Drop everything and take the other's records, vectors and meta, under new keys."""
        last = self._read("SELECT coalesce(max(seq), 0) FROM main.sqlite_sequence WHERE name = 'styles'")[0]
        for table in ("styles", "vectors", "captions", "removed", "meta", "files"):
            self._db.execute(f"DELETE FROM main.{table}")
        self._db.execute(
            f"INSERT INTO main.styles (key, {_COLUMNS}) SELECT key + ?, {_COLUMNS} FROM other.styles", last
        )
        self._db.execute("INSERT INTO main.vectors SELECT key + ?, vector FROM other.vectors", last)
        self._db.execute("INSERT INTO main.meta SELECT name, value FROM other.meta")
        self._db.execute("INSERT INTO main.files SELECT * FROM other.files")

    def _read_pages(self, query: str, values: Sequence[str]) -> Iterator[Any]:
        for at in range(0, len(values), _PAGE):
            page = values[at : at + _PAGE]
            yield from self._read(f"{query} ({', '.join('?' * len(page))})", page)

    def _files(self, record: StyleRecord) -> str:
        return _json(kept_as(self._home, record.files))

    def _row(self, record: StyleRecord) -> tuple[Any, ...]:
        said = (record.id, record.name, record.caption, _json(record.tags), record.licence, record.width, record.height)
        return (*said, self._files(record), _json(record.other_names), _json(record.other_captions))

    def _record(self, row: Sequence[Any]) -> StyleRecord:
        id, name, caption, tags, licence, width, height, files, *others = row
        names, captions = (tuple(json.loads(other)) for other in others)
        paths = found_at(self._home, json.loads(files))
        return StyleRecord(id, name, caption, tuple(json.loads(tags)), licence, width, height, paths, names, captions)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
