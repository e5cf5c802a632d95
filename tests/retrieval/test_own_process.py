"""Chroma in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from style_pack.retrieval.engines import open_index, own_process
from style_pack.retrieval.engines.base import EngineChoice
from style_pack.retrieval.engines.chroma import ChromaIndex
from style_pack.retrieval.engines.own_process import ProcessIndex
from style_pack.retrieval.store import snapshot
from style_pack.retrieval.store.store import StyleStore
from test_damage import MANY, damage, held, missing_of_some
from test_store import fill, missing

KEYS, VECTORS = np.arange(1, 41, dtype=np.int64), np.eye(40, dtype=np.float32)


@pytest.fixture
def index(tmp_path: Path) -> ProcessIndex:
    found = open_index(EngineChoice(), tmp_path / "engine", "apart", own_process=True)
    assert isinstance(found, ProcessIndex)
    return found


def nearest(index: ProcessIndex | ChromaIndex) -> list[int]:
    return [int(keys[0]) for keys in index.nearest(VECTORS[:3], 1)]


def program(index: ProcessIndex) -> subprocess.Popen[bytes]:
    return index._process._program


def test_it_does_what_chroma_does_here(index: ProcessIndex, tmp_path: Path) -> None:
    index.add(KEYS, VECTORS)
    assert nearest(index) == [1, 2, 3]
    index.remove(KEYS[:1])
    index.close()
    here = ChromaIndex(EngineChoice(), tmp_path / "engine", "apart")
    assert nearest(here)[1:] == [2, 3]
    assert len(here.nearest(VECTORS[:1], 99)[0]) == 39
    here.close()


def test_two_indexes_share_the_process_and_keep_apart(index: ProcessIndex, tmp_path: Path) -> None:
    other = ProcessIndex(EngineChoice(), tmp_path / "other", "apart")
    assert program(index).pid == program(other).pid != os.getpid()
    other.add(KEYS + 100, VECTORS)
    index.add(KEYS, VECTORS)
    assert (nearest(index), nearest(other)) == ([1, 2, 3], [101, 102, 103])
    del other  # which nobody closed
    assert nearest(index) == [1, 2, 3]


def test_what_chroma_refuses_is_said_and_the_process_lives_on(index: ProcessIndex) -> None:
    index.add(KEYS, VECTORS)
    with pytest.raises(RuntimeError, match="Chroma says: .*dimension of 40, got 7"):
        index.add(KEYS + 40, VECTORS[:, :7])
    assert nearest(index) == [1, 2, 3]


def test_a_process_that_was_killed_is_named_and_the_next_call_has_another(index: ProcessIndex) -> None:
    index.add(KEYS, VECTORS)
    killed, process = program(index), index._process
    killed.kill()
    with pytest.raises(
        ConnectionError, match=r"the process that Chroma runs in has ended \(exit code -9\): run it again\."
    ):
        process.ask("nearest", 1, VECTORS[:1], count=1)
    assert nearest(index) == [1, 2, 3]
    assert program(index).pid != killed.pid


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    told = (
        "import sys, types; sys.modules['style_rag'] = types.ModuleType('style_rag');"
        "sys.modules['style_rag'].__path__ = [sys.argv[1]];"
        "from style_rag.retrieval.engines import open_index; from pathlib import Path;"
        "from style_rag.retrieval.engines.base import EngineChoice;"
        "index = open_index(EngineChoice(), Path(sys.argv[2]), 'apart', own_process=True);"
        "print(index._process._program.pid, flush=True); sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", told, str(Path(__file__).parents[2]), str(tmp_path / "engine")]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.kill()
    until = time.monotonic() + 20
    while Path(f"/proc/{child}").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < until, "it is still there"
        time.sleep(0.1)


@pytest.fixture
def dying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in place of Chroma's, which dies of the first question."""
    program = tmp_path / "dying.py"
    program.write_text(f"import os, sys; sys.stdin.buffer.readline(); os.kill(os.getpid(), {int(signal.SIGSEGV)})")
    monkeypatch.setattr(own_process, "_PROGRAM", program)
    monkeypatch.setattr(own_process, "_running", [])
    return program


def test_a_chroma_that_dies_while_opening_is_a_damaged_index(
    tmp_path: Path, dying: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = StyleStore(tmp_path / "colours", own_process=True)
    fill(store, range(40))
    with pytest.raises(OSError, match=r"the search index of knowledge base 'colours' can't be made \(.* -11\) while"):
        store.publish()
    assert missing(store) == []
    monkeypatch.undo()
    store.publish()
    assert (held(store), missing(store)) == (40, [])


def test_a_chroma_that_dies_of_a_search_is_a_damaged_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Chroma ends a process that searches a graph full of garbage; without checksums it would be given that."""
    monkeypatch.setattr(snapshot, "check", lambda folder, file: None)
    folder = tmp_path / "colours"
    made = StyleStore(folder, own_process=True)
    fill(made, range(MANY))
    made.publish()
    damage(next(folder.glob("index/1/engine/*/data_level0.bin")), "garbage")
    store = StyleStore(folder, own_process=True)
    assert missing_of_some(store) == []
    assert "the index is damaged and is made anew" in caplog.text
    store.publish()
    assert (held(store), missing_of_some(store)) == (MANY, [])
