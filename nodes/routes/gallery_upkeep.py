"""What the HTTP routes do with a knowledge base as a whole. Knows no HTTP; all of it blocks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..host import paths
from ..host.requirements import RETRIEVAL, require
from . import gallery
from .gallery import Conflict, NotHere

_WAIT = 10.0  # seconds for who is writing to it


def delete(name: str) -> dict[str, Any]:
    """Delete a knowledge base with the pictures that it keeps itself. Raises NotHere."""
    from ...retrieval.store import upkeep

    _with_root(name, lambda root: upkeep.delete(root, name, _WAIT))
    return {"name": name}


def rename(name: str, to: str) -> dict[str, Any]:
    """Give a knowledge base another name, and describe it. Raises NotHere, and Conflict for a name that is taken."""
    from ...retrieval.store import upkeep

    _with_root(name, lambda root: upkeep.rename(root, name, to, _WAIT))
    return gallery.describe_base(paths.knowledge_base_folder(to))


def copy(name: str, to: str) -> dict[str, Any]:
    """Make another knowledge base that holds the same, and describe it. Raises NotHere and Conflict."""
    from ...retrieval.store import upkeep

    _with_root(name, lambda root: upkeep.copy(root, name, to))
    return gallery.describe_base(paths.knowledge_base_folder(to))


def back_up(name: str, file: Path) -> None:
    """Write a knowledge base to one file. Raises NotHere."""
    from ...retrieval.store import backup

    folder = paths.knowledge_base_folder(name)
    _with_root(name, lambda _: backup.back_up(folder, file))


def _with_root(name: str, work: Callable[[Path], Any]) -> None:
    require(RETRIEVAL)
    folder = paths.knowledge_base_folder(name)
    gallery.require_base(folder)
    gallery.let_go(folder)  # Windows moves no folder that has files open
    try:
        work(folder.parent)
    except FileExistsError as error:
        raise Conflict(str(error)) from error
    except FileNotFoundError as error:  # deleted by another at the same moment
        raise NotHere(str(error)) from error
