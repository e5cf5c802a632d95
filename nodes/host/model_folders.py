"""What lies in ComfyUI's model folders and what it is. What is damaged or out of reach is named in the log, once."""

import logging
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import folder_paths

from ...model_files.identify import ModelFile, identify
from ...model_files.opening import shown
from .in_time import Inquiry

WEIGHT_SUFFIXES = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin")
_DEEPEST = 10  # folders within folders: links may lead in circles
PATIENCE = 3.0  # seconds that a look at one model folder takes at most
_SILENT = "it does not answer: is its drive connected?"
_PARTS = ("unet", "1_Pooling")  # whose config.json tells what a folder is

T = TypeVar("T")

Version = tuple[int, ...]


@dataclass(frozen=True)
class Found:
    """A weights file, or a folder with a model's configuration.

    name: as a COMBO lists it.
    path: of the file or folder.
    version: sizes and times of what tells what it is.
    is_folder: whether it is a folder.
    """

    name: str
    path: Path
    version: tuple[Version, ...]
    is_folder: bool = False

    @property
    def has_header(self) -> bool:
        """Tell whether it says in no time what it is; a pickle is opened when it is chosen."""
        return self.is_folder or self.path.suffix.lower() in (".safetensors", ".sft")


@dataclass(frozen=True)
class _Entry:
    """What lies at a path; of a link, what it leads to."""

    path: str
    mode: int
    version: Version

    @property
    def name(self) -> str:
        return os.path.basename(self.path)


def _entries(folder: str) -> list[_Entry]:
    """Return what a folder holds. Links are not followed: each may lead to where nobody answers."""
    with os.scandir(folder) as entries:
        return [_entry(entry.path, entry.stat(follow_symlinks=False)) for entry in entries]


def _follow(path: str) -> _Entry:
    return _entry(path, os.stat(path))


def _entry(path: str, status: os.stat_result) -> _Entry:
    return _Entry(path, status.st_mode, (status.st_size, status.st_mtime_ns))


def _identify(model: Found) -> ModelFile:
    return identify(model.path)


_folders: Inquiry[str, list[_Entry]] = Inquiry(_entries)
_links: Inquiry[str, _Entry] = Inquiry(_follow)
_models: Inquiry[Found, ModelFile] = Inquiry(_identify)
_awake: Inquiry[Path, os.stat_result] = Inquiry(Path.stat)
_paths: Inquiry[Path, ModelFile] = Inquiry(identify)
_noted: set[tuple[str, str]] = set()


def look(folder: str, marker: str, parts: bool = False) -> list[Found]:
    """Return the weights files in one of ComfyUI's model folders, sorted, then the model folders in it.

    marker: the file by which a folder one or two levels down is one model. parts: files beside a config.json, which
    are part of one, too.
    """
    roots, suffixes = places(folder)
    until = time.monotonic() + PATIENCE
    files: dict[str, Found] = {}
    models: list[Found] = []
    for root in roots:
        inside = _walk(root, until)
        for path, entries in inside.items():
            if parts or path == root or "config.json" not in entries:
                names = [name for name in entries if os.path.splitext(name)[1].lower() in suffixes]
                listed = (_found(root, entries[name].path, [entries[name]]) for name in names)
                files |= {file.name: file for file in listed if file.name not in files}
        models += sorted(_model_folders(root, inside, marker), key=lambda model: (model.name.count("/"), model.name))
    return [*sorted(files.values(), key=lambda file: file.name), *models]


def places(folder: str) -> tuple[list[str], set[str]]:
    """Return the roots and the suffixes of weights files. Other packs register folders too, in forms of their own."""
    roots, suffixes = folder_paths.folder_names_and_paths.get(folder, ([], ()))
    roots = [roots] if isinstance(roots, str) else roots
    return list(map(str, roots)), {suffix for suffix in WEIGHT_SUFFIXES if not suffixes or suffix in suffixes}


def identified(models: Iterable[Found], patience: float = PATIENCE) -> dict[Path, ModelFile | OSError | ValueError]:
    """Return {path: what it is, or why that can't be told} of what answers in so many seconds; the log names the rest.

    Each is read once a version.
    """
    wanted = list(models)
    answers = _models.answers(wanted, time.monotonic() + patience, once=True)
    for model in wanted:
        if isinstance(answer := answers.get(model), OSError | ValueError):
            _note(str(model.path), str(answer))
        elif _models.is_stalled(model):
            _note(str(model.path), _SILENT)
    return {model.path: answer for model, answer in answers.items()}


