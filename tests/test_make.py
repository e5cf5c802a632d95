"""dev/make.py, which is `make` on every system, and the Makefile that calls it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import make
import places
import pytest
from places import ROOT


def run_make(*arguments: str) -> str:
    """What make prints, as from a shell: these tests may run below another make, which hands its own settings down."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PYTHON"))}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, env=ours, capture_output=True, text=True, check=True).stdout


def test_the_makefile_calls_it_for_every_command() -> None:
    for name in make.COMMANDS:
        said = run_make("-n", name)
        assert said.split() == ['"python3"', "dev/make.py", name]


def test_a_variable_of_make_reaches_it(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$1 $2 $PORT"\n')
    python.chmod(0o755)
    said = run_make("serve", "PORT=1", f"PYTHON={python}")
    assert said.splitlines()[-1] == "dev/make.py serve 1"


def test_what_is_given_goes_before_the_environment_and_that_before_the_default() -> None:
    assert make.read([], {})[0]["PORT"] == "8188"
    assert make.read([], {"PORT": ""})[0]["PORT"] == "8188"
    assert make.read([], {"PORT": "1"})[0]["PORT"] == "1"
    assert make.read(["PORT=2"], {"PORT": "1"})[0]["PORT"] == "2"


def test_what_is_no_variable_goes_to_the_program() -> None:
    variables, more = make.read(["-k", "a b", "x=y"], {"ARGS": "-m 'not browser' -x"})
    assert more == ["-m", "not browser", "-x", "-k", "a b", "x=y"]
    [arguments] = make.COMMANDS["test"].programs
    assert make.program(arguments, variables, more)[-7:] == ["tests", *more]
    assert make.program(("-m", "pyright"), variables, more)[1:] == ["-m", "pyright"]


def test_it_calls_the_virtual_environments_python_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    [arguments] = make.COMMANDS["serve"].programs
    here = make.program(arguments, make.read(["BASE=C:\\my base"], {})[0])
    assert here[0] == str(places.venv_python())
    assert here[1:] == ["dev/comfyui.py", "--port", "8188", "--base", "C:\\my base"]
    with monkeypatch.context() as windows:
        windows.setattr(places.os, "name", "nt")
        python = places.venv_python(ROOT / ".venv")
    assert python.parts[-2:] == ("Scripts", "python.exe")


def test_it_lists_its_commands_and_says_so_of_an_unknown_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert make.main([], {}) == 0
    said = capsys.readouterr().out
    assert all(f"make.py {name} " in said for name in make.COMMANDS)
    assert make.main(["tset"], {}) == 2
    assert "make.py test " in capsys.readouterr().err


def test_the_first_program_that_fails_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def run(command: list[str], environment: object) -> int:
        ran.append(" ".join(command[1:]))
        return 3 if "ruff check" in ran[-1] else 0

    monkeypatch.setattr(make, "run", run)
    assert make.main(["check"], {}) == 3
    assert ran == [f"{ROOT / 'dev' / 'setup.py'} dev", "-m ruff format --check .", "-m ruff check ."]


@pytest.mark.xfail(os.name == "nt", reason="Windows has no such signal")
def test_a_request_to_end_reaches_the_program(tmp_path: Path) -> None:
    waits = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'dev')!r}); import make; "
        f"sys.exit(make.run([sys.executable, '-c', {waits!r}, sys.argv[1]], {{}}))"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "began")]) as process:
        while not (tmp_path / "began").exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == (-signal.SIGTERM) % 256


def test_every_document_names_commands_that_are_there() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    named = {name for page in pages for name in re.findall(r"make(?:\.py)? ([a-z-]+)`", page.read_text("utf-8"))}
    assert named <= make.COMMANDS.keys()
    assert named >= {"demo", "serve", "test", "check"}
