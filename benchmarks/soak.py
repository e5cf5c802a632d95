"""A real ComfyUI for a long day in short: what holds at its end, and what has grown, as one JSON object.

    .venv/bin/python benchmarks/soak.py --prompts 200

Workflows are queued, a few ahead; some are interrupted while they paint, some are taken out of the queue, now and then
ComfyUI is told to unload everything, and a knowledge base is deleted and made again. Beside it one client adds, edits,
removes and restores styles by the routes, and another searches and looks at thumbnails. `wrong` says what did not hold:
a prompt that ended otherwise, an answer that was no 200, red in the log, a style that was reported and is not there, or
one that is there and was not. Memory, open files and threads are those of ComfyUI and of all processes that it started:
the median of the first quarter of the prompts, of the last, and what that is of the first.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import random
import re
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image
from process_sizes import GROWTH, quarters, sizes_of

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "dev"), str(ROOT / "tests")]

from comfy_client import error_sentence  # noqa: E402
from comfyui import ComfyServer  # noqa: E402
from http_calls import add, call, send_json  # noqa: E402

WORKFLOWS = ("quickstart", "turbo", "several_references", "compare_with_and_without_rag")
STEPS, LONG = 2, 80  # of a prompt, and of one that is to be interrupted
SIDE = 64  # pixels
AHEAD = 3  # prompts that wait in the queue
INTERRUPT, DROP, FREE, DELETE = 7, 9, 20, 25  # every so many prompts
EDITED, DELETED = "edited", "starter"  # knowledge bases
MOST_STYLES = 40  # in the one that is edited
RED = re.compile(r"Traceback|\[ERROR\]|!!! Exception|Error handling request|IMPORT FAILED|Exception in", re.IGNORECASE)
WORDS = ("house", "tree", "harbour", "boat", "hill", "ink", "blueprint", "watercolour", "crayon", "oil")

Json = dict[str, Any]


@dataclass
class Day:
    """What was seen. styles: ids that were reported as stored. over: when nobody should begin anything more."""

    chance: random.Random
    wrong: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    styles: set[str] = field(default_factory=set)
    sizes: list[dict[str, int]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def expect(self, holds: bool, what: str) -> None:
        if not holds:
            self.wrong.append(what)


def workflow(name: str, prompt: str, seed: int, steps: int) -> Json:
    """A bundled workflow, small."""
    api = copy.deepcopy(json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8")))
    for node in api.values():
        kind, inputs = node["class_type"], node["inputs"]
        if kind == "PrimitiveStringMultiline":
            inputs["value"] = prompt
        if kind == "ControlNetIPAdapterSampler":
            inputs.update(steps=steps, seed=seed)
        if kind == "CannyFromSketch" or (kind == "ControlNetIPAdapterSampler" and "edges" not in inputs):
            inputs.update(width=SIDE, height=SIDE)
    return api


def run_prompts(server: ComfyServer, day: Day, count: int) -> None:
    waiting: list[tuple[str, str]] = []  # (prompt id, how it should end)
    for number in range(1, count + 1):
        ends = "interrupted" if number % INTERRUPT == 0 else "dropped" if number % DROP == 0 else "success"
        steps = LONG if ends == "interrupted" else STEPS
        words = " ".join(day.chance.sample(WORDS, 3))
        name = day.chance.choice(WORKFLOWS) if ends == "success" else "quickstart"
        waiting.append((server.post_prompt(workflow(name, words, number, steps), client_id="soak"), ends))
        if ends == "interrupted":
            interrupt(server, waiting[-1][0])
        if ends == "dropped":
            server.post_json("/queue", {"delete": [waiting[-1][0]]})
        if number % FREE == 0:
            server.post_json("/free", {"unload_models": True, "free_memory": True})
        deletes = number % DELETE == 0
        while len(waiting) > (0 if deletes or number == count else AHEAD):
            settle(server, day, *waiting.pop(0))
        if deletes:
            delete_knowledge_base(server, day, by_route=number % (2 * DELETE) == 0)


def interrupt(server: ComfyServer, prompt_id: str) -> None:
    """Once it runs."""
    while prompt_id not in [entry[1] for entry in server.get_json("/queue")["queue_running"]]:
        if server.get_json(f"/history/{prompt_id}"):
            return
        time.sleep(0.02)
    time.sleep(0.2)
    server.interrupt()


def settle(server: ComfyServer, day: Day, prompt_id: str, ends: str) -> None:
    """Wait for a prompt's end, and look whether it is one that it may have: an order can come too late."""
    while not (entry := server.get_json(f"/history/{prompt_id}").get(prompt_id)):
        queue = server.get_json("/queue")
        known = [waiting[1] for waiting in queue["queue_running"] + queue["queue_pending"]]
        if prompt_id not in known and prompt_id not in server.get_json(f"/history/{prompt_id}"):
            break
        server.check_alive()
        time.sleep(0.05)
    kinds = [kind for kind, _ in entry["status"]["messages"]] if entry else []
    found = "dropped" if not entry else entry["status"]["status_str"]
    found = "interrupted" if "execution_interrupted" in kinds else found
    told = error_sentence(entry) if entry else ""
    day.expect(found in (ends, "success"), f"prompt {prompt_id} ended as {found}, not {ends}: {told}")
    day.done[found] += 1
    assert server.process
    day.sizes.append(sizes_of(server.process.pid))