def identified_in_time(path: Path) -> ModelFile:
    """Say what a file or folder is, as `identify` does. Raises TimeoutError in one sentence when it does not answer."""
    answer = _paths.answers([path], time.monotonic() + PATIENCE).get(path)
    if isinstance(answer, OSError | ValueError):
        raise answer
    if answer is None:
        raise TimeoutError(f"{shown(str(path))} does not answer: check that its drive is connected, then try again.")
    return answer


def awake(paths: Iterable[Path]) -> list[Path]:
    """Return those that answer now, whatever they did before."""
    answers = _awake.answers(wanted := list(paths), time.monotonic() + PATIENCE, fresh=True)
    return [path for path in wanted if isinstance(answers.get(path), os.stat_result)]


def version(path: Path) -> Version | None:
    """Return sizes and times of a file, or of all below a folder; None when it does not answer. Raises OSError."""
    until = time.monotonic() + PATIENCE
    answer = _links.answers([str(path)], until).get(str(path))
    if isinstance(answer, OSError | ValueError):
        raise answer
    if not answer or not stat.S_ISDIR(answer.mode):
        return answer and answer.version
    entries = {entry.path: entry.version for inside in _walk(str(path), until).values() for entry in inside.values()}
    return tuple(number for _, version in sorted(entries.items()) for number in version)


def _walk(root: str, until: float) -> dict[str, dict[str, _Entry]]:
    """Return {folder: {name: entry}} of a folder and all below it, as far as the file system answers."""
    inside: dict[str, dict[str, _Entry]] = {}
    level = [root]
    for _ in range(_DEEPEST):
        answers = _folders.answers(level, until)
        answered = {path: entries for path in level if isinstance(entries := _answer(path, answers, _folders), list)}
        ways = [entry.path for entries in answered.values() for entry in entries if stat.S_ISLNK(entry.mode)]
        ends = _links.answers(ways, until)
        level = []
        for path, entries in answered.items():
            known = [_answer(entry.path, ends, _links) if stat.S_ISLNK(entry.mode) else entry for entry in entries]
            inside[path] = {entry.name: entry for entry in known if entry and _is_regular(entry)}
            level += [entry.path for entry in known if entry and stat.S_ISDIR(entry.mode) and entry.name != ".git"]
    return inside


def _answer(path: str, answers: Mapping[str, T | OSError | ValueError], inquiry: Inquiry[str, T]) -> T | None:
    """Return what was answered, now or before; the log names what does not answer or can't be read.

    A folder or link that is not there is no fault, but where a model's file was meant.
    """
    answer = answers.get(path)
    if answer is None or inquiry.is_stalled(path):
        _note(path, _SILENT)
    if not isinstance(answer, OSError | ValueError):
        return answer
    if not isinstance(answer, FileNotFoundError) or path.lower().endswith(WEIGHT_SUFFIXES):
        _note(path, str(answer))
    return None


def _is_regular(entry: _Entry) -> bool:
    if stat.S_ISREG(entry.mode):
        return True
    if not stat.S_ISDIR(entry.mode) and entry.name.lower().endswith(WEIGHT_SUFFIXES):
        _note(entry.path, "it is neither a file nor a folder")
    return False


def _model_folders(root: str, inside: Mapping[str, Mapping[str, _Entry]], marker: str) -> Iterator[Found]:
    for path, entries in inside.items():
        if path != root and marker in entries and os.path.relpath(path, root).count(os.sep) < 2:
            below = (inside.get(os.path.join(path, part), {}) for part in _PARTS)
            configs = [entry for files in (entries, *below) if (entry := files.get("config.json"))]
            yield replace(
                _found(root, path, [entries[marker], *configs]),
                name=Path(path).relative_to(root).as_posix(),
                is_folder=True,
            )


def _found(root: str, path: str, versioned: list[_Entry]) -> Found:
    return Found(os.path.relpath(path, root), Path(path), tuple(entry.version for entry in versioned))


def _note(path: str, reason: str) -> None:
    if (path, reason) not in _noted:
        _noted.add((path, reason))
        logging.getLogger(__name__).warning("Style RAG leaves out %s: %s", shown(path), reason)
