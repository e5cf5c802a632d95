"""How long other routes of a real ComfyUI take while styles are searched, added and ingested: one JSON object.

A search is sent every 50 ms whether or not the last one has been answered, while a workflow ingests pictures and a
client adds some over HTTP. Meanwhile ComfyUI's own /queue and a thumbnail are asked for, each 20 times a second. Client
and server share the processors: `spinning` tells what two programs that only compute do to the same routes, and
`comfyui` what ComfyUI itself does to them, which collects garbage after a workflow, of nodes of its own alone: no
thread of it runs meanwhile. `ours` is the longest delay of an answer that no such collection fell into.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "dev"))

from comfy_base import PACK_NAME  # noqa: E402
from comfyui import ComfyServer  # noqa: E402
from places import ROOT  # noqa: E402

SECONDS = 12.0  # of each phase
PAUSE = 0.05  # seconds between two searches, and between two looks at another route
INGESTED = 400  # pictures of a workflow; when they are in, they are embedded anew
SIDE = 512  # pixels
POSTED = 10  # pictures of a request
PROBE = ROOT / "tests" / "server" / "probe"
ENCODER = "bundled/clip-tiny"
WANTED = 100.0  # milliseconds that no other route is delayed by

Looks = list[tuple[float, float]]  # when something was asked, in seconds, and how long that took, in milliseconds
Work = Callable[[aiohttp.ClientSession], Awaitable[None]]


def make_pictures(count: int, seed: int) -> list[bytes]:
    """Pictures of soft colours, as JPEG; each is another."""
    draw = np.random.default_rng(seed)
    pictures = []
    for _ in range(count):
        small = Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        stream = io.BytesIO()
        small.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
        pictures.append(stream.getvalue())
    return pictures


def workflow(name: str, sources: str, update: str) -> dict[str, Any]:
    inputs = {"name": name, "sources": sources, "encoder": ENCODER, "update": update}
    look = {"source": ["1", 1]}
    return {
        "1": {"class_type": "StyleKnowledgeBase", "inputs": inputs},
        "2": {"class_type": "PreviewAny", "inputs": look},
    }


async def run_workflow(comfy: aiohttp.ClientSession, api: dict[str, Any]) -> None:
    async with comfy.post("/prompt", json={"prompt": api, "client_id": "responsiveness"}) as answer:
        prompt_id = (await answer.json())["prompt_id"]
    history: dict[str, Any] = {}
    while not history:
        await asyncio.sleep(0.2)
        async with comfy.get(f"/history/{prompt_id}") as answer:
            history = await answer.json()
    assert history[prompt_id]["status"]["status_str"] == "success", history[prompt_id]["status"]


async def ingest(comfy: aiohttp.ClientSession) -> None:
    while True:
        await run_workflow(comfy, workflow("ingested", "pictures", "rebuild"))
        await run_workflow(comfy, workflow("ingested", "", "open"))  # so that the next rebuild is not a cached one


async def run_comfyuis_own(comfy: aiohttp.ClientSession) -> None:
    for number in range(10**6):
        text = {"class_type": "PrimitiveString", "inputs": {"value": str(number)}}
        await run_workflow(comfy, {"1": text, "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}})


async def post(comfy: aiohttp.ClientSession, pictures: list[bytes]) -> None:
    for first in range(0, len(pictures), POSTED):
        form = aiohttp.FormData({"encoder": ENCODER})
        for number, picture in enumerate(pictures[first : first + POSTED]):
            form.add_field("images", picture, filename=f"{number}.jpg")
        async with comfy.post("/style_rag/posted/styles", data=form) as answer:
            assert answer.status == 200, await answer.text()


class Searches:
    """A search every 50 ms, and how long each took, in milliseconds."""

    def __init__(self) -> None:
        self.spent: list[float] = []

    async def __call__(self, comfy: aiohttp.ClientSession) -> None:
        going: set[asyncio.Task[None]] = set()
        try:
            for number in range(10**6):
                going.add(asyncio.create_task(self.search(comfy, number)))
                await asyncio.sleep(PAUSE)
                for task in [task for task in going if task.done()]:
                    going.remove(task)
                    await task
        finally:
            for task in going:
                task.cancel()

    async def search(self, comfy: aiohttp.ClientSession, number: int) -> None:
        started = time.perf_counter()
        asked = {"q": f"a harbour at dusk in style {number}", "top_k": "20"}
        async with comfy.get("/style_rag/starter/search", params=asked) as answer:
            assert answer.status == 200, await answer.text()
            await answer.read()
        self.spent.append((time.perf_counter() - started) * 1000)


async def watch(comfy: aiohttp.ClientSession, path: str) -> Looks:
    """Look at a route for the time of a phase."""
    looks, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        started = time.perf_counter()
        async with comfy.get(path) as answer:
            assert answer.status == 200, await answer.text()
            await answer.read()
        looks.append((started, (time.perf_counter() - started) * 1000))
        await asyncio.sleep(PAUSE)
    return looks


@contextlib.asynccontextmanager
async def going_on(address: str, works: list[Work]) -> AsyncIterator[None]:
    """Others' requests, on connections of their own."""
    async with session(address) as comfy:
        tasks = [asyncio.create_task(work(comfy)) for work in works]  # type: ignore[arg-type]
        yield
        failed = [error for task in tasks if task.done() and (error := task.exception())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await wait_until_idle(comfy)
    if failed:
        raise failed[0]


def session(address: str) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=0)
    return aiohttp.ClientSession(address, connector=connector, timeout=aiohttp.ClientTimeout(120))


