"""The tables of what files and people say of pictures, of the sources, and of what the last run has dropped."""

from __future__ import annotations

import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..records import Edit, Occurrence
from .own_paths import kept_path, whole_path

_COLUMNS = "path, id, source, stamp, name, caption, tags, licence"


class WordTables(ABC):
    """The part of a database that holds files, edits and sources. No search sees what is written here."""

    _db: sqlite3.Connection
    _home: Path  # paths in it are stored relative to it
    _unseen: int  # rows that were written here

    @abstractmethod
    def _read(self, query: str, values: Sequence[Any] = ()) -> list[Any]: ...

    @abstractmethod
    def _read_pages(self, query: str, values: Sequence[str]) -> Iterator[Any]: ...

    def occurrences(self, ids: Sequence[str] | None = None) -> list[Occurrence]:
        """Return what files show, those of some pictures or all, in the order in which they were first seen."""
        query = f"SELECT {_COLUMNS}, seq FROM files"
        rows = self._read(query) if ids is None else self._read_pages(f"{query} WHERE id IN", ids)
        return [self._occurrence(row[:-1]) for row in sorted(rows, key=lambda row: row[-1])]

    def ids_at(self, paths: Sequence[str]) -> list[str]:
        """Return the ids of the pictures that files were known to show."""
        kept = [kept_path(self._home, path) for path in paths]
        return [id for (id,) in self._read_pages("SELECT id FROM files WHERE path IN", kept)]

    def unshown(self) -> list[str]:
        """Return the ids of pictures that no file shows."""
        return [id for (id,) in self._read("SELECT id FROM styles WHERE id NOT IN (SELECT id FROM files)")]

    def put_occurrences(self, shown: Iterable[Occurrence]) -> None:
        """Store what files show now; one that is here keeps its place."""
        new = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS.split(", ")[1:])
        marks = "(?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET"
        self._write_unseen(f"INSERT INTO files ({_COLUMNS}) VALUES {marks} {new}", map(self._file_row, shown))

    def forget_files(self, paths: Iterable[str]) -> None:
        self._write_unseen("DELETE FROM files WHERE path = ?", self._kept(paths))

    def forget_words(self, ids: Sequence[str]) -> None:
        """Forget everything that files and people say of some pictures."""
        for table in ("files", "edits"):
            self._write_unseen(f"DELETE FROM {table} WHERE id = ?", [(id,) for id in ids])

    def edits(self, ids: Sequence[str] | None = None) -> dict[str, Edit]:
        """Return id -> what a person said, of some pictures or all of which anyone said something."""
        query = "SELECT id, caption, tags FROM edits"
        rows = self._read(query) if ids is None else self._read_pages(f"{query} WHERE id IN", ids)
        return {id: Edit(caption, tags and tuple(json.loads(tags))) for id, caption, tags in rows}

    def put_edits(self, edits: Mapping[str, Edit]) -> None:
        rows = [(id, edit.caption, None if edit.tags is None else _json(edit.tags)) for id, edit in edits.items()]
        self._write_unseen("INSERT OR REPLACE INTO edits VALUES (?, ?, ?)", rows)

    def sources(self) -> list[str]:
        return [source for (source,) in self._read("SELECT source FROM sources ORDER BY source")]

    def put_sources(self, sources: Iterable[str]) -> None:
        self._write_unseen("INSERT OR IGNORE INTO sources VALUES (?)", [(source,) for source in sources])

    def drop_sources(self, sources: Iterable[str]) -> None:
        """Forget sources until `put_back`."""
        rows = [(source,) for source in sources]
        self._write_unseen("INSERT OR IGNORE INTO dropped_sources VALUES (?)", rows)
        self._write_unseen("DELETE FROM sources WHERE source = ?", rows)

    def note_dropped(self, paths: Sequence[str]) -> None:
        """Keep what is about to be dropped, files and the pictures that they show, and nothing of earlier runs."""
        for table in ("files", "styles", "sources"):
            self._write_unseen(f"DELETE FROM dropped_{table}", [()])
        rows = self._kept(paths)
        self._write_unseen("INSERT INTO dropped_files SELECT * FROM files WHERE path = ?", rows)
        self._write_unseen(
            "INSERT OR IGNORE INTO dropped_styles SELECT id, width, height, vector FROM styles "
            "JOIN vectors USING (key) WHERE id IN (SELECT id FROM dropped_files)",
            [()],
        )

    def dropped(self) -> list[Occurrence]:
        return [self._occurrence(row) for row in self._read(f"SELECT {_COLUMNS} FROM dropped_files ORDER BY seq")]

    def dropped_pictures(self, ids: Sequence[str]) -> dict[str, tuple[int, int, np.ndarray]]:
        """Return id -> (width, height, vector)."""
        rows = self._read_pages("SELECT id, width, height, vector FROM dropped_styles WHERE id IN", ids)
        return {id: (width, height, np.frombuffer(vector, dtype="<f4")) for id, width, height, vector in rows}

    def put_back(self, files: Iterable[Occurrence]) -> None:
        """Have files that were dropped again, in the order in which they were first seen, and all sources."""
        rows = self._kept(file.path for file in files)
        self._write_unseen("INSERT OR IGNORE INTO files SELECT * FROM dropped_files WHERE path = ?", rows)
        self._write_unseen("DELETE FROM dropped_files WHERE path = ?", rows)
        self._write_unseen("INSERT OR IGNORE INTO sources SELECT source FROM dropped_sources", [()])
        self._write_unseen("DELETE FROM dropped_sources", [()])

    def _write_unseen(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        before = self._db.total_changes
        self._db.executemany(statement, rows)
        self._unseen += self._db.total_changes - before

    def _kept(self, paths: Iterable[str]) -> list[tuple[str]]:
        return [(kept_path(self._home, path),) for path in paths]

    def _file_row(self, shown: Occurrence) -> tuple[Any, ...]:
        said = (shown.name, shown.caption, _json(shown.tags), shown.licence)
        return (kept_path(self._home, shown.path), shown.id, shown.source, _json(shown.stamp), *said)

    def _occurrence(self, row: Sequence[Any]) -> Occurrence:
        path, id, source, stamp, name, caption, tags, licence = row
        where, words = whole_path(self._home, path), tuple(json.loads(tags))
        return Occurrence(where, id, source, json.loads(stamp), name, caption, words, licence)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
