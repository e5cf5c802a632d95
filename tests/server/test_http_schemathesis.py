"""Schemathesis asks the routes whatever openapi.json allows and forbids, and compares the answers with it."""

import subprocess
from pathlib import Path

from comfyui import ComfyServer
from http_calls import add
from places import venv_python

# What a valid request may be answered beside 2xx: a filter or a picture can be nonsense that no schema describes.
CONFIG = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", 304, 400, 404, 409]
"""


def test_no_request_breaks_a_promise_of_openapi(comfy_server: ComfyServer, tmp_path: Path) -> None:
    add(comfy_server, "starter", [3000, 3001], "waves at dusk\na castle", "ukiyo-e")
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    command = [venv_python(), "-m", "schemathesis.cli", "--config-file", config, "run"]
    command += [f"{comfy_server.base_url}/style_rag/openapi.json", "--phases", "examples,coverage,fuzzing"]
    command += ["--max-examples", "8", "--generation-deterministic", "--no-color"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    log = comfy_server.log_text()
    assert "Error handling request" not in log
