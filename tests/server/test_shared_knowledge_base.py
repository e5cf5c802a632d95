"""Two ComfyUI servers and a command-line ingest at work on one knowledge base at the same time."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from comfyui import ComfyServer
from http_calls import ENCODER, call, make_picture, send_form
from pack_names import SERVED_FOLDER
from places import ROOT
from style_pack.retrieval.store.store import StyleStore
from test_store import missing

NAME = "shared"
BEFORE, BY_SERVER, BY_COMMAND = range(1000, 1004), range(1004, 1028), range(1100, 1140)


@pytest.fixture
def second_server(comfy_server: ComfyServer, tmp_path: Path) -> Iterator[ComfyServer]:
    """Another ComfyUI with the user directory of the first, and so with its knowledge bases."""
    users = ["--user-directory", str(comfy_server.base / "user")]
    with ComfyServer(tmp_path / "second", packs={SERVED_FOLDER: ROOT}, cpu=True, arguments=users) as server:
        yield server


def test_two_servers_and_the_command_line_lose_nothing_and_find_all_of_it(
    comfy_server: ComfyServer, second_server: ComfyServer, tmp_path: Path
) -> None:
    """One server adds, the other searches, while the command line adds a folder; each picture has a word of its own."""
    root = comfy_server.base / "user" / "__style_rag"
    for seed in BEFORE:
        add_patiently(comfy_server, seed)
    assert found(second_server, BEFORE[0]) == [word(BEFORE[0])]  # from here on it has the knowledge base open
    adding = threading.Thread(target=lambda: [add_patiently(comfy_server, seed) for seed in BY_SERVER])
    command = start_command(tmp_path, root, "ingest", NAME, str(paint_folder(tmp_path)), "--update", "add")
    adding.start()
    searches = 0
    while command.poll() is None or adding.is_alive():
        assert found(second_server, BEFORE[searches % len(BEFORE)]) == [word(BEFORE[searches % len(BEFORE)])]
        searches += 1
        time.sleep(0.05)
    adding.join()
    report = answer_of(command)
    assert searches > 0
    assert (report["added"], report["failed"]) == (len(BY_COMMAND), [])
    expected = {word(seed) for seeds in (BEFORE, BY_SERVER, BY_COMMAND) for seed in seeds}
    for server in (second_server, comfy_server):
        assert {name for seeds in (BY_SERVER, BY_COMMAND) for seed in seeds for name in found(server, seed)} == (
            expected - {word(seed) for seed in BEFORE}
        )
        assert call(server, "GET", f"{NAME}/styles?limit=1").json["total"] == len(expected)
    listed = answer_of(start_command(tmp_path, root, "list", NAME))
    assert {record["caption"] for record in listed} == expected
    assert missing(StyleStore(root / NAME)) == []


def word(seed: int) -> str:
    return f"word{seed}"


def add_patiently(server: ComfyServer, seed: int, tries: int = 5) -> None:
    """Another writer may hold the knowledge base for longer than the server waits; it says so, and one asks again."""
    texts = {"captions": word(seed), "encoder": ENCODER}
    answer = send_form(server, f"{NAME}/styles", texts, [("images", f"{seed}.png", make_picture(seed))])
    if answer.status == 503 and tries > 1:
        assert "is being written by another process" in answer.body.decode()
        return add_patiently(server, seed, tries - 1)
    assert (answer.status, len(answer.json["added"])) == (200, 1), answer.body


def found(server: ComfyServer, seed: int) -> list[str]:
    answer = call(server, "GET", f"{NAME}/search?q={word(seed)}&strategy=keyword&top_k=1")
    assert answer.status == 200, answer.body
    return [match["caption"] for match in answer.json["matches"]]


def paint_folder(folder: Path) -> Path:
    pictures = folder / "pictures"
    pictures.mkdir()
    for seed in BY_COMMAND:
        (pictures / f"{seed}.png").write_bytes(make_picture(seed))
        (pictures / f"{seed}.txt").write_text(word(seed))
    return pictures


def start_command(folder: Path, root: Path, *arguments: str) -> "subprocess.Popen[str]":
    """`style-rag`, as of an installed package: the checkout under that package's name."""
    installed = folder / "installed"
    if not installed.exists():
        installed.mkdir()
        (installed / "style_rag").symlink_to(ROOT, target_is_directory=True)
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "style_rag.command_line", *arguments, "--root", str(root), "--json"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, cwd=folder, **pipes)


def answer_of(command: "subprocess.Popen[str]") -> Any:
    out, error = command.communicate(timeout=600)
    assert command.returncode == 0, error
    return json.loads(out)
