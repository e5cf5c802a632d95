"""Finds the pictures in folders, and says what could not be looked at. Opens none but those without an ending."""

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from ..records import SourceFile
from .eagle import METADATA, is_deleted, is_item, is_thumbnail
from .reader import PACK_SUFFIX, SUFFIXES, may_be_picture, sidecars_of, to_unicode

_LOOKED = 1000  # entries of a folder: some milliseconds
SKIP_MARKER = ".nomedia"  # a folder that holds a file of this name is not looked into, as on Android
# Folders that systems and programs keep their own pictures in: Synology's and QNAP's thumbnails, bins, archives of a
# Mac, Lightroom's previews.
_NOT_A_PERSONS = {
    "@eadir", "#recycle", "@recycle", "$recycle.bin", "system volume information", "lost+found", "__macosx",
}  # fmt: skip
_PREVIEWS = (".lrdata",)
_MOST = 2**62  # SQLite's integers have 63 bits
_WORDS = {".json", ".txt", ".caption"}

OnSkipped = Callable[[Path, OSError], None]


def find_pictures(
    sources: Iterable[Path],
    on_skipped: OnSkipped = lambda path, error: None,
    passed_over: Counter[str] | None = None,
) -> Iterator[SourceFile]:
    """Yield the picture files in folders (recursive, sorted) and the files and packs named, each once.

    Links to folders are followed. No folder is looked into twice, so that circles end; one that lies in the source is
    looked into under its own name.
    on_skipped(path, error): told of each folder and file below the sources that could not be looked at.
    passed_over: counts, by reason, what is no picture of a person's.
    Raises FileNotFoundError or ValueError for a source that is missing, holds no picture, or is no picture.
    """
    seen: set[Path] = set()
    passed = Counter() if passed_over is None else passed_over
    for source in sources:
        skipped: list[tuple[Path, OSError]] = []
        files = list(_Walk(source, skipped, passed).files()) if source.is_dir() else [source]
        _require_pictures(source, bool(files or skipped))
        root = source if source.is_dir() else source.parent
        for file in files:
            if file not in seen:
                seen.add(file)
                try:
                    picture = look_at(file, _name_of(file, root), str(source))
                except OSError as error:
                    skipped.append((file, error))
                else:
                    yield picture
        for path, error in skipped:
            on_skipped(path, error)


def unquoted(source: str) -> str:
    """Return a path without the quotes that Windows puts around one by *Copy as path*."""
    source = source.strip()
    return source[1:-1] if len(source) > 2 and source[0] == source[-1] and source[0] in "\"'" else source


def check_source(source: Path) -> None:
    """Raise what `find_pictures` would, as far as a short look tells: large folders pass."""
    _require_pictures(source, not source.is_dir() or _may_hold_pictures(source))


def _require_pictures(source: Path, holds: bool) -> None:
    if not source.exists():
        raise FileNotFoundError(f"source {source} does not exist: correct the path in sources.")
    if source.is_dir() and not holds:
        raise ValueError(
            f"source folder {source} holds no picture ({', '.join(sorted(SUFFIXES))}): add some or name another folder."
        )
    known = source.is_file() and (source.suffix.lower() == PACK_SUFFIX or may_be_picture(source))
    if not source.is_dir() and not known:  # a pipe or a device would be waited for
        raise ValueError(
            f"source {source.name} is not a picture file: name a folder, a {PACK_SUFFIX}, or one of "
            f"{', '.join(sorted(SUFFIXES))}."
        )


