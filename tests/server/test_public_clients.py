"""Clients of ComfyUI that know nothing of the pack run its workflows as they are: comfy-cli, comfy-api-simplified.

They live in .clients, which `make test` makes, and may speak to this machine alone.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from comfyui import ComfyServer
from documented import documented_command
from PIL import Image
from places import CLIENTS, ROOT, venv_python

SCRIPT = ROOT / "docs" / "with_comfy_api_simplified.py"
OFFLINE = {"DO_NOT_TRACK": "1", "COMFY_NO_UPDATE_CHECK": "1"}
"""What keeps comfy-cli from telling its makers of each run, and from asking whether there is a newer one."""


def on_bundled_models(path: Path) -> bool:
    """Whether a workflow names no model but those of the pack, and saves a picture."""
    nodes = json.loads(path.read_text(encoding="utf-8")).values()
    classes = {node["class_type"] for node in nodes}
    models = [node["inputs"]["base_model"] for node in nodes if node["class_type"] == "LoadStylePipeline"]
    return "SaveImage" in classes and bool(models) and all(name.startswith("bundled/") for name in models)


WORKFLOWS = [path for path in sorted((ROOT / "workflows" / "api").glob("*.json")) if on_bundled_models(path)]


def run_client(home: Path, *command: str | Path) -> str:
    """Run a module or script of .clients with a home folder of its own, and return what it prints."""
    assert venv_python(CLIENTS).exists(), f"{CLIENTS} is missing: run `python3 dev/setup.py dev`"
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    places = {"HOME": str(home), "USERPROFILE": str(home), "PYTHONPATH": str(Path(__file__).parent / "loopback_only")}
    run = subprocess.run(
        [venv_python(CLIENTS), *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=home,
        env={**kept, **places, **OFFLINE},
        timeout=1800,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "refused: " not in run.stderr
    return run.stdout


def run_comfy_cli(server: ComfyServer, home: Path, workflow: Path) -> dict[str, Any]:
    """What `comfy run --wait` says at its end: JSON, where it writes to no terminal."""
    address = ["--host", "127.0.0.1", "--port", str(server.port)]
    said = run_client(home, "-m", "comfy_cli", "run", "--workflow", workflow, "--wait", *address)
    end = json.loads(said.splitlines()[-1])
    assert (end["ok"], end["data"]["status"]) == (True, "completed")
    return end["data"]


def run_comfy_api_simplified(server: ComfyServer, home: Path, workflow: Path) -> bytes:
    values = {"workflows/api/quickstart.json": workflow, "OUT.png": home / "picture.png"}
    *command, prompt = documented_command(SCRIPT, values | {"http://127.0.0.1:8188": server.base_url})
    assert prompt == "PROMPT"  # which may be left out
    run_client(home, *command)
    return (home / "picture.png").read_bytes()


def saver_of(api: dict[str, Any]) -> str:
    return next(id for id, node in api.items() if node["class_type"] == "SaveImage")


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_public_clients_get_the_picture_of_a_plain_post(served: ComfyServer, workflow: Path, tmp_path: Path) -> None:
    server = served
    api = json.loads(workflow.read_text(encoding="utf-8"))
    told = run_comfy_cli(server, tmp_path, workflow)
    assert set(told["executed_node_ids"]) <= set(api)
    [url] = told["outputs_by_node"][saver_of(api)]
    by_comfy_cli = server.request(f"/view?{urlsplit(url).query}")
    by_other = run_comfy_api_simplified(server, tmp_path, workflow)

    if workflow.stem == "quickstart":
        server.free()  # for one of them the plain POST runs anew, and is not answered with what the clients made
    plain = server.wait(server.post_prompt(api, client_id="plain"))  # ComfyUI tells only clients what it had made
    [saved] = plain["outputs"][saver_of(api)]["images"]
    cached = next(told["nodes"] for kind, told in plain["status"]["messages"] if kind == "execution_cached")
    assert bool(cached) == (workflow.stem != "quickstart")
    expected = pixels(server.get_image(saved))
    assert np.array_equal(pixels(by_comfy_cli), expected)
    assert np.array_equal(pixels(by_other), expected)


def test_the_page_shows_the_script_as_it_is() -> None:
    page = (ROOT / "docs" / "http_api.md").read_text(encoding="utf-8")
    assert f"```python\n{SCRIPT.read_text(encoding='utf-8')}```\n" in page
