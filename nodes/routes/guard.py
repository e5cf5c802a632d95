"""Who may ask what over HTTP: rules that a request must keep before any work begins. Knows no knowledge base."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import BodyPartReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import MultiMapping

from ...retrieval.pictures.picture_file import ending_of
from ...retrieval.pictures.reader import MAX_CAPTION, MAX_TAG, MAX_TAGS, SUFFIXES

MAX_PICTURE = 50_000_000  # bytes of one picture
MAX_FORM = 500_000_000  # bytes of all that one request brings
MAX_PICTURES = 100  # of one request
MAX_QUERY = 500  # characters of a search or a filter: aiohttp takes addresses of 8190 bytes
_MAX_FIELD = 1_000_000  # bytes of one text field of a form, or of a body of JSON
_CHUNK = 1 << 16
# What aiohttp raises of forms that are cut off or made up.
_DAMAGED = (ValueError, LookupError, RuntimeError, AssertionError, HttpProcessingError, web.RequestPayloadError)


class Refused(ValueError):
    """A request that breaks a rule; status is HTTP's for it."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass
class Form:
    """A multipart form.

    texts: field -> text.
    files: field -> (path of what came, name it had), in order.
    """

    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, list[tuple[Path, str]]] = field(default_factory=dict)


def refuse_other_sites(headers: Mapping[str, str]) -> None:
    """Raise Refused for what a page of another site made a browser send.

    Browsers say whose page it is in Sec-Fetch-Site (on https and loopback) and in Origin (with all that changes
    something), and no page can take that away. Programs send neither.
    """
    site = headers.get("Sec-Fetch-Site", "none")
    origin = headers.get(hdrs.ORIGIN)
    own = origin is None or urlsplit(origin).netloc.lower() == headers.get(hdrs.HOST, "").lower() != ""
    if site not in ("same-origin", "none") or not own:
        raise Refused(403, "this request comes from a page of another site: open ComfyUI's own page and ask there.")


def require_type(request: web.Request, wanted: str) -> None:
    """Raise Refused unless the body is declared as what it has to be."""
    if request.content_type != wanted:
        raise Refused(415, f"the content type is {request.content_type!r}: send {wanted}.")


def style_id(text: str) -> str:
    """Return an id of a style, or raise Refused."""
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise Refused(
            400, f"{_short(text)!r} is no id of a style: ids are 64 hexadecimal digits, as `styles` lists them."
        )
    return text


def number(query: MultiMapping[str], name: str, default: int, low: int, high: int) -> int:
    """Return a whole number of the query string, or raise Refused."""
    text = query.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise Refused(400, f"{name} is {_short(text)!r}: give a whole number from {low} to {high}.")
    return int(text)


def words(query: MultiMapping[str], name: str) -> str:
    """Return a text of the query string, or raise Refused."""
    text = query.get(name, "")
    if len(text) > MAX_QUERY:
        raise Refused(400, f"{name} has {len(text):,} characters: at most {MAX_QUERY:,} are allowed.")
    return text


def check_caption(text: str) -> str:
    """Return a caption without outer white space, or raise Refused."""
    caption = text.strip()
    if len(caption) > MAX_CAPTION:
        raise Refused(400, f"a caption has {len(caption):,} characters: at most {MAX_CAPTION:,} are allowed.")
    return _encodable(caption)


def check_tags(tags: list[str]) -> list[str]:
    """Return tags in lower case, each once, or raise Refused."""
    clean = list(dict.fromkeys(_encodable(tag.strip().lower()) for tag in tags if tag.strip()))
    if len(clean) > MAX_TAGS:
        raise Refused(400, f"there are {len(clean)} tags: at most {MAX_TAGS} are allowed.")
    for tag in clean:
        if len(tag) > MAX_TAG:
            raise Refused(400, f"tag {_short(tag)!r} has {len(tag):,} characters: at most {MAX_TAG} are allowed.")
    return clean


