"""A pack for tests and benchmarks: modules the server has imported, models it has loaded, how late its event loop was.

And when ComfyUI's own worker collected garbage, which it does after workflows: no thread runs meanwhile.
"""

import asyncio
import gc
import sys
import time

import comfy.model_management
from aiohttp import web
from server import PromptServer

NODE_CLASS_MAPPINGS: dict[str, type] = {}
_STEP = 0.005  # seconds


class Garbage:
    """Notes ComfyUI's collections: from when to when, by the clock that time.perf_counter is for all programs here."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []
        self._begun: float | None = None

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        asked_by = sys._getframe(1).f_code.co_filename  # of one that Python begins itself: whoever makes an object
        if phase == "start" and info["generation"] == 2 and asked_by.endswith("main.py"):
            self._begun = time.perf_counter()
        elif phase == "stop" and self._begun is not None:
            self.spans.append((self._begun, time.perf_counter()))
            self._begun = None

    def began_after(self, moment: float) -> bool:
        return self._begun is not None or any(end > moment for _, end in self.spans[-1:])


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
            if not GARBAGE.began_after(start):
                self.worst = max(self.worst, late)


GARBAGE, LOOP = Garbage(), EventLoop()
gc.callbacks.append(GARBAGE)


@PromptServer.instance.routes.get("/probe/modules")
async def modules(request: web.Request) -> web.Response:
    return web.json_response(sorted(sys.modules))


@PromptServer.instance.routes.get("/probe/delay")
async def delay(request: web.Request) -> web.Response:
    """The worst delay since the last time that this was asked, in seconds; 0 the first time."""
    worst, LOOP.worst = LOOP.worst, 0.0
    LOOP.watching = LOOP.watching or asyncio.create_task(LOOP.watch())
    return web.json_response(worst)


@PromptServer.instance.routes.get("/probe/garbage")
async def garbage(request: web.Request) -> web.Response:
    return web.json_response(GARBAGE.spans)


@PromptServer.instance.routes.get("/probe/loaded")
async def loaded(request: web.Request) -> web.Response:
    """The class names in ComfyUI's list of loaded models."""
    found = (entry.model for entry in comfy.model_management.current_loaded_models)
    return web.json_response(sorted(type(patcher.model).__name__ for patcher in found if patcher is not None))
