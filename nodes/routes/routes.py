"""The HTTP routes below /style_rag/ on ComfyUI's own server: reads a request, makes one call, answers.

What takes time runs on threads, so that the server's event loop stays free: one writes, one searches, and two read, so
that a thumbnail never waits for searches.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import folder_paths
from aiohttp import web
from server import PromptServer

from ...generation.settings import check_prompt
from ...retrieval.pictures.picture_file import frames_of
from ..host import threads
from . import answers, gallery, gallery_changes, gallery_upkeep, guard
from . import generate as sketch_to_picture
from .guard import Refused

T = TypeVar("T")
PAGE = 200  # styles of one answer, at most
MOST = 100  # matches of one search, at most
MAX_SEED = 2**64 - 1
OPENAPI = Path(__file__).with_name("openapi.json")
_FOREVER = "private, max-age=31536000, immutable"  # an id is what is in the picture
_CHUNK = 1 << 20  # bytes of a backup that are read at once
_READERS = ThreadPoolExecutor(2, "style_rag_reader")
_SEARCHER = ThreadPoolExecutor(1, "style_rag_searcher", threads.compute_alone)
_WRITER = ThreadPoolExecutor(1, "style_rag_writer")


def register() -> None:
    """Add the routes to ComfyUI's server, where there is one."""
    server = getattr(PromptServer, "instance", None)
    if server is not None:
        for method, path, handler in ROUTES:
            server.routes.route(method, f"/style_rag/{path}")(answers.answering(handler))


async def knowledge_bases(request: web.Request) -> web.Response:
    """List the knowledge bases."""
    return web.json_response(await _run(_READERS, gallery.list_knowledge_bases))


async def delete_base(request: web.Request) -> web.Response:
    """Delete a knowledge base."""
    return web.json_response(await _run(_WRITER, gallery_upkeep.delete, _name(request)))


async def rename_base(request: web.Request) -> web.Response:
    """Give a knowledge base another name."""
    to = await guard.read_new_name(request)
    return web.json_response(await _run(_WRITER, gallery_upkeep.rename, _name(request), to))


async def copy_base(request: web.Request) -> web.Response:
    """Make another knowledge base that holds the same."""
    to = await guard.read_new_name(request)
    return web.json_response(await _run(_WRITER, gallery_upkeep.copy, _name(request), to))


async def back_up_base(request: web.Request) -> web.StreamResponse:
    """Send a knowledge base as one file."""
    async with _uploads() as folder:
        file = folder / "backup.zip"
        await _run(_WRITER, gallery_upkeep.back_up, _name(request), file)
        response = web.StreamResponse(headers=answers.HEADERS)
        called = f"{_name(request)}.zip"
        called = f'filename="{called}"' if called.isascii() else f"filename*=UTF-8''{quote(called)}"
        response.headers["Content-Disposition"] = f"attachment; {called}"
        response.content_type, response.content_length = "application/zip", file.stat().st_size
        with file.open("rb") as stream, contextlib.suppress(ConnectionError):  # of who has hung up
            await response.prepare(request)
            while chunk := await _run(_READERS, stream.read, _CHUNK):
                await response.write(chunk)
            await response.write_eof()
    return response


async def styles(request: web.Request) -> web.Response:
    """List styles, a page at a time."""
    offset = guard.number(request.query, "offset", 0, 0, 999_999_999)
    limit = guard.number(request.query, "limit", 50, 1, PAGE)
    terms = guard.words(request.query, "filter")
    return web.json_response(await _run(_READERS, gallery.list_styles, _name(request), offset, limit, terms))


async def labels(request: web.Request) -> web.Response:
    """Count the styles of each tag and of each licence."""
    return web.json_response(await _run(_READERS, gallery.list_labels, _name(request)))


