"""What `style-rag` does with a knowledge base as a whole: backup, restore, copy, rename, delete."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def add_commands(add: Callable[..., Any], show: Callable[[Any], str]) -> None:
    """Declare the commands. add: as `build_parser` has it. show: an answer as lines."""
    backup = add("backup", run_backup, show, "Write all of it to one file, while others use it.")
    backup.add_argument("file", type=Path, help="such as mine.zip")
    restore = add("restore", run_restore, show, "Put a backup in a knowledge base's place, or make a new one from it.")
    restore.add_argument("file", type=Path, help="a file that `backup` wrote")
    copy = add("copy", run_copy, show, "Make another knowledge base that holds the same.")
    copy.add_argument("to", metavar="NEW_NAME", help="the new name")
    rename = add("rename", run_rename, show, "Give it another name.")
    rename.add_argument("to", metavar="NEW_NAME", help="the new name")
    delete = add("delete", run_delete, show, "Delete it for good. Pictures in source folders stay.")
    for command in (restore, delete):
        command.add_argument("--yes", action="store_true", help="do not ask")


def run_backup(options: argparse.Namespace) -> dict[str, Any]:
    from ..retrieval.store.backup import back_up
    from ..retrieval.store.upkeep import find_base

    return {"pictures": back_up(find_base(options.root, options.name), options.file), "file": str(options.file)}


def run_restore(options: argparse.Namespace) -> dict[str, Any]:
    from ..retrieval.store.backup import restore
    from ..retrieval.store.origin import folder_of

    if folder_of(options.root, options.name).exists():
        _agree(options, f"'{options.name}' will hold what is in {options.file}, and lose all else it holds now")
    return {"name": options.name, "total": restore(options.file, options.root, options.name, options.wait)}


def run_copy(options: argparse.Namespace) -> dict[str, Any]:
    from ..retrieval.store.upkeep import copy

    copy(options.root, options.name, options.to)
    return {"name": options.name, "copy": options.to}


def run_rename(options: argparse.Namespace) -> dict[str, Any]:
    from ..retrieval.store.upkeep import rename

    rename(options.root, options.name, options.to, options.wait)
    return {"name": options.to}


def run_delete(options: argparse.Namespace) -> dict[str, Any]:
    from ..retrieval.store.upkeep import delete, find_base

    find_base(options.root, options.name)
    _agree(options, f"'{options.name}' will be deleted for good, with the pictures that it keeps itself")
    delete(options.root, options.name, options.wait)
    return {"deleted": options.name}


def _agree(options: argparse.Namespace, what: str) -> None:
    """Raise ValueError unless a person says yes, on a terminal or by --yes."""
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise ValueError(f"{what}: add --yes to do that.")
    print(f"{what}. Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ValueError("nothing was changed.")
