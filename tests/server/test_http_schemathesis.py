"""Schemathesis asks the routes whatever openapi.json allows and forbids, and compares the answers with it."""

import subprocess
from pathlib import Path

from comfyui import ComfyServer
from http_calls import add
from places import venv_python

# A valid filter or picture can be nonsense that no schema describes, hence 400 and 422. Too many pictures answer 413.
# GET of a route that takes POST alone gets ComfyUI's 404 for a file, where 405 would be expected.
CONFIG = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", 304, 400, 404, 409, 422]
negative_data_rejection.expected-statuses = [400, 403, 404, 405, 409, 413, 415]
unsupported_method.enabled = false
[[operations]]
include-operation-id = ["delete_knowledge_base", "rename_knowledge_base"]
parameters = { "path.kb" = "to be changed" }
[parameters]
"path.kb" = "starter"
"path.id" = "{id}"
"""


def test_no_request_breaks_a_promise_of_openapi(comfy_server: ComfyServer, tmp_path: Path) -> None:
    id, _ = add(comfy_server, "starter", [3000, 3001], "waves at dusk\na castle", "ukiyo-e")
    add(comfy_server, "to be changed", [3002])
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG.replace("{id}", id))
    command = [venv_python(), "-m", "schemathesis.cli", "--config-file", config, "run"]
    command += [f"{comfy_server.base_url}/style_rag/openapi.json", "--phases", "examples,coverage,fuzzing"]
    command += ["--max-examples", "8", "--generation-deterministic", "--no-color"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
