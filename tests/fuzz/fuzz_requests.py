"""Requests to the pack's HTTP routes without a server: its handlers as it registers them, and bodies for them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache
from types import SimpleNamespace
from unittest.mock import Mock

from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request
from server import PromptServer
from style_pack.nodes import provenance
from style_pack.nodes.routes import routes

LINE = "-----fuzz"


@cache
def registered() -> SimpleNamespace:
    """What the pack gives a server: its handlers by method and path, and what it does to a prompt that is posted."""
    table, on_prompt = web.RouteTableDef(), []
    before = getattr(PromptServer, "instance", None)
    PromptServer.instance = SimpleNamespace(routes=table, add_on_prompt_handler=on_prompt.append)  # pyright: ignore
    try:
        routes.register()
        provenance.register()
    finally:
        PromptServer.instance = before  # pyright: ignore
    handlers = {(route.method, route.path): route.handler for route in table if isinstance(route, web.RouteDef)}
    return SimpleNamespace(handlers=handlers, on_prompt=on_prompt[0])


@cache
def loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def ask(method: str, path: str, body: bytes = b"", kind: str = "", query: str = "", **places: str) -> int:
    """Send a request to one of the routes and return the status; what a server would answer 500 to is raised."""
    handler = registered().handlers[method, f"/style_rag/{path}"]

    async def answer() -> web.StreamResponse:
        stream = StreamReader(Mock(spec=BaseProtocol, _reading_paused=False), 2**16)
        stream.feed_data(body)
        stream.feed_eof()
        url = f"/style_rag/x?{query}"
        headers = {"Content-Type": kind} if kind else {}
        request = make_mocked_request(method, url, headers, match_info=places, payload=stream)
        return await handler(request)

    status = loop().run_until_complete(answer()).status
    assert status < 500 or status == 503, status
    return status


def form(parts: Sequence[tuple[str, str, bytes]]) -> bytes:
    """A multipart body; parts: (field, file name or nothing, bytes) each."""
    whole = b""
    for field, name, data in parts:
        head = f'form-data; name="{field}"' + (f'; filename="{name}"' if name else "")
        whole += f"--{LINE}\r\nContent-Disposition: {head}\r\n\r\n".encode() + data + b"\r\n"
    return whole + f"--{LINE}--\r\n".encode()
