"""What the tests drive beside the pack: Chromium, strace, and public clients of ComfyUI. Standard library only."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from places import CLIENTS, ROOT, find_chromium, venv_python
from progress import StepFailed, run_step, say

CLIENT_PACKAGES = ROOT / "dev" / "clients.txt"
CLIENTS_STAMP = CLIENTS / "setup-stamp.txt"


def provide_programs(log: Path) -> None:
    """Installs Chromium and strace where that can be done without asking, else says which tests will fail."""
    if not find_chromium():
        _provide("Chromium", "chromium", "the browser tests", log)
    if not shutil.which("strace"):
        _provide("strace", "strace", "the test of power cuts", log)


def _provide(name: str, package: str, tests: str, log: Path) -> None:
    advice = f"{name} is missing, {tests} will fail without it. Install it, e.g. `sudo apt-get install {package}`."
    if not shutil.which("apt-get") or os.geteuid() != 0:
        say(advice)
        return
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        run_step("Reading Debian's package lists", ["apt-get", "update"], log, environment)
        install = ["apt-get", "install", "-y", "--no-install-recommends", package]
        run_step(f"Installing {name} for {tests} (at most a minute)", install, log, environment)
    except StepFailed as error:
        say(f"{error}\n{advice}")


def clients_are_there() -> bool:
    """True when .clients holds what dev/clients.txt names, for this Python."""
    stamp = CLIENTS_STAMP.read_text(encoding="utf-8") if CLIENTS_STAMP.is_file() else ""
    return venv_python(CLIENTS).exists() and stamp == _clients_fingerprint()


def provide_clients(log: Path) -> None:
    """Makes .clients anew, unless it is there. Apart from .venv: what the clients ask for must not change ComfyUI's."""
    if clients_are_there():
        return
    make = [sys.executable, "-m", "venv", "--clear", CLIENTS]
    run_step("Making .clients (a few seconds)", make, log)
    pip = [venv_python(CLIENTS), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    install = [*pip, "install", "--prefer-binary", "--progress-bar=off", "-r", CLIENT_PACKAGES]
    run_step("Installing public clients of ComfyUI for the tests (half a minute)", install, log)
    CLIENTS_STAMP.write_text(_clients_fingerprint(), encoding="utf-8")


def _clients_fingerprint() -> str:
    return f"Python {sys.version_info[0]}.{sys.version_info[1]}\n{CLIENT_PACKAGES.read_text(encoding='utf-8')}"