async def wait_until_idle(comfy: aiohttp.ClientSession) -> None:
    async with comfy.post("/interrupt", json={}):
        pass
    while True:
        async with comfy.get("/queue") as answer:
            if not any((await answer.json()).values()):
                return
        await asyncio.sleep(0.1)


def spin() -> None:
    while True:
        pass


@contextlib.contextmanager
def spinning() -> Any:
    """Two programs that compute and never wait: what the operating system makes of two processors."""
    programs = [multiprocessing.Process(target=spin, daemon=True) for _ in range(2)]
    for program in programs:
        program.start()
    yield
    for program in programs:
        program.terminate()


def told(spent: list[float]) -> dict[str, float]:
    """Milliseconds: the median, the slowest of a hundred, the slowest."""
    row = {"p50": statistics.median(spent), "p99": float(np.percentile(spent, 99)), "max": max(spent)}
    return {name: round(value, 1) for name, value in row.items()} | {"looks": len(spent)}


def delayed(looks: Looks, calm: float, garbage: list[list[float]]) -> dict[str, float]:
    """As `told`, and how far the slowest lies above the calm median: of all, and of those without a collection."""
    ours = [ms for at, ms in looks if not any(at < end and start < at + ms / 1000 for start, end in garbage)]
    row = {"delay": max(ms for _, ms in looks) - calm, "ours": max(ours) - calm}
    return told([ms for _, ms in looks]) | {name: round(value, 1) for name, value in row.items()}


async def measure(comfy: aiohttp.ClientSession, address: str, phases: dict[str, list[Work]]) -> dict[str, Any]:
    async with comfy.get("/style_rag/starter/styles?limit=1") as answer:
        [style] = (await answer.json())["styles"]
    routes = {"queue": "/queue", "thumbnail": f"/style_rag/starter/styles/{style['id']}/thumbnail"}
    calm: dict[str, float] = {}
    result: dict[str, Any] = {}
    for phase, works in phases.items():
        searches = next((work for work in works if isinstance(work, Searches)), None)
        with spinning() if phase == "spinning" else contextlib.nullcontext():
            async with going_on(address, works):
                looks = await asyncio.gather(*(watch(comfy, path) for path in routes.values()))
        by_route = dict(zip(routes, looks, strict=True))
        calm = calm or {name: statistics.median(ms for _, ms in found) for name, found in by_route.items()}
        async with comfy.get("/probe/garbage") as answer:
            garbage = await answer.json()
        result[phase] = {name: delayed(found, calm[name], garbage) for name, found in by_route.items()}
        if searches:
            result[phase]["search"] = told(searches.spent)
            searches.spent = []
    return result


async def main() -> None:
    posted = make_pictures(2000, 1)
    with ComfyServer(cpu=True, packs={PACK_NAME: ROOT, "probe": PROBE}) as server:
        folder = server.base / "input" / "pictures"
        folder.mkdir()
        for number, picture in enumerate(make_pictures(INGESTED, 0)):
            (folder / f"{number}.jpg").write_bytes(picture)
        async with session(server.base_url) as comfy:
            await run_workflow(comfy, workflow("starter", "styles", "sync"))
            searches = Searches()
            await searches.search(comfy, 0)  # loads the encoder
            await post(comfy, make_pictures(1, 2))
            phases: dict[str, list[Work]] = {
                "calm": [],
                "spinning": [],
                "comfyui": [run_comfyuis_own],
                "search": [searches],
                "ingest": [ingest],
                "search_ingest_post": [searches, ingest, lambda comfy: post(comfy, posted)],
            }
            result = await measure(comfy, server.base_url, phases)
    busiest = result["search_ingest_post"]
    kept = all(busiest[name]["ours"] <= WANTED for name in ("queue", "thumbnail"))
    print(json.dumps({"benchmark": "responsiveness", "unit": "ms", "kept": kept, "wanted": WANTED} | result))


if __name__ == "__main__":
    asyncio.run(main())
