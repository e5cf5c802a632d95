"""docs/http_api.md, which shows the client script that `make demo` runs; and that every script of docs/ is run here."""

import subprocess
import sys
from pathlib import Path

import test_langchain_page
import test_public_clients
from comfyui import ComfyServer
from documented import documented_command
from PIL import Image
from places import ROOT

SCRIPT = ROOT / "docs" / "sketch_to_picture.py"


def test_every_script_of_the_docs_is_run_on_what_make_serve_starts() -> None:
    """Here, and in the other two."""
    run = {SCRIPT, test_public_clients.SCRIPT, test_langchain_page.SCRIPT}
    assert set((ROOT / "docs").rglob("*.py")) == run


def test_the_script_brings_a_picture(served: ComfyServer, tmp_path: Path) -> None:
    out = tmp_path / "picture.png"
    values = {"SKETCH": ROOT / "styles" / "sketches" / "house_lineart.png", "PROMPT": "a house as a blueprint"}
    values |= {"OUT.png": out, "http://127.0.0.1:8188": served.base_url}
    command = [sys.executable, *documented_command(SCRIPT, values)]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert Image.open(out).size == (256, 256)


def test_the_page_shows_the_script_as_it_is() -> None:
    script = SCRIPT.read_text(encoding="utf-8")
    assert f"```python\n{script}```\n" in (ROOT / "docs" / "http_api.md").read_text(encoding="utf-8")
