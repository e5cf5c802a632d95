"""The file of a knowledge base's database: opened for as long as it is used, and noticed when it is another one.

At rest a knowledge base is this one file, without SQLite's `-wal` and `-shm` beside it. So whoever deletes, moves,
copies or replaces its folder meanwhile leaves nothing behind that belongs to the old one.
"""

from __future__ import annotations

import errno
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from ..disk.durable import sync_folders
from ..disk.faults import mixed, of_copy, of_database, replaced
from ..engines.base import identity_of
from . import leftovers

_PAGES = 4000  # of 4 KiB, that a copy takes at once: between two such steps others may write
_WAIT = 30.0  # seconds for another process's commit to end


class DatabaseFile:
    """One SQLite file, open for as long as it is used. Any thread may call.

    prepare: makes its tables, or what is missing of them.
    """

    def __init__(self, path: Path, prepare: Callable[[sqlite3.Connection], None]) -> None:
        self._path = path
        self._prepare = prepare
        self._lock = threading.RLock()
        self._users = 0
        self.opened: tuple[int, int] | None = None  # tells the file that was used last from another at its path
        self._refusal: OSError | None = None  # why nothing can be written
        if not path.exists():
            with self._in_a_sentence():
                self._connect().close()
            sync_folders([path.parent])  # SQLite syncs the names of its journals, and not that of the database

    def require(self) -> None:
        """Raise FileNotFoundError when the file is gone: it must not come back empty where somebody has deleted it."""
        if identity_of(self._path) is None:
            folder = self._path.parent
            raise FileNotFoundError(
                f"knowledge base '{folder.name}' is not there any more, {folder} was deleted, moved or renamed: bring "
                "it back, or make a new one."
            )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the file open, for several looks in a row."""
        with self._lock:
            if not self._users:
                self._open()
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._db.close()

    @contextmanager
    def transaction(self, write: bool = True) -> Iterator[None]:
        """Everything inside is committed together, or, when reading, comes from one state."""
        with self._lock, self.held(), self._in_a_sentence():
            if write and self._refusal:
                raise self._refusal
            self._db.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            before = self._db.total_changes
            try:
                yield
                if write and self._was_replaced:  # SQLite would write to what nobody finds any more
                    raise replaced(self._path)
                if self._db.total_changes != before:
                    leftovers.mark(self._db, self._path)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite has ended it itself when a disk is full
                    self._db.execute("ROLLBACK")
                raise

    def copy_to(self, file: Path) -> None:
        """Write what is committed now to a file of its own, whoever writes meanwhile."""
        with self.held(), closing(sqlite3.connect(file)) as copy:
            try:
                self._db.backup(copy, pages=_PAGES)
            except sqlite3.Error as error:
                raise of_copy(error, self._path, file) from error

    def _open(self) -> None:
        """Open the file, or raise; only to read it, where nothing can be written."""
        self.require()
        self.opened, self._refusal = identity_of(self._path), None
        if leftovers.is_foreign(self._path):
            raise mixed(self._path)
        try:
            with self._in_a_sentence():
                self._db = self._connect()
        except OSError as error:
            if isinstance(error, TimeoutError) or error.errno == errno.EBADMSG or self._is_unsaved:
                raise
            self._refusal = error
            address = f"{self._path.absolute().as_uri()}?immutable=1"
            self._db = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)

    @property
    def _is_unsaved(self) -> bool:
        """Whether SQLite has left changes beside the file, which only who may write can take in."""
        beside = leftovers.log_of(self._path)
        return beside.exists() and beside.stat().st_size > 0

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path.absolute(), timeout=_WAIT, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")  # what was reported as stored outlives a power cut as well
            db.execute("PRAGMA fullfsync=ON")  # which macOS needs for that; others ignore it
            self._prepare(db)
        except BaseException:
            db.close()
            raise
        return db

    def _read(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock, self.held(), self._in_a_sentence():
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _in_a_sentence(self) -> Iterator[None]:
        """Make SQLite's errors an OSError that says of which knowledge base, and what to do."""
        try:
            yield
        except sqlite3.Error as error:
            raise (replaced(self._path) if self._was_replaced else of_database(error, self._path)) from error

    @property
    def _was_replaced(self) -> bool:
        return self.opened is not None and self.opened != identity_of(self._path)