async def search(request: web.Request) -> web.Response:
    """Return the styles that fit words best."""
    from ...retrieval.search import StyleQuery

    asked = request.query
    top_k = guard.number(asked, "top_k", 1, 1, MOST)
    prompt = guard.words(asked, "q")
    check_prompt(prompt, "q")
    query = StyleQuery(prompt, asked.get("strategy", "hybrid"), top_k, filter=guard.words(asked, "filter"))

    def look(name: str) -> dict[str, Any]:
        # Whoever types asks anew with each letter, and hangs up on the last question: it may be out of date by now.
        return {"matches": []} if _has_gone(request) else gallery.search_styles(name, query)

    return web.json_response(await _run(_SEARCHER, look, _name(request)))


async def image(request: web.Request) -> web.Response:
    """Send a style's picture, as its file has it."""
    return await _picture(request, "", gallery.read_picture)


async def thumbnail(request: web.Request) -> web.Response:
    """Send a style's thumbnail, a JPEG."""

    def read(name: str, id: str) -> tuple[bytes, str]:
        return gallery.read_thumbnail(name, id), "image/jpeg"

    return await _picture(request, f"-{gallery.THUMBNAIL}", read)


async def add_styles(request: web.Request) -> web.Response:
    """Add pictures, with captions and tags."""
    name = _name(request)
    async with _uploads() as folder:
        form = await guard.read_form(request, folder, ("captions", "tags", "encoder"), "images")
        pictures = form.files["images"]
        captions = [guard.check_caption(line) for line in form.texts.get("captions", "").splitlines()]
        if not pictures or len(captions) > len(pictures):
            raise Refused(400, f"there are {len(captions)} captions for {len(pictures)} images: send images, and at "
                          "most a line of captions for each.")  # fmt: skip
        tags = guard.check_tags(form.texts.get("tags", "").split(","))
        encoder = form.texts.get("encoder", "")
        report = await _run(_WRITER, gallery_changes.add_pictures, name, pictures, captions, tags, encoder)
    return web.json_response(report)


async def describe_style(request: web.Request) -> web.Response:
    """Change a style's caption, tags, or both."""
    name, id = _name(request), guard.style_id(request.match_info["id"])
    guard.require_type(request, "application/json")
    body = await guard.read_json(request)
    known = {"caption": str, "tags": list}
    good = isinstance(body, dict) and all(name in known and isinstance(body[name], known[name]) for name in body)
    if not body or not good or not all(isinstance(tag, str) for tag in body.get("tags", [])):
        raise Refused(400, "send an object with caption (a text), tags (a list of texts), or both.")
    caption = guard.check_caption(body["caption"]) if "caption" in body else None
    tags = guard.check_tags(body["tags"]) if "tags" in body else None
    return web.json_response(await _run(_WRITER, gallery_changes.describe_style, name, id, caption, tags))


async def remove_style(request: web.Request) -> web.Response:
    """Remove a style; it can be restored."""
    id = guard.style_id(request.match_info["id"])
    return web.json_response(await _run(_WRITER, gallery_changes.remove_style, _name(request), id))


async def restore_style(request: web.Request) -> web.Response:
    """Bring a removed style back."""
    id = guard.style_id(request.match_info["id"])
    return web.json_response(await _run(_WRITER, gallery_changes.restore_style, _name(request), id))


async def generate(request: web.Request) -> web.Response:
    """Queue a bundled workflow with this sketch and prompt; with `wait=1` send its picture."""
    wait = guard.number(request.query, "wait", 0, 0, 1)
    async with _uploads() as folder:
        form = await guard.read_form(request, folder, ("prompt", "seed", "workflow"), "sketch")
        workflow, seed, prompt = _chosen(form)
        [(file, _)] = form.files["sketch"]
        sketch = await _run(_READERS, sketch_to_picture.keep_sketch, file)
        frames = await _run(_READERS, frames_of, file)
    note = f"the sketch is an animation of {frames} pictures: its first is drawn." if frames > 1 else ""
    api = sketch_to_picture.fill_workflow(workflow, sketch, prompt, seed)
    connector = aiohttp.TCPConnector(ssl=False)  # to ourselves, whatever name our certificate has
    async with aiohttp.ClientSession(sketch_to_picture.own_address(request.transport), connector=connector) as comfy:
        prompt_id = await sketch_to_picture.queue(comfy, api)
        if not wait:
            return web.json_response({"prompt_id": prompt_id} | ({"note": note} if note else {}), status=202)
        picture = await sketch_to_picture.wait_for_picture(comfy, prompt_id)
    headers = {"X-Prompt-Id": prompt_id} | ({"X-Note": note} if note else {})
    return web.Response(body=picture, content_type="image/png", headers=headers)


