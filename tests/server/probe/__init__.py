"""A pack for the tests: tells which modules the server has imported, and how late its event loop was."""

import asyncio
import sys
import time

import comfy.model_management
from aiohttp import web
from server import PromptServer

NODE_CLASS_MAPPINGS: dict[str, type] = {}
_STEP = 0.005  # seconds


class EventLoop:
    """Wakes every few milliseconds and notes by how much it was late."""

    def __init__(self) -> None:
        self.worst = 0.0
        self.watching: asyncio.Task[None] | None = None

    async def watch(self) -> None:
        """Delays in the server's own processor time where that is less: the rest went to other programs."""
        while True:
            start, used = time.perf_counter(), time.process_time()
            await asyncio.sleep(_STEP)
            late = min(time.perf_counter() - start - _STEP, time.process_time() - used)
            self.worst = max(self.worst, late)


LOOP = EventLoop()


@PromptServer.instance.routes.get("/probe/modules")
async def modules(request: web.Request) -> web.Response:
    return web.json_response(sorted(sys.modules))


@PromptServer.instance.routes.get("/probe/delay")
async def delay(request: web.Request) -> web.Response:
    """The worst delay since the last time that this was asked, in seconds; 0 the first time."""
    worst, LOOP.worst = LOOP.worst, 0.0
    LOOP.watching = LOOP.watching or asyncio.create_task(LOOP.watch())
    return web.json_response(worst)


@PromptServer.instance.routes.get("/probe/loaded")
async def loaded(request: web.Request) -> web.Response:
    """The class names in ComfyUI's list of loaded models."""
    found = (entry.model for entry in comfy.model_management.current_loaded_models)
    return web.json_response(sorted(type(patcher.model).__name__ for patcher in found if patcher is not None))
