"""The two engines that odd inputs come from, each for a process of its own, and what that has seen."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fuzz_inputs import SLOW, inputs_for
from fuzz_watch import Target, Unexpected, look


@dataclass
class Record:
    """What one process has seen. The input it looks at is in a file, in case that ends the process."""

    target: Target
    folder: Path
    wanted: int
    inputs: int = 0
    unexpected: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    def look(self, data: bytes) -> None:
        self.inputs += 1
        (self.folder / "current").write_bytes(self.inputs.to_bytes(8, "little") + data)
        try:
            look(self.target, data, self.folder / "input")
        except Unexpected as error:
            count, smallest = self.unexpected.get(error.kind, (0, data))
            self.unexpected[error.kind] = count + 1, min(smallest, data, key=len)
            if not count:
                sys.stderr.write(f"{error}\n")

    def save(self) -> None:
        found = {kind: [count, data.hex()] for kind, (count, data) in self.unexpected.items()}
        (self.folder / "record.json").write_text(json.dumps({"inputs": self.inputs, "unexpected": found}))


def by_hypothesis(record: Record, seed: int) -> None:
    import hypothesis

    options = hypothesis.settings(
        max_examples=record.wanted,
        phases=[hypothesis.Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=SLOW,
    )

    @hypothesis.seed(seed)
    @options
    @hypothesis.given(inputs_for(record.target))
    def run(data: bytes) -> None:
        record.look(data)

    run()
    record.save()


def by_coverage(record: Record, seed: int) -> None:
    atheris = importlib.import_module("atheris")  # which not every system has

    corpus, words = record.folder / "seeds", record.folder / "words"
    corpus.mkdir()
    for number, data in enumerate(record.target.seeds()):
        (corpus / str(number)).write_bytes(data)
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in record.target.words if word))

    def one_input(data: bytes) -> None:
        record.look(data)
        if record.inputs >= record.wanted:
            record.save()
            os._exit(0)  # the engine would end the process too, before this could be saved

    arguments = [f"-seed={seed}", "-rss_limit_mb=0", "-timeout=1000", str(corpus)]
    arguments += [f"-dict={words}"] if record.target.words else []
    atheris.Setup([sys.argv[0], *arguments], one_input)
    atheris.Fuzz()


def _escaped(word: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word.encode())


ENGINES: dict[str, Callable[[Record, int], None]] = {"hypothesis": by_hypothesis, "coverage": by_coverage}
