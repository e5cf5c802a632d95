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
from style_pack.retrieval.pictures.reader import content_id, open_picture
from style_pack.retrieval.store.store import StyleStore
from test_store import missing
from writer_process import MOMENTS

KILLS = 5 * len(MOMENTS)  # each a fork of one process that has everything imported


def test_a_killed_writer_loses_nothing_and_holds_no_lock(tmp_path: Path) -> None:
    figures = kill_writers(tmp_path, KILLS, 0)
    assert figures["kills"] == KILLS
    assert figures["styles"] > 0
    assert figures["exported"] > 0


def kill_writers(folder: Path, kills: int, seed: int) -> dict[str, int]:
    """Kill a random time after a moment of each kind began; each run goes on from what the last one left.

    What is reported as stored has to be there, found by its own vector, with a picture that opens and shows it still.
    """
    chance, stored, pack = random.Random(seed), set[str](), folder / "all.stylepack"
    program = [sys.executable, writer_process.__file__, str(folder)]
    figures = dict.fromkeys(("kills", "exported", "reported", "styles"), 0)
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as nursery:
        for kill in range(kills):
            moment = list(MOMENTS)[kill % len(MOMENTS)]
            states = after_a_kill(nursery, seed * kills + kill, moment, chance)(stored)
            store = StyleStore(folder / "base")
            kept = set(store.ids())
            lost = min((state - kept for state in states), key=len)
            assert not lost, f"kill {kill}, {moment}, lost {len(lost)} pictures"
            assert missing(store) == [], f"kill {kill}, {moment}"
            require_pictures(store, f"kill {kill}, {moment}")
            if pack.exists():  # and a file that does not exist was not finished
                require_whole(pack)
                figures["exported"] += 1
            figures["kills"] += 1
            figures["reported"] += len(kept - stored)
            stored = kept
        assert nursery.stdin
        nursery.stdin.close()
    return figures | {"styles": len(stored)}


def require_pictures(store: StyleStore, when: str) -> None:
    """Every picture that the knowledge base keeps itself opens, and is the one that was stored."""
    for id, record in store.records().items():
        for file in map(Path, record.files):
            if file.is_relative_to(store.folder):
                assert content_id(open_picture(file)) == id, f"{when}: {file}"


def require_whole(pack: Path) -> None:
    with zipfile.ZipFile(pack) as archive:
        assert archive.testzip() is None
        count = len(json.loads(archive.read("pack.json"))["ids"])
        assert len(archive.namelist()) == 2 * count + 2
    pack.unlink()


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