async def read_form(request: web.Request, folder: Path, texts: tuple[str, ...], files: str) -> Form:
    """Read a multipart form chunk by chunk; its pictures, of the field `files`, into the folder.

    Raises Refused for a field that is not expected and for what is larger or more than allowed.
    """
    require_type(request, "multipart/form-data")
    form, total = Form(files={files: []}), 0
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            name = part.name if isinstance(part, BodyPartReader) else None
            if not isinstance(part, BodyPartReader) or name not in (*texts, files):
                raise Refused(400, f"field {_short(name or '')!r} is not expected: send {', '.join((files, *texts))}.")
            if name == files:
                total += await _keep(part, folder, form.files[files], MAX_FORM - total)
            else:
                form.texts[name] = await _read_text(part)
    except Refused:
        raise
    except _DAMAGED as error:
        reason = _short(" ".join(str(error).removeprefix("400, message:").split()))
        raise Refused(400, f"the form is damaged ({reason}): send multipart/form-data.") from error
    return form


async def read_json(request: web.Request) -> Any:
    """Read a body of JSON. Raises Refused for what is none, and for more than is parsed while others wait."""
    body = bytearray()
    async for chunk in request.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > _MAX_FIELD:
            raise Refused(413, f"the body is larger than the {_MAX_FIELD:,} bytes allowed: send less.")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is no JSON: {str(error)[:200]}.") from error


async def read_new_name(request: web.Request) -> str:
    """Return the name of a body `{"name": …}`, or raise Refused."""
    require_type(request, "application/json")
    body = await read_json(request)
    if not isinstance(body, dict) or set(body) != {"name"} or not isinstance(body["name"], str):
        raise Refused(400, "send an object with name (a text), and nothing else.")
    return body["name"]


async def _keep(part: BodyPartReader, folder: Path, kept: list[tuple[Path, str]], room: int) -> int:
    """Write a picture into the folder; return its bytes."""
    name = os.path.basename((part.filename or "").replace("\\", "/"))
    suffix = Path(name).suffix.lower()
    if len(kept) == MAX_PICTURES:
        raise Refused(413, f"there are more than {MAX_PICTURES} pictures: send them in several requests.")
    path, size = folder / f"{len(kept)}{suffix if suffix in SUFFIXES else ''}", 0
    with path.open("wb") as stream:
        while chunk := await part.read_chunk(_CHUNK):
            size += len(chunk)
            if size > MAX_PICTURE:
                raise Refused(413, f"{_short(name)!r} is larger than the {MAX_PICTURE:,} bytes allowed a picture.")
            if size > room:
                raise Refused(413, f"the pictures have more than {MAX_FORM:,} bytes: send them in several requests.")
            stream.write(chunk)
    if not path.suffix:  # a browser calls what a page has made `blob`
        with path.open("rb") as stream:
            suffix = ending_of(stream)
        if not suffix:
            kinds = ", ".join(sorted(SUFFIXES))
            raise Refused(400, f"{_short(name)!r} is no picture file that can be read: send one of {kinds}.")
        path = path.rename(path.with_suffix(suffix))
    kept.append((path, name))
    return size


async def _read_text(part: BodyPartReader) -> str:
    read = bytearray()
    while chunk := await part.read_chunk(_CHUNK):
        read += chunk
        if len(read) > _MAX_FIELD:
            raise Refused(413, f"field {part.name!r} is larger than the {_MAX_FIELD:,} bytes allowed a text.")
    try:
        return read.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(400, f"field {part.name!r} is no UTF-8: send text in UTF-8.") from None


def _encodable(text: str) -> str:
    """JSON can hold halves of a character (lone surrogates), which no file or database takes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Refused(400, f"{_short(text)!r} holds half a character (a lone surrogate): send whole ones.") from None
    return text


def _short(text: str) -> str:
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= 80 else text[:79] + "…"