def delete_knowledge_base(server: ComfyServer, day: Day, by_route: bool) -> None:
    """By the tab's button, or as people do: its folder is gone. The next workflow makes it again."""
    if by_route:
        answered(day, call(server, "DELETE", DELETED).status, "delete")
    else:
        shutil.rmtree(server.base / "user" / "__style_rag" / DELETED)
        day.done["folder deleted"] += 1


def edit(server: ComfyServer, day: Day) -> None:
    """Add, describe, remove, restore; the ledger follows what was answered."""
    removed: list[str] = []
    for number in range(1, 4000):
        if day.over.is_set():
            return
        if len(day.styles) < MOST_STYLES:
            day.styles |= set(add(server, EDITED, [number], "red", "warm"))
            day.done["added"] += 1
        id = day.chance.choice(sorted(day.styles))
        what = day.chance.randrange(3)
        if what == 0:
            said = {"caption": f"seen {number}", "tags": ["seen"]}
            answered(day, send_json(server, "PATCH", f"{EDITED}/styles/{id}", said).status, "describe")
        elif what == 1 and len(day.styles) > MOST_STYLES // 2:
            answered(day, call(server, "DELETE", f"{EDITED}/styles/{id}").status, "remove")
            day.styles.discard(id)
            removed.append(id)
        elif removed:
            id = removed.pop()
            answered(day, call(server, "POST", f"{EDITED}/styles/{id}/restore").status, "restore")
            day.styles.add(id)
        time.sleep(0.1)


def look(server: ComfyServer, day: Day) -> None:
    """Search both knowledge bases and look at thumbnails, as the tab does. One that is deleted just now may be gone."""
    while not day.over.is_set():
        words = quote(" ".join(day.chance.sample(WORDS, 2)))
        for name in (EDITED, DELETED):
            status = call(server, "GET", f"{name}/search?q={words}&top_k=3").status
            answered(day, 200 if status == 404 else status, f"search {name}")
        answered(day, call(server, "GET", "knowledge_bases").status, "list")
        if ids := sorted(day.styles):
            status = call(server, "GET", f"{EDITED}/styles/{day.chance.choice(ids)}/thumbnail").status
            answered(day, 200 if status == 404 else status, "thumbnail")  # removed between the two
        time.sleep(0.1)


def answered(day: Day, status: int, what: str) -> None:
    day.done[what] += 1
    day.expect(status == 200, f"{what} was answered with {status}")


def check_end(server: ComfyServer, day: Day, growth: Json, long: bool) -> None:
    stored = call(server, "GET", f"{EDITED}/styles?limit=200").json["styles"]
    ids = {style["id"] for style in stored}
    day.expect(ids == day.styles, f"{len(day.styles - ids)} styles are lost, {len(ids - day.styles)} were not reported")
    for style in stored:
        picture = call(server, "GET", f"{EDITED}/styles/{style['id']}/image")
        day.expect(picture.status == 200, f"picture {style['id']} was answered with {picture.status}")
        Image.open(io.BytesIO(picture.body)).load()
    red = [line for line in server.log_text().splitlines() if RED.search(line)]
    day.expect(not red, f"{len(red)} red lines in the log, such as {red[:1]}")
    day.expect("system" in server.get_json("/system_stats"), "ComfyUI does not say how it is")
    for name, limit in GROWTH.items() if long else ():
        day.expect(growth[name]["of_first"] <= limit, f"{name} grew from the first quarter to the last")


@contextlib.contextmanager
def beside(day: Day, *work: Callable[[], None]) -> Iterator[None]:
    """Do other work at the same time; what it raises is wrong as well."""

    def noted(one: Callable[[], None]) -> None:
        try:
            one()
        except Exception as error:  # noqa: BLE001 - any end of a client but the day's is told of
            day.wrong.append(f"a client ended with {type(error).__name__}: {error}")

    threads = [threading.Thread(target=noted, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        day.over.set()
        for thread in threads:
            thread.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=Path, help="where ComfyUI's log is kept")
    chosen = parser.parse_args()
    day, began = Day(random.Random(chosen.seed)), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="soaked ") as base, ComfyServer(Path(base), cpu=True) as server:
        day.styles |= set(add(server, EDITED, range(1001, 1006), "blue"))
        with beside(day, lambda: edit(server, day), lambda: look(server, day)):
            run_prompts(server, day, chosen.prompts)
        growth = quarters(day.sizes)
        check_end(server, day, growth, chosen.prompts >= 100)
        if chosen.log:
            chosen.log.write_text(server.log_text())
    seconds = round(time.perf_counter() - began, 1)
    counts = {"prompts": chosen.prompts, "seconds": seconds, **day.done, "styles": len(day.styles)}
    print(json.dumps({**counts, **growth, "wrong": day.wrong[:20], "wrong_in_all": len(day.wrong)}))
    return int(bool(day.wrong))


if __name__ == "__main__":
    sys.exit(main())
