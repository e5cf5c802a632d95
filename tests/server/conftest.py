"""ComfyUI as the documentation has its readers start it."""

from __future__ import annotations

from collections.abc import Iterator

import make
import pytest
from comfyui import ComfyServer
from places import ROOT


class MakeServe(ComfyServer):
    """What `make serve` starts once everything is set up, on a port and with a base of its own."""

    def command(self) -> list[str]:
        variables, _ = make.read([f"PORT={self.port}", f"BASE={self.base}"], {})
        [started] = make.COMMANDS["serve"].programs
        python, script, *arguments = make.program(started, variables)
        return [python, str(ROOT / script), *arguments]


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    with MakeServe(tmp_path_factory.mktemp("make serve")) as server:
        yield server
