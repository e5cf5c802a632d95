"""What the pack does on a graphics card: parity, seconds, memory, a shortage of it, and interrupts, in minutes.

    python benchmarks/gpu.py [--budget 470 --size full|small --device cuda --sides 512,768 --steps 20 --rounds 2]

For a machine with CUDA and little else, and no network: beside torch and transformers it needs the wheels diffusers,
torchvision, numpy, pillow and safetensors, with what they ask for themselves. `full` draws random weights of SD 1.5's
sizes on the card, in fp16: 5 GB there; `small` has narrower ones, for a processor. The stock graph is measured where a
ComfyUI is (COMFYUI_PATH, else .comfyui); its requirements are needed then.

Prints one JSON object a line, and at once, so that a run that is cut leaves its figures. A part that `--budget`, in
seconds, leaves no time for says so in its line (`skipped`), and one that fails (`failed`) ends only itself; then the
exit code is 1. Memory is what torch allocated, in bytes. Without CUDA memory is not measured and a shortage is
pretended.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from full_size import write_lora
from gpu_sides import LCM, Bench
from style_pack.generation.device import OUT_OF_MEMORY
from style_pack.generation.loading.pipeline import add_lora
from style_pack.generation.memory_need import decoding_bytes, sampling_bytes
from style_pack.generation.settings import GenerationSettings

PARITY_STEPS = 8
PARITY_SCHEDULERS = ("dpmpp_2m_karras", "euler", "ddim")
SHARES = (1.5, 0.7, 0.35)  # of the activations' memory, that a run is left with
INTERRUPTS = 5
SPARE = 200 * 2**20  # bytes, for the libraries' workspaces
ERRORS = (RuntimeError, ValueError, TypeError, AttributeError, KeyError, AssertionError, ImportError, OSError)

Line = dict[str, Any]


def say(part: str, **found: Any) -> None:
    print(json.dumps({"benchmark": "gpu", "part": part} | found), flush=True)


def parity(bench: Bench) -> Iterator[Line]:
    """Latents against plain diffusers' with the same weights. Both from fp32 ones too, where those find room."""
    dtype = str(bench.dtype).removeprefix("torch.")
    for scheduler in PARITY_SCHEDULERS:
        settings = replace(bench.settings, scheduler=scheduler, num_inference_steps=min(bench.steps, PARITY_STEPS))
        ours, theirs = bench.ours(settings).latents, bench.diffusers(settings, output_type="latent")
        line = {"scheduler": scheduler, "dtype": dtype, "steps": settings.num_inference_steps}
        line |= distance("from_diffusers", ours, theirs)
        if bench.dtype != torch.float32 and bench.has_room_for_fp32():
            wide = bench.widened()
            exact = wide.ours(settings).latents
            line |= distance("fp32_from_diffusers_in_fp32", exact, wide.diffusers(settings, output_type="latent"))
            line |= distance("from_fp32", ours, exact) | distance("diffusers_from_fp32", theirs, exact)
            del wide
        yield line


def distance(name: str, one: torch.Tensor, other: torch.Tensor) -> Line:
    far = (one.float() - other.float()).abs()
    return {f"{name}_mean": float(f"{far.mean():.2g}"), f"{name}_largest": float(f"{far.max():.2g}")}


def seconds(bench: Bench, rounds: int, folder: Path) -> Iterator[Line]:
    """Medians of whole pictures. Ours have prompt and reference encoded from the run before, diffusers encodes both."""
    fast = add_lora(bench.pipeline, write_lora(folder / "lcm.safetensors", bench.pipeline, *LCM, strength=0.01), 1.0)
    exact, turbo = bench.settings, partial(replace, bench.settings, speed="turbo")
    sides: dict[str, tuple[GenerationSettings, Callable[[GenerationSettings], Any]]] = {
        "diffusers": (exact, bench.diffusers),
        "exact": (exact, bench.ours),
        "balanced": (replace(exact, speed="balanced"), bench.ours),
        "turbo, 8 steps": (turbo(num_inference_steps=8), partial(bench.ours, pipeline=fast)),
        "turbo, 4 steps": (turbo(num_inference_steps=4), partial(bench.ours, pipeline=fast)),
    }
    found: dict[str, float] = {}
    for name, (settings, paint) in sides.items():
        paint(replace(settings, num_inference_steps=2))  # warms up
        found[name] = median(took(bench, partial(paint, settings)) for _ in range(rounds))
        share = found[name] / found["diffusers"]
        yield {"what": name, "seconds": round(found[name], 3), "of_diffusers": round(share, 3)}


def took(bench: Bench, paint: Callable[[], Any]) -> float:
    start = bench.now()
    paint()
    return bench.now() - start


