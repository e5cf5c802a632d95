"""Odd inputs through every way into the pack, as many as one has time for: one JSON object a way, and a sum.

    .venv/bin/python benchmarks/fuzz.py --inputs 100000
    .venv/bin/python benchmarks/fuzz.py --inputs 2000 --only "filter,PNG chunks" --engines coverage

Half of them come from Hypothesis, by the rules of `tests/fuzz/fuzz_inputs.py`, and half from atheris, which is guided
by what an input makes run in the pack and in Pillow's readers (Linux on x86; `pip install atheris`). `unexpected`
counts what nobody answers for: an exception that no caller expects, more than 10 s of a processor, more than 1 GB, a
dead process. Each kind's smallest input is kept in the folder that is named at the end.
"""

from __future__ import annotations

import argparse
import atexit
import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("tests", "tests/fuzz", "tests/retrieval", "dev")]

if TYPE_CHECKING:
    from fuzz_watch import Target

MODULES = ("fuzz_targets", "fuzz_models", "fuzz_nodes")
ENGINES = ("hypothesis", "coverage")
SILENT = 180  # seconds without a new input, after which a process hangs
DEATHS = 5  # of processes of one way and engine, after which it is given up

Json = dict[str, Any]


@dataclass
class Record:
    """What one process has seen. The input it looks at is in a file, in case that ends the process."""

    target: Target
    folder: Path
    wanted: int
    inputs: int = 0
    unexpected: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    def look(self, data: bytes) -> None:
        from fuzz_watch import Unexpected, look

        self.inputs += 1
        (self.folder / "current").write_bytes(self.inputs.to_bytes(8, "little") + data)
        try:
            look(self.target, data, self.folder / "input")
        except Unexpected as error:
            count, smallest = self.unexpected.get(error.kind, (0, data))
            self.unexpected[error.kind] = count + 1, min(smallest, data, key=len)
            if not count:
                print(error, file=sys.stderr, flush=True)

    def save(self) -> None:
        found = {kind: [count, data.hex()] for kind, (count, data) in self.unexpected.items()}
        (self.folder / "record.json").write_text(json.dumps({"inputs": self.inputs, "unexpected": found}))


def ways(wanted: str = "") -> dict[str, Target]:
    """All ways into the pack, or those of the first module that has the wanted one: some take long to import."""
    import conftest  # which makes the pack importable

    found: dict[str, Target] = {}
    for module in MODULES:
        if module == "fuzz_nodes":
            base = Path(tempfile.mkdtemp(prefix="fuzzed base "))
            atexit.register(shutil.rmtree, base, ignore_errors=True)
            conftest.prepare_base(base)
            conftest.import_comfyui(base)
        found |= importlib.import_module(module).TARGETS
        if wanted in found:
            break
    return found


def by_hypothesis(load: Callable[[], Target], folder: Path, wanted: int, seed: int) -> None:
    import hypothesis
    from fuzz_inputs import inputs_for

    record = Record(load(), folder, wanted)
    options = hypothesis.settings(
        max_examples=wanted,
        phases=[hypothesis.Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.seed(seed)(options(hypothesis.given(inputs_for(record.target))(record.look)))()
    record.save()


def by_coverage(load: Callable[[], Target], folder: Path, wanted: int, seed: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["style_pack", "PIL", "zipfile", *MODULES]):
        target = load()
    record = Record(target, folder, wanted)
    corpus = folder / "seeds"
    corpus.mkdir(exist_ok=True)
    for number, data in enumerate(target.seeds()):
        (corpus / str(number)).write_bytes(data)
    words = folder / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words if word))

    def one_input(data: bytes) -> None:
        record.look(data)
        if record.inputs >= wanted:
            record.save()
            os._exit(0)  # the engine would end the process too, before this could be saved

    arguments = [f"-seed={seed}", "-rss_limit_mb=0", "-timeout=1000", str(corpus)]
    arguments += [f"-dict={words}"] if target.words else []
    atheris.Setup([sys.argv[0], *arguments], one_input)
    atheris.Fuzz()


def _escaped(word: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word.encode())


def examine(name: str, engine: str, wanted: int, seed: int, kept: Path) -> Json:
    """Look at so many inputs of one way by one engine, in processes of their own."""
    inputs, deaths, unexpected = 0, 0, dict[str, int]()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="fuzz ") as made:
        folder = Path(made)
        while inputs < wanted and deaths < DEATHS:
            (folder / "record.json").unlink(missing_ok=True)
            code = _process(name, engine, wanted - inputs, seed + deaths, folder)
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


def _process(name: str, engine: str, wanted: int, seed: int, folder: Path) -> int | None:
    """Run one process until it ends, or hangs; return its exit code, None for a hang."""
    what = ["--way", name, "--engines", engine, "--inputs", str(wanted), "--seed", str(seed)]
    command = [sys.executable, __file__, *what, "--folder", str(folder)]
    current = folder / "current"
    current.write_bytes(bytes(8))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    while True:
        try:
            return process.wait(2)
        except subprocess.TimeoutExpired:
            if time.time() - current.stat().st_mtime > SILENT:
                process.kill()
                process.wait()
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


def shares(looked: dict[str, Target], engines: Sequence[str], inputs: int) -> list[tuple[str, str, int]]:
    """Part the inputs among ways and engines, fewer for those that take long."""
    whole = sum(1 / target.cost for target in looked.values())
    each = inputs / whole / len(engines)
    return [(name, engine, max(2, round(each / target.cost))) for name, target in looked.items() for engine in engines]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--only", default="", help="names of ways into the pack, with commas between them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the inputs are kept")
    parser.add_argument("--way", default="", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if chosen.way:
        engine = by_hypothesis if chosen.engines == "hypothesis" else by_coverage
        engine(lambda: ways(chosen.way)[chosen.way], chosen.folder, chosen.inputs, chosen.seed)
        return 0
    only = [name for name in chosen.only.split(",") if name]
    looked = {name: target for name, target in ways().items() if not only or name in only}
    kept = chosen.folder or Path(tempfile.mkdtemp(prefix="fuzz found "))
    kept.mkdir(parents=True, exist_ok=True)
    return report(shares(looked, chosen.engines.split(","), chosen.inputs), chosen.jobs, chosen.seed, kept)


def report(work: Sequence[tuple[str, str, int]], jobs: int, seed: int, kept: Path) -> int:
    began, inputs, unexpected = time.perf_counter(), 0, 0
    with ThreadPoolExecutor(jobs) as pool:
        for line in pool.map(lambda share: examine(*share, seed, kept), work):
            print(json.dumps(line), flush=True)
            inputs += line["inputs"]
            unexpected += sum(line["unexpected"].values())
    seconds = round(time.perf_counter() - began)
    print(json.dumps({"inputs": inputs, "seconds": seconds, "unexpected": unexpected, "kept": str(kept)}))
    return int(unexpected > 0)


if __name__ == "__main__":
    sys.exit(main())
