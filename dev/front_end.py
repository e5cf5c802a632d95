"""Another version of ComfyUI's page than the one it pins, for the browser tests: `FRONT_END=1.58.1 make test`."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from places import WORK, comfyui_path
from progress import run_step

PACKAGE = "comfyui-frontend-package"
KNOWN = WORK / "front_ends"


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
    """What makes ComfyUI serve the chosen version. It is fetched once, apart from .venv, which keeps the pinned one."""
    version = chosen_version()
    if not version:
        return []
    root = KNOWN / version / "comfyui_frontend_package" / "static"
    if not (root / "index.html").is_file():
        fetch(version, KNOWN / version)
    return ["--front-end-root", str(root)]


def fetch(version: str, folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--progress-bar=off"]
    command = [*pip, "--no-deps", "--upgrade", "--target", folder, f"{PACKAGE}=={version}"]
    run_step(f"Fetching {PACKAGE} {version} (30 MB)", command, WORK / "setup.log")
