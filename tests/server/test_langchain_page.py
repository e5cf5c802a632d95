"""docs/langchain.md: its chain runs on a real ComfyUI, and the page shows it as it is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from comfyui import ComfyServer
from documented import documented_command
from PIL import Image
from places import ROOT
from style_pack.command_line.__main__ import main

SCRIPT = ROOT / "docs" / "langchain_chain.py"
SKETCH = ROOT / "styles" / "sketches" / "house_lineart.png"
PROMPT = "a house and a tree as a blueprint"


@pytest.fixture
def knowledge_base(served: ComfyServer) -> Path:
    """Two styles, in the server's own folder of knowledge bases, made by another process than the server's."""
    root = served.base / "user" / "__style_rag"
    sources = [str(ROOT / "styles" / style) for style in ("blueprint", "noir")]
    assert main(["ingest", "chain", *sources, "--root", str(root)]) == 0
    return root / "chain"


def test_the_chain_paints_in_the_style_that_its_retriever_found(
    served: ComfyServer, knowledge_base: Path, tmp_path: Path
) -> None:
    (tmp_path / "style_rag").symlink_to(ROOT)  # as pip installs it
    out = tmp_path / "picture.png"
    values = {"SKETCH": SKETCH, "PROMPT": PROMPT, "OUT.png": out, "http://127.0.0.1:8188": served.base_url}
    values |= {"ComfyUI/user/__style_rag/starter": knowledge_base}
    command = [sys.executable, *documented_command(SCRIPT, values)]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    image = Image.open(out)
    info = json.loads(image.info["style_rag"])
    [reference] = info["references"]
    assert image.size == (256, 256)
    assert info["settings"]["prompt"] == PROMPT
    assert len(info["edges"]) == 64
    found = run.stdout.splitlines()[-1]
    assert f"score {reference['score']}, " in found
    assert Path(found.rpartition(", ")[2]).parent == ROOT / "styles" / "blueprint"
    graph = json.loads(image.info["prompt"])
    [retrieve] = [n for n in graph.values() if n["class_type"] == "RetrieveStyle"]
    assert retrieve["inputs"]["pinned"].split()[0] == reference["id"]


def test_the_page_shows_the_script_as_it_is() -> None:
    page = (ROOT / "docs" / "langchain.md").read_text(encoding="utf-8")
    assert f"```python\n{SCRIPT.read_text(encoding='utf-8')}```\n" in page
