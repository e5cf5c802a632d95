"""What a disk holds after a power cut: replayed from the system calls of the programs that wrote to it.

`record` has strace write those calls down. A `Disk` does what they say, and knows of each file and folder what was
synced. What was not, a cut may leave on the disk, or take away: `Disk.after_cut` writes such a state.
"""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

CALLS = (
    "open,openat,creat,close,lseek,write,pwrite64,writev,pwritev,pwritev2,sendfile,copy_file_range,truncate,ftruncate,"
    "fallocate,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat,fsync,fdatasync,sync,syncfs"
)
CUTS = ("nothing that was not synced", "names that were not synced, without bytes", "some of what was not synced")
_LINE = re.compile(r"(\d+) +(?:(\w+)\((.*)|<\.\.\. (\w+) resumed>(.*))$")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_HANDLE = re.compile(r"(AT_FDCWD|\d+)<((?:\\x[0-9a-f]{2})*)>")


def record(program: Sequence[str], log: Path) -> None:
    """Run a program, and what it starts, to its end; `log` then has its calls, each on a line, as they ended."""
    told = [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-y",
        "-xx",
        "-s",
        "99999999",
        "-e",
        f"trace={CALLS}",
        "-o",
        str(log),
    ]
    subprocess.run([*told, *program], check=True, stdout=subprocess.DEVNULL)


@dataclass
class File:
    """now: what programs read. disk: what was synced. unsynced: (offset, bytes), or (length, None) for a cut."""

    now: bytearray = field(default_factory=bytearray)
    disk: bytearray = field(default_factory=bytearray)
    unsynced: list[tuple[int, bytes | None]] = field(default_factory=list)

    def change(self, at: int, data: bytes | None) -> None:
        self.unsynced.append((at, data))
        _apply(self.now, at, data)

    def sync(self, count: int) -> None:
        """Put the first changes to disk."""
        for change in self.unsynced[:count]:
            _apply(self.disk, *change)
        del self.unsynced[:count]

    def some(self, chance: random.Random) -> bytes:
        found = bytearray(self.disk)
        for change in self.unsynced:
            if chance.random() < 0.5:
                _apply(found, *change)
        return bytes(found)


@dataclass
class Folder:
    now: dict[str, File | Folder] = field(default_factory=dict)
    disk: dict[str, File | Folder] = field(default_factory=dict)

    def sync(self) -> None:
        self.disk = dict(self.now)


def _apply(content: bytearray, at: int, data: bytes | None) -> None:
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    if data is None:
        del content[at:]
    else:
        content[at : at + len(data)] = data


