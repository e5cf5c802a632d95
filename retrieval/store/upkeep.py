"""What is done with a knowledge base as a whole: deleted, renamed, copied. What is derived is left out of copies."""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from ..database.database import FILE
from ..disk.durable import sync_folders, sync_tree
from .origin import folder_of
from .snapshot import FOLDER
from .store import StyleStore
from .write_lock import LOCK, locked

DERIVED = {FOLDER, "thumbnails", "rebuild", LOCK, FILE, f"{FILE}-wal", f"{FILE}-shm"}
_GONE = ".deleted-"
_SHORT_WAIT = 1.0  # seconds for a writer, whom a backup need not wait for

log = logging.getLogger("style_pack.retrieval")


def find_base(root: Path, name: str) -> Path:
    """Return a knowledge base's folder, whatever state it is in. Raises ValueError and FileNotFoundError."""
    folder = folder_of(root, name)
    if not (folder / FILE).exists():
        known = ", ".join(sorted(file.parent.name for file in root.glob(f"[!.]*/{FILE}"))) or "none"
        raise FileNotFoundError(
            f"there is no knowledge base '{name}' in {root} (there: {known}): correct the name or --root, "
            "or make it with ingest."
        )
    return folder


def delete(root: Path, name: str, wait: float) -> None:
    """Delete a knowledge base with its own pictures for good. Pictures in source folders stay."""
    folder = find_base(root, name)
    with alone(folder, wait):
        _leave_shared_engine(folder)
    aside = root / f"{_GONE}{uuid.uuid4().hex}"
    folder.rename(aside)  # from one moment to the next
    sync_folders([root])
    for left in root.glob(f"{_GONE}*"):  # Windows keeps what a reader has open; the next deletion takes it
        shutil.rmtree(left, ignore_errors=True)


def rename(root: Path, name: str, to: str, wait: float) -> None:
    """Give a knowledge base another name. Raises FileExistsError for one that is taken."""
    folder, target = find_base(root, name), _free(root, to, name)
    with alone(folder, wait), suppress(OSError, ValueError):  # a damaged one, too, can be renamed
        StyleStore(folder).close()  # in which SQLite takes in what a killed writer left beside its file
    folder.rename(target)
    sync_folders([root])


def copy(root: Path, name: str, to: str) -> None:
    """Make another knowledge base that holds the same. Raises FileExistsError for a name that is taken."""
    folder, target = find_base(root, name), _free(root, to)
    with drafted(root) as draft:
        with calm(StyleStore(folder)) as store:
            store.copy_to(draft / FILE)
            for path in kept_files(folder):
                to_path = draft / path.relative_to(folder)
                to_path.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):  # which was removed meanwhile
                    shutil.copy2(path, to_path)
        StyleStore(draft).publish_anew(0)
        sync_tree(draft)
        draft.rename(target)
    sync_folders([root])


def kept_files(folder: Path) -> Iterator[Path]:
    """Yield the files that a knowledge base can't make again by itself, but for the database."""
    for path in sorted(folder.rglob("*")):
        if path.relative_to(folder).parts[0] not in DERIVED and path.is_file():
            yield path


def _free(root: Path, name: str, now: str = "") -> Path:
    target = folder_of(root, name)
    if target.exists() and not (now and target.samefile(folder_of(root, now)) and name != now):
        raise FileExistsError(f"there is something named '{name}' already: choose another name.")
    return target


def _leave_shared_engine(folder: Path) -> None:
    """Take a knowledge base's vectors out of an engine that others use as well; one that does not answer keeps them."""
    try:
        StyleStore(folder).leave_shared_engine()
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        log.warning("%s: what its engine holds of it stays there (%s)", folder.name, error)


@contextmanager
def alone(folder: Path, wait: float) -> Iterator[None]:
    """Be the one writer, also of a knowledge base that can't be opened."""
    with locked(FileLock(folder / LOCK), folder.name, wait):
        yield


@contextmanager
def calm(store: StyleStore) -> Iterator[StyleStore]:
    """Keep writers out, but for one that is at it for long: it adds a picture's file before its row."""
    with ExitStack() as stack:
        with suppress(TimeoutError):
            stack.enter_context(store.writing(_SHORT_WAIT))
        yield store


@contextmanager
def drafted(root: Path) -> Iterator[Path]:
    """A folder beside the knowledge bases, which is gone afterwards unless it took a name."""
    draft = root / f".draft-{uuid.uuid4().hex}"
    draft.mkdir()
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
