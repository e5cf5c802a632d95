"""The commands of a checkout, on every system: `python dev/make.py demo`. The Makefile calls this file.

    python dev/make.py COMMAND [NAME=value ...] [arguments for its program ...]

What a command needs is set up first; a second run finds that done. Standard library only: it runs on the system's
Python.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from places import ROOT, venv_python

VARIABLES = {
    "PORT": "8188",
    "BASE": ".comfyui/base",
    "ARGS": "",
    "FRONT_END": "1.58.1",
    "COMFYUI_PATH": "",
}
"""What may be given as NAME=value or in the environment, and what holds otherwise."""

_PYTEST = ("-m", "pytest", "-c", "tests/pytest.ini", "--rootdir", "tests")


@dataclass(frozen=True)
class Command:
    """level: which set-up it needs (see setup.py). programs: arguments of .venv's Python, one after the other.

    {NAME} stands for a variable's value. environment: added to the programs'.
    """

    about: str
    level: str
    programs: tuple[tuple[str, ...], ...]
    environment: tuple[tuple[str, str], ...] = ()


COMMANDS = {
    "demo": Command(
        "a sketch and a prompt become a picture: output/demo.png, output/demo_explained.png",
        "demo",
        (("dev/demo.py",),),
    ),
    "serve": Command(
        "ComfyUI with the pack in the foreground (PORT=8188, BASE=folder for models, input, output)",
        "demo",
        (("dev/comfyui.py", "--port", "{PORT}", "--base", "{BASE}"),),
    ),
    "test": Command('the whole test suite (ARGS="-k word" for some of it)', "dev", ((*_PYTEST, "tests"),)),
    "test-front-end": Command(
        "the browser tests on another version of the page (FRONT_END=1.58.1)",
        "dev",
        ((*_PYTEST, "tests/browser"),),
        (("FRONT_END", "{FRONT_END}"),),
    ),
    "screenshots": Command(
        "the browser tests of the Styles tab, which write docs/styles_tab.png",
        "dev",
        ((*_PYTEST, "tests/browser/test_styles_tab.py"),),
        (("SCREENSHOTS", str(ROOT / "docs")),),
    ),
    "check": Command(
        "format, lint and types",
        "dev",
        (("-m", "ruff", "format", "--check", "."), ("-m", "ruff", "check", "."), ("-m", "pyright")),
    ),
    "format": Command(
        "put the code into the format that check asks for",
        "dev",
        (("-m", "ruff", "format", "."), ("-m", "ruff", "check", "--fix", ".")),
    ),
    "strengths": Command(
        "docs/strengths.jpg: one sketch by control strength and style strength", "demo", (("dev/strengths_grid.py",),)
    ),
    "gallery": Command("docs/gallery.jpg: six sketches in six styles", "demo", (("dev/gallery.py",),)),
    "bench": Command("the benchmarks, one JSON object a line", "demo", (("benchmarks",),)),
    "setup-demo": Command("only what demo and serve need", "demo", ()),
    "setup-dev": Command("what tests and checks need as well", "dev", ()),
}


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    name, *rest = arguments or ["help"]
    if name not in COMMANDS:
        print(usage(), file=sys.stdout if name == "help" else sys.stderr)
        return 0 if name == "help" else 2
    variables, more = read(rest, environment)
    command = COMMANDS[name]
    inherited = {**environment, **{key: variables[key] for key in ("COMFYUI_PATH",) if variables[key]}}
    programs = [[sys.executable, str(ROOT / "dev" / "setup.py"), command.level]]
    programs += [program(arguments, variables, more) for arguments in command.programs]
    inherited |= {key: value.format(**variables) for key, value in command.environment}
    return next((code for each in programs if (code := run(each, inherited))), 0)


def read(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the variables' values, and the arguments that are for the program. ARGS are the first of these."""
    given = {key: environment[key] for key in VARIABLES if environment.get(key)}
    more = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals and key in VARIABLES:
            given[key] = value
        else:
            more.append(argument)
    variables = {**VARIABLES, **given}
    return variables, [*shlex.split(variables["ARGS"]), *more]


def program(arguments: Sequence[str], variables: Mapping[str, str], more: Sequence[str] = ()) -> list[str]:
    """Return a program of .venv's Python with its arguments; `more` goes to a script or to pytest."""
    takes_more = not arguments[0].startswith("-") or "pytest" in arguments
    filled = [argument.format(**variables) for argument in arguments]
    return [str(venv_python()), *filled, *(more if takes_more else ())]


def run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a program in the checkout's folder and return its exit code. Ctrl+C and a request to end reach it too."""
    with subprocess.Popen(command, cwd=ROOT, env=dict(environment)) as process:
        before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            while True:
                try:
                    return process.wait()
                except KeyboardInterrupt:  # which the program got as well: its end is waited for
                    continue
        finally:
            signal.signal(signal.SIGTERM, before)


def usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"python dev/make.py {name:{width}}  {command.about}" for name, command in COMMANDS.items()]
    ending = "COMFYUI_PATH=folder uses the ComfyUI there. .venv is made with the Python that runs this (3.10 or newer)."
    return "\n".join([*lines, "", ending])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
