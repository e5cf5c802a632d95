"""Files that outlive a power cut: bytes reach the disk before the name, and the name before a write returns.

Knows nothing of what is in them. Without a sync a file system may keep a new name and lose the bytes, or the other way.
"""

from __future__ import annotations

import errno
import os
import sys
import uuid
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO

Content = bytes | Callable[[IO[bytes]], object]  # what is in a file, or who writes it

_SYNCS = 8  # at a time: file systems put those that come together to the disk in one go
_PIECE = 1 << 20
_SEAL = b"crc32:"  # then the checksum, 4 bytes; readers of pictures and arrays do not look behind the end of theirs
# What a sync of a folder gets from file systems that have none, and where its names may be changed and not be read.
_CANNOT = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EACCES}


class Writes:
    """Files that appear together, each whole under its own name, once the `with` ends; none of them when it fails."""

    def __init__(self) -> None:
        self._drafts: list[tuple[Path, Path]] = []

    def add(self, path: Path, content: Content) -> None:
        make_folder(path.parent)
        draft = path.with_name(f".{uuid.uuid4().hex}.tmp")
        self._drafts.append((draft, path))
        with draft.open("wb") as stream:
            if callable(content):
                content(stream)
            else:
                stream.write(content)

    def __enter__(self) -> Writes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                _sync_files([draft for draft, _ in self._drafts])
                for draft, path in self._drafts:
                    os.replace(draft, path)
                sync_folders(path.parent for _, path in self._drafts)
        finally:
            for draft, _ in self._drafts:
                draft.unlink(missing_ok=True)


def write_durably(path: Path, content: Content) -> None:
    """Write a file, or replace it: whole or not at all, and on disk when this returns. Makes its folder."""
    with Writes() as writes:
        writes.add(path, content)


def make_folder(folder: Path) -> None:
    """Make a folder and those it lies in, unless they are there."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    sync_folders(path.parent for path in missing)


def sync_folders(folders: Iterable[Path]) -> None:
    """Put to disk which names are in these folders."""
    if sys.platform == "win32":  # opens no folder, and journals their names itself
        return
    for folder in dict.fromkeys(folders):
        try:
            _sync(folder, os.O_RDONLY)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise


def sync_tree(folder: Path) -> None:
    """Put to disk everything in a folder, and its own name."""
    _sync_files([path for path in folder.rglob("*") if path.is_file()])
    sync_folders([*(path for path in folder.rglob("*") if path.is_dir()), folder, folder.parent])


def checksum(path: Path) -> int:
    """Return the CRC-32 of a file."""
    crc, piece = 0, memoryview(bytearray(_PIECE))
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(piece):
            crc = zlib.crc32(piece[:count], crc)
    return crc


def sealed(content: bytes) -> bytes:
    """Return a file's content with its checksum behind it."""
    return content + _SEAL + zlib.crc32(content).to_bytes(4, "little")


def read_sealed(path: Path) -> bytes | None:
    """Return the content that was `sealed`; None when the file is missing, empty, cut, or holds anything else."""
    if not path.is_file():
        return None
    data = path.read_bytes()
    content = data[: -len(_SEAL) - 4]
    return content if data == sealed(content) else None


def _sync_files(paths: list[Path]) -> None:
    with ThreadPoolExecutor(min(_SYNCS, len(paths) or 1)) as pool:
        list(pool.map(lambda path: _sync(path, os.O_RDWR), paths))


def _sync(path: Path, how: int) -> None:
    handle = os.open(path, how)
    try:
        if sys.platform == "darwin":  # where fsync leaves the bytes in the drive's own memory
            import fcntl

            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
        else:
            os.fsync(handle)
    finally:
        os.close(handle)
