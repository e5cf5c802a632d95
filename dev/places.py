"""Where things are in a checkout of the pack. Standard library only; knows nothing about what is done there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
WORK = ROOT / ".comfyui"
"""Unpacked ComfyUI, logs and the base directory of `make serve`; ignored by git."""

CLIENTS = ROOT / ".clients"
"""Virtual environment of programs that drive ComfyUI and know nothing of the pack; ignored by git."""

OUTPUT = ROOT / "output"
COMFYUI_VERSION = "0.3.75"


def venv_python(venv: Path = VENV) -> Path:
    """A virtual environment's Python. Always called as `python -m tool`: scripts break in a path with a space."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def comfyui_path() -> Path:
    """The ComfyUI to run: the folder named by the environment variable COMFYUI_PATH, else the unpacked copy."""
    chosen = os.environ.get("COMFYUI_PATH")
    return Path(chosen).expanduser().resolve() if chosen else WORK / "ComfyUI"


def find_chromium() -> str | None:
    """A Chromium or Chrome for the browser tests: the one named by CHROMIUM, else the first on the PATH."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


WAIT_ASLEEP = {"OMP_WAIT_POLICY": "PASSIVE"}
"""For the environment of a program that loads torch: what its threads do while they wait for each other.

OpenMP 5.2, section 21.7. GNU's runtime, which torch's wheels for Linux bring, reads it once, as it is loaded.
"""
