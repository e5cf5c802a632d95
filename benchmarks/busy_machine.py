"""Seconds of the quickstart's picture on a machine that others use too: one JSON object a way to compute, turn about.

    .venv/bin/python benchmarks/busy_machine.py [--busy 2 --rounds 3 --steps 20 --ways "waiting asleep,as made here"]

Every way has a process of its own with the bundled models, and paints the same picture, alone and beside `busy`
programs that only compute. Torch's threads wait for each other at the end of every sum, by default spinning, which
takes the processor from the one that is waited for. `of_alone` is to be 3 at most for what the pack does itself: `as
made here` where `make serve`, the demo, the tests or the command line start it, and `as the sampler sets it` in a
ComfyUI that was started by somebody else.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / "dev"))

from places import WAIT_ASLEEP  # noqa: E402

# Way -> what the environment has before torch is loaded, and threads; 0: as many as torch takes.
WAYS: dict[str, tuple[dict[str, str], int]] = {
    "as torch comes": ({}, 0),
    "waiting asleep": (WAIT_ASLEEP, 0),
    "as the sampler sets it": ({}, 1),
    "as made here": (WAIT_ASLEEP, 1),
}
SPIN = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"


def painter(steps: int, threads: int) -> None:
    """Paint once to be warm, then a picture for every line that is read; answer with its seconds."""
    import torch
    from pack import import_pack, load_bundled
    from PIL import Image

    import_pack()
    from style_pack.generation.conditioning.references import Reference
    from style_pack.generation.sampler import generate
    from style_pack.generation.settings import GenerationSettings

    if threads:
        torch.set_num_threads(threads)
    pipeline = load_bundled()
    settings = GenerationSettings("a house as a blueprint", "", 1, steps, 2.0, "ddim", 256, 256, ip_adapter_scale=1.0)
    edges = torch.zeros(1, 3, 256, 256)
    edges[:, :, 64:66] = edges[:, :, :, 128:130] = 1
    reference = [Reference(Image.new("RGB", (256, 256), (20, 60, 140)))]
    generate(pipeline, settings, edges, reference)
    print("ready", torch.get_num_threads(), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        generate(pipeline, settings, edges, reference)
        print(time.perf_counter() - start, flush=True)


class Painter:
    def __init__(self, way: str, steps: int) -> None:
        environment, threads = WAYS[way]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
        command = [sys.executable, __file__, "--steps", str(steps), "--threads", str(threads), "--paint"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=kept | environment
        )
        self.threads = int(self._answer().split()[1])
        self.seconds: dict[bool, list[float]] = {False: [], True: []}  # whether others were busy

    def paint(self, beside_others: bool) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self.seconds[beside_others].append(float(self._answer()))

    def end(self) -> None:
        self._process.kill()
        self._process.wait()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the painter has ended"
        return line


@contextlib.contextmanager
def others(count: int) -> Iterator[None]:
    """So many programs that only compute."""
    running = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for program in running:
            program.kill()
            program.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the quickstart's picture on a busy machine.")
    parser.add_argument("--busy", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--threads", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--paint", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.paint:
        return painter(asked.steps, asked.threads)
    painters: dict[str, Painter] = {}
    try:
        for way in asked.ways.split(","):
            painters[way] = Painter(way, asked.steps)
        for _ in range(asked.rounds):
            for busy in (0, asked.busy):
                with others(busy):
                    for one in painters.values():
                        one.paint(busy > 0)
    finally:
        for one in painters.values():
            one.end()
    for way, one in painters.items():
        alone, beside = median(one.seconds[False]), median(one.seconds[True])
        print(json.dumps({"benchmark": "busy_machine", "way": way, "threads": one.threads, "processors": os.cpu_count(),
                          "busy": asked.busy, "alone": round(alone, 3), "beside_others": round(beside, 3),
                          "of_alone": round(beside / alone, 2)}))  # fmt: skip


if __name__ == "__main__":
    main()
