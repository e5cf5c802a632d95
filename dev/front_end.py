"""Another version of ComfyUI's page than the one it pins, for the browser tests: `FRONT_END=1.58.1 make test`."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from places import WORK, comfyui_path, venv_python
from progress import run_step

PACKAGE = "comfyui-frontend-package"
KNOWN = WORK / "front_ends"
OTHERS = ("1.43.18", "1.49.6", "1.55.18", "1.58.1")
"""Versions of the last half year, the newest last, on which the tests open every bundled workflow."""


def chosen_version() -> str:
    """The version that the environment variable FRONT_END asks for, or "" for the one that ComfyUI pins."""
    version = os.environ.get("FRONT_END", "")
    if not re.fullmatch(r"(\d+\.\d+\.\d+)?", version):
        raise ValueError(f"FRONT_END is {version!r}: write a version of {PACKAGE}, such as 1.58.1.")
    return version


def pinned_version() -> str:
    requirements = (comfyui_path() / "requirements.txt").read_text(encoding="utf-8")
    version = re.search(rf"^{PACKAGE}==(\S+)", requirements, re.MULTILINE)
    return version[1] if version else "1.32.9"


def front_end_arguments() -> list[str]:
    """What makes ComfyUI serve the chosen version."""
    version = chosen_version()
    return ["--front-end-root", str(static_folder(version))] if version else []


def static_folder(version: str) -> Path:
    """The files of a version. It is fetched once, apart from .venv, which keeps the pinned one."""
    folder = KNOWN / version
    if not folder.is_dir():
        partial = KNOWN / f"{version}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        pip = [venv_python(), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--progress-bar=off"]
        command = [*pip, "--no-deps", "--target", partial, f"{PACKAGE}=={version}"]
        run_step(f"Fetching {PACKAGE} {version} (30 MB)", command, WORK / "setup.log")
        partial.rename(folder)
    return folder / "comfyui_frontend_package" / "static"


def front_ends_are_there() -> bool:
    return all((KNOWN / version).is_dir() for version in OTHERS)


def provide_front_ends() -> None:
    for version in OTHERS:
        static_folder(version)
