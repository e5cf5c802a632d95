"""A pack for the tests: tells which modules the server has imported, without running a node."""

import sys

from aiohttp import web
from server import PromptServer

NODE_CLASS_MAPPINGS: dict[str, type] = {}


@PromptServer.instance.routes.get("/probe/modules")
async def modules(request: web.Request) -> web.Response:
    return web.json_response(sorted(sys.modules))