async def openapi(request: web.Request) -> web.Response:
    """Send the description of all routes."""
    return web.Response(body=OPENAPI.read_bytes(), content_type="application/json")


ROUTES: tuple[tuple[str, str, answers.Handler], ...] = (
    ("GET", "openapi.json", openapi),
    ("GET", "knowledge_bases", knowledge_bases),
    ("DELETE", "{kb}", delete_base),
    ("PATCH", "{kb}", rename_base),
    ("POST", "{kb}/copy", copy_base),
    ("GET", "{kb}/backup", back_up_base),
    ("GET", "{kb}/styles", styles),
    ("POST", "{kb}/styles", add_styles),
    ("PATCH", "{kb}/styles/{id}", describe_style),
    ("DELETE", "{kb}/styles/{id}", remove_style),
    ("POST", "{kb}/styles/{id}/restore", restore_style),
    ("GET", "{kb}/styles/{id}/image", image),
    ("GET", "{kb}/styles/{id}/thumbnail", thumbnail),
    ("GET", "{kb}/labels", labels),
    ("GET", "{kb}/search", search),
    ("POST", "generate", generate),
)


async def _picture(request: web.Request, kind: str, read: Callable[[str, str], tuple[bytes, str]]) -> web.Response:
    name, id = _name(request), guard.style_id(request.match_info["id"])
    tag = aiohttp.ETag(id + kind)
    if any(known.value in (tag.value, "*") for known in request.if_none_match or ()):
        await _run(_READERS, lambda: gallery.find_record(gallery.open_store(name), id))
        response = web.Response(status=304)
    else:
        body, media = await _run(_READERS, read, name, id)
        response = web.Response(body=body, content_type=media)
    response.etag = tag
    response.headers["Cache-Control"] = _FOREVER
    return response


def _chosen(form: guard.Form) -> tuple[str, int | None, str]:
    """Return workflow, seed and prompt of a form for `generate`."""
    workflow, seed = form.texts.get("workflow", "quickstart"), form.texts.get("seed")
    prompt = form.texts.get("prompt", "")
    if len(form.files["sketch"]) != 1 or not prompt.strip():
        raise Refused(400, "send one picture as sketch, and a prompt.")
    if workflow not in sketch_to_picture.WORKFLOWS:
        raise Refused(400, f"workflow '{workflow[:80]}' does not exist: {' or '.join(sketch_to_picture.WORKFLOWS)}.")
    if seed is not None and not (seed.isascii() and seed.isdigit() and len(seed) < 21 and int(seed) <= MAX_SEED):
        raise Refused(400, f"seed is '{seed[:80]}': give a whole number from 0 to {MAX_SEED}.")
    check_prompt(prompt, "prompt")
    return workflow, None if seed is None else int(seed), prompt


def _has_gone(request: web.Request) -> bool:
    """Tell whether the one who asked has hung up."""
    return request.transport is None or request.transport.is_closing()


def _name(request: web.Request) -> str:
    return request.match_info["kb"]


@contextlib.asynccontextmanager
async def _uploads() -> AsyncIterator[Path]:
    """A folder in ComfyUI's temp folder, for the time of one request. What it held may be large, and slow to delete."""
    folder = await _run(_READERS, _make_folder)
    try:
        yield Path(folder.name)
    finally:
        await _run(_READERS, folder.cleanup)


def _make_folder() -> tempfile.TemporaryDirectory[str]:
    temp = Path(folder_paths.get_temp_directory())
    temp.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="style_rag_", dir=temp, ignore_cleanup_errors=True)


async def _run(pool: ThreadPoolExecutor, work: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(pool, lambda: work(*arguments))
