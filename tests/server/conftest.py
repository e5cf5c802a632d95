"""ComfyUI as the documentation has its readers start it."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator

import pytest
from comfyui import ComfyServer
from places import ROOT


class MakeServe(ComfyServer):
    """What `make serve` starts once everything is set up, on a port and with a base of its own."""

    def command(self) -> list[str]:
        asked = ["make", "--no-print-directory", "-n", "serve", f"PORT={self.port}", f"BASE={self.base}"]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        said = subprocess.run(asked, cwd=ROOT, env=inherited, capture_output=True, text=True, check=True).stdout
        python, script, *arguments = shlex.split(said.splitlines()[-1])
        return [str(ROOT / python), str(ROOT / script), *arguments]


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    with MakeServe(tmp_path_factory.mktemp("make serve")) as server:
        yield server
