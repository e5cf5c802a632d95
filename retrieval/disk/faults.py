"""What goes wrong with disks, files and databases, each in one sentence that says what to do."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What it means, and what to do.
_SAID = {
    errno.ENOSPC: "the disk is full: free some room on it, then try again",
    errno.EDQUOT: "this user's share of the disk is used up: free some room in it, then try again",
    errno.EFBIG: "a file would become larger than the disk's format allows: use another disk",
    errno.EROFS: "it lies where nothing can be written: make the disk or folder writable, then try again",
    errno.EACCES: "this program's user may not do that there: give it leave to read and write, then try again",
    errno.EPERM: "this program's user may not do that there: give it leave to read and write, then try again",
    errno.ENOENT: "it is not there any more: put it back, or run again without it",
    errno.ENOTDIR: "a part of its path is a file and no folder: move that file away, then try again",
    errno.EISDIR: "there is a folder where a file should be: move that folder away, then try again",
    errno.EEXIST: "there is something of that name already: move it away, then try again",
    errno.ENOTEMPTY: "another program put something in at the same moment: try again",
    errno.EBUSY: "another program has it open: end that program, then try again",
    errno.ETXTBSY: "another program has it open: end that program, then try again",
    errno.EMFILE: "too many files are open: end other programs, then try again",
    errno.ENFILE: "too many files are open: end other programs, then try again",
    errno.ENOMEM: "memory is used up: end other programs, then try again",
    errno.EAGAIN: "the system has no room for it now: try again later",
    errno.EIO: "the disk or network drive does not answer as it should: check it, then try again",
    errno.ESTALE: "the network drive has lost sight of it: connect the drive again, then try again",
    errno.ENAMETOOLONG: "its name is too long for the disk: use a shorter one",
    errno.ELOOP: "its links lead round in a circle: replace them by the folder itself",
    errno.EBADMSG: "it is damaged: put a copy back, or delete it and ingest again",
}
_CUT_WRITE = re.compile(r"\d+ requested and \d+ written")  # numpy's words for a disk that is full
_ROOM = 1 << 20  # bytes: with less, SQLite can hardly write a page and what it keeps beside
_SHARED = (32, 33)  # Windows' numbers for what another program has open, both of which Python takes for EACCES
# What SQLite's messages mean; every other is damage.
_SQLITE = {
    "disk is full": errno.ENOSPC,
    "readonly database": errno.EROFS,
    "unable to open": errno.EACCES,
    "disk I/O error": errno.EIO,
    "out of memory": errno.ENOMEM,
}


class KnowledgeBaseFault(OSError):
    """A knowledge base that can't be used now. `errno` says of which kind, and the text is a sentence."""

    def __init__(self, number: int, sentence: str) -> None:
        super().__init__(number, sentence)
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


def number_of(error: OSError) -> int | None:
    """Return the error's number; that of a full disk for the error that numpy raises without one."""
    if getattr(error, "winerror", None) in _SHARED:
        return errno.EBUSY
    return errno.ENOSPC if error.errno is None and _CUT_WRITE.search(str(error)) else error.errno


def sentence_of(error: BaseException) -> str:
    """Return what to show a person: the error's own sentence, or one made of a bare number of the operating system."""
    if isinstance(error, sqlite3.Error):
        return sentence_of(OSError(number_of_sqlite(error), str(error)))
    if isinstance(error, MemoryError):
        return "memory is used up: end other programs, then try again."
    if isinstance(error, KnowledgeBaseFault):
        return error.sentence
    if not isinstance(error, OSError):
        message = str(error.args[0] if error.args else error).strip()
        return message.splitlines()[0] if message else type(error).__name__
    number = number_of(error)
    if number is None:
        return str(error) or type(error).__name__
    what = f"{error.filename} can't be used" if error.filename is not None else "that can't be done"
    return f"{what}: {_SAID.get(number, f'{error.strerror or error}: check it, then try again')}."


@contextmanager
def plainly() -> Iterator[None]:
    """Raise a sentence in place of a bare number of the operating system."""
    try:
        yield
    except KnowledgeBaseFault:
        raise
    except OSError as error:
        if (number := number_of(error)) is None:
            raise
        raise KnowledgeBaseFault(number, sentence_of(error)) from error


def replaced(file: Path) -> OSError:
    """Return the error for a knowledge base whose file is not the one at its path any more."""
    name = file.parent.name
    sentence = f"the folder of knowledge base '{name}' was deleted, moved or replaced meanwhile: try again."
    return KnowledgeBaseFault(errno.ESTALE, sentence)


def mixed(file: Path) -> OSError:
    """Return the error for a knowledge base's file beside which changes of another one were left."""
    name = file.name
    return KnowledgeBaseFault(
        errno.EBADMSG,
        f"knowledge base '{file.parent.name}' can't be used: {name} was put into its folder beside {name}-wal, which "
        f"holds changes of the one before: delete {name}-wal and {name}-shm there to use what was put in, and put a "
        "backup back with `style-rag restore` another time.",
    )


def of_database(error: sqlite3.Error, file: Path) -> OSError:
    """Return the error for what SQLite says of a knowledge base's file."""
    name, text = file.parent.name, str(error)
    if "locked" in text or "busy" in text:
        return TimeoutError(f"knowledge base '{name}' is held by another program: wait for it to end, then try again.")
    number = _more_exactly(number_of_sqlite(error), file)
    sentence = f"knowledge base '{name}' can't be used, SQLite says '{text}' of {file}: {_SAID[number]}."
    return KnowledgeBaseFault(number, sentence)


def _more_exactly(number: int, file: Path) -> int:
    """Return why a file can't be written, which SQLite does not tell from a disk that fails."""
    if number not in (errno.EIO, errno.EACCES, errno.EROFS):
        return number
    try:
        if shutil.disk_usage(file.parent).free < _ROOM:
            return errno.ENOSPC
        if hasattr(os, "statvfs") and os.statvfs(file.parent).f_flag & os.ST_RDONLY:
            return errno.EROFS
    except OSError:
        return number
    may_write = all(os.access(path, os.W_OK) for path in (file.parent, file) if path.exists())
    return number if number == errno.EIO and may_write else errno.EACCES


def of_copy(error: sqlite3.Error, file: Path, copy: Path) -> OSError:
    """Return the error for what SQLite says while it writes a copy of a knowledge base's file."""
    number = _more_exactly(number_of_sqlite(error), copy)
    return of_database(error, file) if number == errno.EBADMSG else OSError(number, str(error), str(copy.parent))


def number_of_sqlite(error: sqlite3.Error) -> int:
    """Return the operating system's number for what SQLite says; that of damage where there is none."""
    return next((number for words, number in _SQLITE.items() if words in str(error)), errno.EBADMSG)
