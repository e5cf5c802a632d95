"""Puts a bundled sketch where Load Image finds it, as `style_rag/NAME`, once a prompt or the page asks for it."""

import asyncio
import logging
import os
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import folder_paths
from aiohttp import web
from aiohttp.typedefs import Handler
from server import PromptServer

from ...retrieval.pictures.finder import SKIP_MARKER
from . import paths

FOLDER = "style_rag"  # below ComfyUI's input folder
_VALUE = re.compile(rf"{FOLDER}/([^/\\]+?)(?: \[(input|temp)\])?")  # workflows of version 0.1.0 name those in temp
_log = logging.getLogger(__name__)


def register() -> None:
    """Watch for what asks for a sketch: prompts, and the pictures that the page shows."""
    server = getattr(PromptServer, "instance", None)
    if server is not None:
        server.add_on_prompt_handler(_before_prompt)
        server.app.middlewares.append(_before_view)


@cache
def names() -> frozenset[str]:
    """Return the file names of the bundled sketches."""
    files = paths.SKETCHES.iterdir() if paths.SKETCHES.is_dir() else ()
    return frozenset(file.name for file in files if file.suffix != ".json" and not file.name.startswith("."))


def provide(name: str, kind: str) -> None:
    """Copy a sketch into ComfyUI's `input` or `temp` folder unless something has that name there.

    A folder that can't be written is named in the log, once.
    """
    root = folder_paths.get_temp_directory() if kind == "temp" else folder_paths.get_input_directory()
    target = Path(root) / FOLDER / name
    if name not in names() or os.path.lexists(target):
        return
    try:
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            (target.parent / SKIP_MARKER).touch()  # a knowledge base of all that is in `input` holds no sketches
        _copy(paths.SKETCHES / name, target)
    except OSError as error:
        _complain(str(target.parent), error.strerror or str(error))


def _copy(source: Path, target: Path) -> None:
    """Copy whole, under a name of its own first, and never over what another process has put there meanwhile."""
    handle, fresh = tempfile.mkstemp(prefix=".", suffix=target.suffix, dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as copied, source.open("rb") as stream:
            shutil.copyfileobj(stream, copied)
        shutil.copymode(source, fresh)  # mkstemp makes files for their owner alone
        try:
            os.link(fresh, target)
        except FileExistsError:
            return
        except OSError:  # no links on this kind of disk
            os.replace(fresh, target)
    finally:
        Path(fresh).unlink(missing_ok=True)


@cache
def _complain(folder: str, reason: str) -> None:
    _log.warning("Style RAG: the bundled sketches can't be copied into %s (%s).", folder, reason)


def _before_prompt(request: dict[str, Any]) -> dict[str, Any]:
    """Provide what a prompt names. ComfyUI has not checked it yet."""
    prompt = request.get("prompt")
    for node in prompt.values() if isinstance(prompt, dict) else ():
        inputs = node.get("inputs") if isinstance(node, dict) else None
        for value in inputs.values() if isinstance(inputs, dict) else ():
            if isinstance(value, str) and (match := _VALUE.fullmatch(value)):
                provide(match[1], match[2] or "input")
    return request


@web.middleware
async def _before_view(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Provide what the page is about to show on Load Image."""
    asked = request.query
    if request.path in ("/view", "/api/view") and asked.get("subfolder") == FOLDER:
        name, kind = asked.get("filename", ""), asked.get("type")
        if name in names() and kind in ("input", "temp"):
            await asyncio.to_thread(provide, name, kind)
    return await handler(request)