class _Walk:
    """One look through a source folder.

    skipped: gets what can't be looked at, with the reason.
    passed: counts what is no picture, but for texts that may describe one.
    """

    def __init__(self, root: Path, skipped: list[tuple[Path, OSError]], passed: Counter[str]) -> None:
        self._root, self._real = root, Path(os.path.realpath(root))
        self._skipped, self._passed = skipped, passed
        self._entered: set[tuple[int, int]] = set()

    def files(self) -> Iterator[Path]:
        return self._below(self._root)

    def _below(self, folder: Path) -> Iterator[Path]:
        try:
            self._entered.add(_identity(folder))
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            self._skipped.append((folder, error))
            return
        names = {entry.name for entry in entries}
        if SKIP_MARKER in names:
            return
        of_eagle = METADATA in names and is_item(folder)
        if of_eagle and is_deleted(folder):
            self._passed["an item in Eagle's bin"] += 1
            return
        for entry in entries:
            path = folder / entry.name
            if entry.name.startswith(".") or (of_eagle and is_thumbnail(path)):
                continue
            try:
                if not entry.is_dir():
                    yield from self._file(path, entry.is_file())
                elif reason := self._why_not_entered(entry, path):
                    self._passed[reason] += 1
                else:
                    yield from self._below(path)
            except OSError as error:
                self._skipped.append((path, error))

    def _file(self, path: Path, is_file: bool) -> Iterator[Path]:
        suffix = path.suffix.lower()
        if suffix in SUFFIXES and not is_file:
            self._skipped.append((path, FileNotFoundError(errno.ENOENT, "no file")))
        elif is_file and may_be_picture(path):
            yield path
        elif suffix not in _WORDS:
            self._passed[f"no picture ({suffix[:20] or 'a file without an ending'})"] += 1

    def _why_not_entered(self, entry: os.DirEntry[str], path: Path) -> str:
        """Return why a folder is passed over; empty for one that is looked into."""
        if entry.name.lower() in _NOT_A_PERSONS or entry.name.lower().endswith(_PREVIEWS):
            return f"a folder of the system's ({entry.name})"
        leads_back = entry.is_symlink() and Path(os.path.realpath(path)).is_relative_to(self._real)
        if leads_back or _identity(path) in self._entered:
            return "a link to a folder that is looked into anyway"
        return ""


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def links_below(folder: Path) -> Iterator[Path]:
    """Yield the links below a folder, and below the folders that they lead to. What can't be looked at has none."""
    entered: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        with suppress(OSError):
            entered.add(_identity(Path(place)))
        yield from (path for name in (*folders, *files) if (path := Path(place, name)).is_symlink())
        folders[:] = [name for name in folders if not _is_entered(Path(place, name), entered)]


def _is_entered(folder: Path, entered: set[tuple[int, int]]) -> bool:
    try:
        return _identity(folder) in entered
    except OSError:
        return True


def _may_hold_pictures(folder: Path) -> bool:
    """Look at a few entries, in no order: whether there is a picture, more than those, or what can't be looked at."""
    looked, folders = 0, [folder]
    try:
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    looked += 1
                    linked = entry.is_symlink() and entry.is_dir()
                    if looked > _LOOKED or linked or Path(entry.name).suffix.lower() in SUFFIXES:
                        return True
                    if entry.is_dir():
                        folders.append(Path(entry.path))
                    elif entry.is_file() and may_be_picture(Path(entry.path)):
                        return True
    except OSError:
        return True
    return False


def _name_of(file: Path, root: Path) -> str:
    """Return a style's name: its path in the source; of an item of Eagle's, whose folder is a number, the file's."""
    return file.stem if is_item(file.parent) else file.relative_to(root).with_suffix("").as_posix()


def look_at(path: Path, name: str, source: str) -> SourceFile:
    """Return a file as it is now. Raises OSError."""
    if to_unicode(str(path)) != str(path):  # Linux takes any bytes for a name; a knowledge base stores text
        raise OSError(errno.EILSEQ, "its name or its folder's is not valid Unicode, rename it")
    status = path.stat()
    modified = sum(sidecar.stat().st_mtime_ns for sidecar in sidecars_of(path)) % _MOST
    return SourceFile(str(path), name, status.st_size, status.st_mtime_ns, modified, source)
