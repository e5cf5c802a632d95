"""A knowledge base in one zip file: its database, and every other file that is not made again by itself."""

from __future__ import annotations

import os
import shutil
import time
import uuid
import zipfile
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO

from ..database.database import FILE
from ..disk.durable import sync_folders, sync_tree, write_durably
from ..pictures.reader import to_unicode
from .origin import folder_of
from .snapshot import FOLDER
from .store import LOCK, StyleStore
from .upkeep import DERIVED, alone, calm, drafted, kept_files

_MARK = b"style-rag backup 1"
_CHUNK = 1 << 20


def back_up(folder: Path, file: Path) -> int:
    """Write a knowledge base to one file while others search it, and return the number of its pictures."""
    if not file.parent.is_dir():
        raise FileNotFoundError(f"folder {file.parent} does not exist: make it, or name another file.")
    database = file.with_name(f".{uuid.uuid4().hex}.sqlite")

    def write(stream: IO[bytes]) -> None:
        with zipfile.ZipFile(stream, "w") as archive:
            archive.comment = _MARK
            store.copy_to(database)
            _put(archive, database, FILE)
            for path in kept_files(folder):
                name = path.relative_to(folder).as_posix()
                if to_unicode(name) == name:
                    with suppress(FileNotFoundError):
                        _put(archive, path, name)

    try:
        with calm(StyleStore(folder)) as store:
            write_durably(file, write)
            return len(store)
    finally:
        database.unlink(missing_ok=True)


def restore(file: Path, root: Path, name: str, wait: float) -> int:
    """Make a knowledge base what a backup holds, and nothing else; return the number of its pictures.

    Everything is read and checked first. What was there stays whole until one file, the database, takes its place.
    Raises ValueError for what is no backup, or a damaged one.
    """
    folder = folder_of(root, name)
    root.mkdir(parents=True, exist_ok=True)
    with drafted(root) as draft:
        _unpack(file, draft)
        if not folder.exists():
            total = _checked(draft, file, 0)
            draft.rename(folder)
        else:
            with alone(folder, wait):
                total = _checked(draft, file, _last_snapshot(folder))
                _put_in_place(draft, folder)
    sync_folders([root])
    return total


def _put_in_place(draft: Path, folder: Path) -> None:
    kept = {path.relative_to(draft) for path in kept_files(draft)}
    for path in kept:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        os.replace(draft / path, folder / path)
    sync_tree(folder)
    if (folder / FILE).exists():
        with suppress(OSError, ValueError):  # takes in what SQLite left beside it; a damaged one can't
            StyleStore(folder).close()
    for beside in (f"{FILE}-wal", f"{FILE}-shm"):  # else SQLite would add the old one's changes to the new one
        (folder / beside).unlink(missing_ok=True)
    os.replace(draft / FILE, folder / FILE)
    sync_folders([folder])
    for path in list(kept_files(folder)):
        if path.relative_to(folder) not in kept:
            path.unlink(missing_ok=True)
    shutil.rmtree(folder / "rebuild", ignore_errors=True)


def _checked(draft: Path, file: Path, last_snapshot: int) -> int:
    """Return how many pictures an unpacked backup has; it is ready to be used then. Raises ValueError."""
    try:
        store = StyleStore(draft)
        store.check()
        store.publish_anew(last_snapshot)
        total = len(store)
    except OSError as error:
        raise ValueError(f"backup {file} is damaged: restore another one ({error})") from error
    (draft / LOCK).unlink(missing_ok=True)
    sync_tree(draft)
    return total


def _unpack(file: Path, draft: Path) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            names = {entry.filename for entry in archive.infolist()}
            if archive.comment != _MARK or FILE not in names or not all(map(_is_plain, names)):
                raise ValueError(f"{file} is no backup of a knowledge base: name a file that `style-rag backup` made.")
            for entry in archive.infolist():
                target = draft / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, target.open("xb") as stream:
                    shutil.copyfileobj(source, stream, _CHUNK)
                modified = int(entry.comment)
                os.utime(target, ns=(modified, modified))
    except (zipfile.BadZipFile, EOFError, NotImplementedError, FileExistsError) as error:
        raise ValueError(f"{file} is no backup of a knowledge base, or a damaged one ({error}).") from error


def _is_plain(name: str) -> bool:
    """Whether a name in a backup is one that `back_up` writes, and leads to nowhere else."""
    path = PurePosixPath(name)
    derived = path.parts[:1] and path.parts[0] in DERIVED and name != FILE
    return not (path.is_absolute() or ".." in path.parts or derived or "\\" in name or ":" in name or name[-1:] == "/")


def _put(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    with path.open("rb") as source:
        status = os.fstat(source.fileno())
        day = time.localtime(min(max(status.st_mtime, 315_619_200), 4_354_732_800))[:6]  # zip knows 1980 to 2107
        entry = zipfile.ZipInfo(name, day)
        entry.comment = str(status.st_mtime_ns).encode()  # whole: by it a picture is known to be unchanged
        with archive.open(entry, "w", force_zip64=True) as target:
            shutil.copyfileobj(source, target, _CHUNK)


def _last_snapshot(folder: Path) -> int:
    numbers = [int(path.name) for path in (folder / FOLDER).glob("[0-9]*") if path.name.isdigit()]
    return max(numbers, default=0)
