"""Odd inputs through every way into the pack, as many as one has time for: one JSON object a way, and a sum.

    .venv/bin/python benchmarks/fuzz.py --inputs 100000
    .venv/bin/python benchmarks/fuzz.py --inputs 2000 --only "filter,PNG chunks" --engines coverage

A quarter of them come from Hypothesis, by the rules of `tests/fuzz/fuzz_inputs.py`, and the others from atheris, which
is guided by what an input makes run in the pack and in Pillow's readers (Linux on x86; `pip install atheris`).
`unexpected` counts what nobody answers for: an exception that no caller expects, more than 10 s of a processor, more
than 1 GB, a dead process. Each kind's smallest input is kept in the folder that is named at the end.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import hashlib
import importlib
import json
import math
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("tests", "tests/fuzz", "tests/retrieval", "dev")]

from fuzz_engines import ENGINES, Record  # noqa: E402
from fuzz_watch import Target  # noqa: E402

MODULES = ("fuzz_targets", "fuzz_stored", "fuzz_models", "fuzz_nodes")
SILENT = 180  # seconds without a new input, after which a process hangs
DEATHS = 5  # of processes of one way and engine, after which it is given up

Json = dict[str, Any]


def ways(engine: str, only: Sequence[str]) -> dict[str, Target]:
    """All ways into the pack, or some; for the coverage-guided engine with what tells it which lines run."""
    import conftest  # which makes the pack importable

    watched = contextlib.nullcontext()
    if engine == "coverage":
        atheris = importlib.import_module("atheris")  # which not every system has
        watched = atheris.instrument_imports(include=["style_pack", "PIL", "zipfile", *MODULES])
    found: dict[str, Target] = {}
    for module in MODULES:
        if only and found.keys() >= set(only):
            break
        if module == "fuzz_nodes":
            base = Path(tempfile.mkdtemp(prefix="fuzzed base "))
            atexit.register(shutil.rmtree, base, ignore_errors=True)
            conftest.prepare_base(base)
            conftest.import_comfyui(base)
        with watched:
            found |= importlib.import_module(module).TARGETS
    return {name: target for name, target in found.items() if not only or name in only}


_SHARES = {"hypothesis": 0.25, "coverage": 0.75}  # of the inputs: it is so many times as quick


def examine(name: str, target: Target, engine: str, wanted: int, seed: int, kept: Path) -> Json:
    """Look at so many inputs of one way by one engine, in forks of this process."""
    inputs, deaths, unexpected = 0, 0, dict[str, int]()
    began = time.perf_counter()
    while inputs < wanted and deaths < DEATHS:
        with tempfile.TemporaryDirectory(prefix="fuzz ") as made:
            folder = Path(made)
            code = _fork(target, engine, wanted - inputs, seed + deaths, folder)
            found = _found(folder, code)
        inputs += found["inputs"]
        deaths += code != 0
        for kind, (count, data) in found["unexpected"].items():
            unexpected[kind] = unexpected.get(kind, 0) + count
            _keep(kept, name, kind, bytes.fromhex(data))
        if code == 0:
            break
    seconds = round(time.perf_counter() - began, 1)
    return {"way": name, "engine": engine, "inputs": inputs, "seconds": seconds, "unexpected": unexpected}


def _fork(target: Target, engine: str, wanted: int, seed: int, folder: Path) -> int | None:
    """Run an engine in a process of its own until that ends, or hangs; return its exit code, None for a hang."""
    current = folder / "current"
    current.write_bytes(bytes(8))
    child = os.fork()
    if not child:
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 1)
        os.dup2(log, 2)
        tempfile.tempdir = str(folder)
        try:
            ENGINES[engine](Record(target, folder, wanted), seed)
        except BaseException:  # noqa: BLE001 - it is written down, and the child ends whatever it was
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.1)
        if time.time() - current.stat().st_mtime > SILENT:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None


def _found(folder: Path, code: int | None) -> Json:
    if code == 0:
        return json.loads((folder / "record.json").read_text())
    current = (folder / "current").read_bytes()
    log = (folder / "log").read_text(errors="replace").strip().splitlines()
    kind = "hangs" if code is None else f"process ended with {code}: {log[-1][:200] if log else ''}"
    return {"inputs": int.from_bytes(current[:8], "little"), "unexpected": {kind: [1, current[8:].hex()]}}


def _keep(folder: Path, name: str, kind: str, data: bytes) -> None:
    """Keep the smallest input of a kind, with what it is beside it."""
    path = folder / hashlib.sha256(f"{name} {kind}".encode()).hexdigest()[:12]
    if not path.exists() or len(data) < path.stat().st_size:
        path.write_bytes(data)
        path.with_suffix(".txt").write_text(f"{name}: {kind}\n{data[:400]!r}\n")


def shares(looked: dict[str, Target], inputs: float) -> dict[str, int]:
    """Part the inputs among the ways, fewer for those that take long."""
    whole = sum(1 / target.cost for target in looked.values())
    return {name: max(2, math.ceil(inputs / whole / target.cost)) for name, target in looked.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--engines", default=",".join(ENGINES), help="each in a process of its own")
    parser.add_argument("--only", default="", help="names of ways into the pack, with commas between them")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kept", type=Path, help="the folder where odd inputs are kept")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    kept = chosen.kept or Path(tempfile.mkdtemp(prefix="fuzz found "))
    kept.mkdir(parents=True, exist_ok=True)
    if not chosen.alone:
        return run_engines(chosen.engines.split(","), chosen.inputs, chosen.only, chosen.seed, kept)
    looked = ways(chosen.engines, [name for name in chosen.only.split(",") if name])
    for name, wanted in shares(looked, chosen.inputs).items():
        print(json.dumps(examine(name, looked[name], chosen.engines, wanted, chosen.seed, kept)), flush=True)
    return 0


def run_engines(engines: Sequence[str], inputs: int, only: str, seed: int, kept: Path) -> int:
    """Run the engines beside one another, and print what they print and the sum of it."""
    began, seen, unexpected = time.perf_counter(), 0, 0
    whole = sum(_SHARES[engine] for engine in engines)
    common = ["--alone", "--only", only, "--seed", str(seed), "--kept", str(kept)]
    commands = []
    for engine in engines:
        its = math.ceil(inputs * _SHARES[engine] / whole)
        commands.append([sys.executable, __file__, "--engines", engine, "--inputs", str(its), *common])
    programs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    with selectors.DefaultSelector() as waiting:
        for program in programs:
            assert program.stdout
            waiting.register(program.stdout, selectors.EVENT_READ)
        while waiting.get_map():
            for key, _ in waiting.select():
                line = key.fileobj.readline()  # pyright: ignore[reportAttributeAccessIssue] - it is a stream
                if not line:
                    waiting.unregister(key.fileobj)
                    continue
                print(line, end="", flush=True)
                seen += json.loads(line)["inputs"]
                unexpected += sum(json.loads(line)["unexpected"].values())
    failed = [program.args for program in programs if program.wait()]
    seconds = round(time.perf_counter() - began)
    print(json.dumps({"inputs": seen, "seconds": seconds, "unexpected": unexpected, "kept": str(kept)}))
    return int(unexpected > 0 or bool(failed))


if __name__ == "__main__":
    sys.exit(main())