class Disk:
    """Everything below a folder. What is there at the beginning was synced."""

    def __init__(self, root: Path) -> None:
        self._root = PurePosixPath(root)
        self._tree = self._read(root)
        self._offsets: dict[tuple[str, str], int] = {}
        self._begun: dict[str, str] = {}
        self._syncs = 0
        self._covered: dict[str, int] = {}  # how many of a file's changes came before its sync began

    def replay(self, log: Path) -> Iterator[tuple[str, str]]:
        """Do what a log says, call by call; yield after each its name, and the text that was written to output 1."""
        with log.open(encoding="ascii") as lines:
            for line in lines:
                if not (found := _LINE.match(line.rstrip("\n"))):
                    continue
                thread, name, rest, resumed, end = found.groups()
                if name and rest.endswith("<unfinished ...>"):
                    self._begun[thread] = rest.removesuffix("<unfinished ...>")
                    self._covered[thread] = self._unsynced(rest)
                    continue
                rest = self._begun.pop(thread, "") + end if resumed else rest
                self._syncs = self._covered.pop(thread, 0) if resumed else self._unsynced(rest)
                arguments, _, result = rest.rpartition(" = ")
                said = ""
                if result and not result.startswith(("-1", "?")):
                    said = self._do(name or resumed, arguments.rstrip().removesuffix(")").rstrip(), result)
                yield name or resumed, said

    def after_cut(self, cut: str, chance: random.Random, target: Path) -> None:
        """Write what a disk may hold now, into a folder that does not exist."""
        self._write(self._tree, target, CUTS.index(cut), chance)

    def _write(self, folder: Folder, target: Path, cut: int, chance: random.Random) -> None:
        target.mkdir()
        for name, entry in (folder.now if cut else folder.disk).items():
            if isinstance(entry, Folder):
                self._write(entry, target / name, cut, chance)
            elif not name.endswith("-shm"):  # of SQLite, which makes it anew at the first opening
                (target / name).write_bytes(entry.some(chance) if cut == 2 else entry.disk)

    def _read(self, root: Path) -> Folder:
        folder = Folder()
        for path in root.iterdir():
            if path.is_dir():
                folder.now[path.name] = self._read(path)
            else:
                content = path.read_bytes()
                folder.now[path.name] = File(bytearray(content), bytearray(content))
        folder.sync()
        return folder

    def _do(self, name: str, arguments: str, result: str) -> str:
        handles = [(number, _decoded(path).decode()) for number, path in _HANDLE.findall(arguments)]
        texts = [_decoded(text) for text in _TEXT.findall(arguments)]
        numbers = [int(number) for number in re.findall(r", (\d+)(?=$|,)", arguments)]
        if name in ("write", "writev") and handles[0][0] == "1":
            return b"".join(texts).decode()
        if name in ("open", "openat", "creat"):
            self._open(name, handles, texts, arguments, result)
        elif name in ("fsync", "fdatasync", "lseek", "ftruncate", "fallocate") or "write" in name:
            self._change(name, handles[0], texts, numbers, int(result.split()[0], 0))
        elif name in ("sendfile", "copy_file_range"):
            self._copy(name, handles, arguments, int(result))
        elif name not in ("close", "truncate", "sync", "syncfs"):
            self._rename(name, handles, [text.decode() for text in texts], arguments)
        elif name != "close":
            raise NotImplementedError(name)
        return ""

    def _open(self, name: str, handles: list[tuple[str, str]], texts: list[bytes], arguments: str, result: str) -> None:
        path = self._path(texts[0].decode(), handles)
        number = result.partition("<")[0]
        self._offsets[number, path] = 0
        place = self._place(path)
        if place and (name == "creat" or "O_CREAT" in arguments) and place[1] not in place[0].now:
            place[0].now[place[1]] = File()
        entry = self._entry(path)
        if isinstance(entry, File) and (name == "creat" or "O_TRUNC" in arguments) and entry.now:
            entry.change(0, None)
        if isinstance(entry, File) and "O_APPEND" in arguments:
            self._offsets[number, path] = -1

    def _change(self, name: str, handle: tuple[str, str], texts: list[bytes], numbers: list[int], result: int) -> None:
        entry = self._entry(handle[1])
        if isinstance(entry, Folder) and name in ("fsync", "fdatasync"):
            entry.sync()
        if not isinstance(entry, File):
            return
        if name in ("fsync", "fdatasync"):
            entry.sync(self._syncs)
        elif name == "lseek":
            self._offsets[handle] = result
        elif name == "ftruncate":
            entry.change(numbers[0], None if numbers[0] < len(entry.now) else b"")
        elif name == "fallocate":
            entry.change(numbers[-2] + numbers[-1], b"")
        elif name.startswith("p"):
            entry.change(numbers[-1], b"".join(texts)[:result])
        else:
            at = self._offsets.get(handle, 0)
            entry.change(len(entry.now) if at < 0 else at, b"".join(texts)[:result])
            self._offsets[handle] = at if at < 0 else at + result

    def _copy(self, name: str, handles: list[tuple[str, str]], arguments: str, count: int) -> None:
        target, source = handles if name == "sendfile" else handles[::-1]
        given = re.search(r"\[(\d+)\]", arguments)
        at = int(given[1]) if given else self._offsets.get(source, 0)
        entry, origin = self._entry(target[1]), self._entry(source[1])
        content = origin.now if isinstance(origin, File) else Path(source[1]).read_bytes()
        if not given:
            self._offsets[source] = at + count
        if isinstance(entry, File):
            entry.change(self._offsets.get(target, 0), bytes(content[at : at + count]))
            self._offsets[target] = self._offsets.get(target, 0) + count

    def _rename(self, name: str, handles: list[tuple[str, str]], texts: list[str], arguments: str) -> None:
        bases = [[handle] for handle in handles] if "at" in name else [[], []]
        places = [self._place(self._path(text, base)) for text, base in zip(texts, bases, strict=False)]
        if places[0] is None:
            assert len(places) == 1 or places[1] is None, f"{name} brings in a file from outside"
        elif name.startswith("mkdir"):
            places[0][0].now[places[0][1]] = Folder()
        elif name.startswith(("rename", "link")):
            assert len(places) == 2
            assert places[1]
            entry = places[0][0].now[places[0][1]]
            places[1][0].now[places[1][1]] = entry
            if name.startswith("rename"):
                del places[0][0].now[places[0][1]]
        else:
            del places[0][0].now[places[0][1]]

    def _unsynced(self, arguments: str) -> int:
        found = _HANDLE.match(arguments)
        entry = self._entry(_decoded(found[2]).decode()) if found else None
        return len(entry.unsynced) if isinstance(entry, File) else 0

    def _path(self, path: str, handles: list[tuple[str, str]]) -> str:
        return str(PurePosixPath(handles[0][1], path)) if handles else path

    def _place(self, path: str) -> tuple[Folder, str] | None:
        """Return a path's folder and name; None for what lies outside."""
        inside = PurePosixPath(path)
        if self._root not in inside.parents:
            return None
        folder = self._entry(str(inside.parent))
        return (folder, inside.name) if isinstance(folder, Folder) else None

    def _entry(self, path: str) -> File | Folder | None:
        inside = PurePosixPath(path)
        if not inside.is_relative_to(self._root):
            return None
        entry: File | Folder | None = self._tree
        for part in inside.relative_to(self._root).parts:
            entry = entry.now.get(part) if isinstance(entry, Folder) else None
        return entry


def _decoded(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