def stock(bench: Bench, rounds: int, folder: Path) -> Iterator[Line]:
    """The same picture by ComfyUI's own nodes, with the same weights; `exact` once more beside it."""
    if not bench.has_comfyui():
        yield {"skipped": "there is no ComfyUI here: name one by COMFYUI_PATH"}
        return
    paint = bench.stock(folder / "comfyui")
    paint()
    stock_seconds = median(took(bench, paint) for _ in range(rounds))
    exact = median(took(bench, partial(bench.ours, bench.settings)) for _ in range(rounds))
    yield {"what": "stock", "seconds": round(stock_seconds, 3), "exact_of_stock": round(exact / stock_seconds, 3)}


def memory(bench: Bench, sides: list[int]) -> Iterator[Line]:
    """Peaks of a whole picture beside the weights on the card; `told` is what ComfyUI would make room for."""
    for side in sides:
        settings = replace(bench.settings, width=side, height=side, num_inference_steps=min(bench.steps, 4))
        told = {
            "sampling_told": sampling_bytes(bench.pipeline.denoiser.unet, 2, side, side, fused=True),
            "decoding_told": decoding_bytes(bench.pipeline.vae, side, side),
        }
        for name, paint in (("exact", bench.ours), ("diffusers", bench.diffusers)):
            weights = bench.start_of_peak()
            paint(settings)
            yield {"what": name, "side": side, "peak": bench.peak(), "weights": weights} | told


def ladder(bench: Bench, side: int) -> Iterator[Line]:
    """A run whose memory is capped: what it does about it, and how far the picture lies from that without a cap."""
    settings = replace(bench.settings, width=side, height=side, num_inference_steps=min(bench.steps, 4))
    whole = bench.ours(settings).latents.cpu()
    for share in SHARES:
        line: Line = {"side": side, "share_of_activations": share}
        needed = int(share * sampling_bytes(bench.pipeline.denoiser.unet, 2, side, side, fused=True))
        with bench.capped(needed + SPARE) as cap:
            try:
                result = bench.ours(settings)
                line |= {"measures": result.memory_steps, "decoded_in": result.decoded_in}
                line |= distance("from_whole", result.latents.cpu(), whole)
            except OUT_OF_MEMORY as error:
                line |= {"gave_up": str(error)}
        bench.everything_back()
        again = distance("afterwards", bench.ours(settings).latents.cpu(), whole)
        yield line | {"cap": cap} | again


def interrupt(bench: Bench) -> Iterator[Line]:
    """Seconds from the user's interrupt, at many moments of a picture, until the run has ended and the card is idle."""
    whole, waits = took(bench, partial(bench.ours, bench.settings)), []
    for number in range(INTERRUPTS):
        told = threading.Event()
        moment: list[float] = []

        def tell(told: threading.Event = told, moment: list[float] = moment) -> None:
            moment.append(time.perf_counter())
            told.set()

        timer = threading.Timer(whole * (number + 0.5) / INTERRUPTS * 0.9, tell)
        timer.start()
        ended = bench.until(told)
        timer.join()
        if ended:
            waits.append(bench.now() - moment[0])
    yield {"picture": round(whole, 3), "tried": INTERRUPTS, "ended": len(waits),
           "seconds": [round(wait, 3) for wait in waits]}  # fmt: skip


def main() -> int:
    asked = parse_arguments()
    end = time.monotonic() + asked.budget
    say("machine", **Bench.machine(asked.device), size=asked.size, budget=asked.budget)
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.perf_counter()
        bench = Bench(folder, asked.size, asked.device, asked.sides[0], asked.steps)
        say("weights", seconds=round(time.perf_counter() - start, 2), bytes=bench.start_of_peak())
        parts: dict[str, Callable[[], Iterator[Line]]] = {
            "seconds": partial(seconds, bench, asked.rounds, folder),
            "memory": partial(memory, bench, asked.sides),
            "parity": partial(parity, bench),
            "interrupt": partial(interrupt, bench),
            "ladder": partial(ladder, bench, asked.sides[-1]),
            "stock graph": partial(stock, bench, asked.rounds, folder),
        }
        for part, lines in parts.items():
            failed |= not run_part(part, lines, end)
    return int(failed)


def run_part(part: str, lines: Callable[[], Iterator[Line]], end: float) -> bool:
    """Print a part's lines while there is time, and return whether it went well."""
    if time.monotonic() > end:
        say(part, skipped="the time budget is used up")
        return True
    start = time.perf_counter()
    try:
        for line in lines():
            say(part, **line)
            if time.monotonic() > end:
                say(part, cut="the time budget is used up")
                break
    except ERRORS as error:
        traceback.print_exc()
        say(part, failed=f"{type(error).__name__}: {error}")
        return False
    finally:
        gc.collect()
    say(part, took=round(time.perf_counter() - start, 2))
    return True


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Parity, seconds, memory, shortage and interrupts on a card.")
    parser.add_argument("--budget", type=float, default=470, help="seconds")
    parser.add_argument("--size", choices=("full", "small"), default="full")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--sides", type=lambda text: [int(side) for side in text.split(",")], default=[512, 768])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
