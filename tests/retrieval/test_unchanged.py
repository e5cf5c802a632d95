"""A run over sources in which nothing has changed: it writes nothing, encodes nothing, and loads no torch for it."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes import ColourEncoder, paint
from places import ROOT
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.store.store import StyleStore
from style_pack.retrieval.syncing.other_encoders import encode_captions

COMMAND = f"""
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("pack", r"{ROOT / "__init__.py"}", submodule_search_locations=[r"{ROOT}"])
sys.modules["pack"] = importlib.util.module_from_spec(spec)
from pack.command_line.__main__ import main
status = main(sys.argv[1:])
print(json.dumps([status, "torch" in sys.modules]))
"""


class Counting(ColourEncoder):
    """Counts the texts as well."""

    texts = 0

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        self.texts += len(texts)
        return super().encode_texts(texts)


def run(*arguments: str) -> tuple[dict[str, object], bool]:
    """Return what a command of a fresh process answers, and whether that has loaded torch."""
    done = subprocess.run([sys.executable, "-c", COMMAND, *arguments, "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answer, (status, torch) = map(json.loads, done.stdout.splitlines())
    assert status == 0
    return answer, torch


@pytest.mark.parametrize("update", ["sync", "add"])
def test_it_leaves_the_revision_and_encodes_nothing(store: StyleStore, folder: Path, update: str) -> None:
    ingest(store, Counting(), [folder], "sync")
    revision, encoder = store.revision, Counting()
    assert ingest(store, encoder, [folder], update).unchanged == 5
    assert (store.revision, encoder.texts, encoder.batches) == (revision, 0, [])


def test_changes_of_nothing_are_not_counted(filled: StyleStore) -> None:
    encode_captions(filled, Counting())
    revision = filled.revision
    filled.remove([])
    filled.remove(["0" * 64])
    with filled.saying() as said:
        said.show([])
        said.show(list(filled.said.all().values()))
        assert said.drop([], {}) == []
    assert encode_captions(filled, Counting()) == 0
    assert filled.revision == revision


def test_a_fresh_process_loads_no_torch_for_it(tmp_path: Path) -> None:
    for shade in range(0, 250, 50):
        paint(tmp_path / "s" / f"{shade}.png", (shade, 0, 90))
    ingested = ["ingest", "same", str(tmp_path / "s"), "--root", str(tmp_path / "bases")]
    assert run(*ingested)[1]
    before, _ = run("stats", "same", "--root", str(tmp_path / "bases"))
    report, torch = run(*ingested)
    assert (report["unchanged"], report["added"], torch) == (5, 0, False)
    assert run("stats", "same", "--root", str(tmp_path / "bases"))[0]["revision"] == before["revision"]
