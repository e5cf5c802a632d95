"""Writers killed in the midst of everything that a knowledge base does; what they reported as stored is there."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import writer_process
from style_pack.retrieval.store import StyleStore
from test_store import missing
from writer_process import MOMENTS

KILLS = 56  # seven of each kind, each a fork of one process that has everything imported


def test_a_killed_writer_loses_nothing_and_holds_no_lock(tmp_path: Path) -> None:
    """Kills a random time after a moment of each kind began; each run goes on from what the last one left."""
    chance, stored, pack = random.Random(0), set[str](), tmp_path / "all.stylepack"
    program = [sys.executable, writer_process.__file__, str(tmp_path)]
    exported = 0
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as nursery:
        for kill in range(KILLS):
            moment = list(MOMENTS)[kill % len(MOMENTS)]
            states = after_a_kill(nursery, kill, moment, chance)(stored)
            store = StyleStore(tmp_path / "base")
            kept = set(store.ids())
            lost = min((state - kept for state in states), key=len)
            assert not lost, f"kill {kill}, {moment}, lost {len(lost)} pictures"
            assert missing(store) == [], f"kill {kill}, {moment}"
            if pack.exists():  # and a file that does not exist was not finished
                with zipfile.ZipFile(pack) as archive:
                    assert archive.testzip() is None
                    count = len(json.loads(archive.read("pack.json"))["ids"])
                    assert len(archive.namelist()) == 2 * count + 2
                exported += 1
                pack.unlink()
            stored = kept
        assert nursery.stdin
        nursery.stdin.close()
    assert len(stored) > 0
    assert exported > 0


def after_a_kill(
    nursery: "subprocess.Popen[str]", seed: int, moment: str, chance: random.Random
) -> Callable[[set[str]], list[set[str]]]:
    """Let a writer come to the moment, kill it a little later, and return what may be stored, given what was."""
    assert nursery.stdin
    assert nursery.stdout
    nursery.stdin.write(f"{seed} {moment}\n")
    nursery.stdin.flush()
    words: list[list[str]] = []
    pid, moments = 0, chance.randrange(1, 4)
    while (word := nursery.stdout.readline().split())[0] != "dead":
        words.append(word)
        pid = int(word[1]) if word[0] == "pid" else pid
        moments -= word == ["now"]
        if pid and moments <= 0:
            time.sleep(chance.uniform(0, 0.02))
            os.kill(pid, signal.SIGKILL)
            pid = 0  # what it said before is still to be read
    assert int(word[1]) == signal.SIGKILL, "the writer failed by itself"
    return lambda stored: _states(stored, words)


def _states(stored: set[str], words: list[list[str]]) -> list[set[str]]:
    stored, instead = set(stored), None
    for word, *ids in words:
        if word == "instead":
            instead = set(ids)
        elif word == "rebuilt":
            assert instead is not None
            stored, instead = instead, None
        elif word == "+":
            stored |= set(ids)
        elif word == "-":
            stored -= set(ids)
    return [stored] if instead is None else [stored, instead]
