"""Some odd requests, prompts, workflows and model folders, as `tests/fuzz` has odd files."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from fuzz_inputs import look_at_some

INPUTS = 100  # of a quick one


def test_an_odd_request_is_refused_in_a_sentence_or_answered(comfy_nodes: dict[str, Any], tmp_path: Path) -> None:
    for target in importlib.import_module("fuzz_nodes").TARGETS.values():  # which needs ComfyUI's own modules
        look_at_some(target, tmp_path, INPUTS)


def test_a_form_whose_headers_are_damaged_is_refused(comfy_nodes: dict[str, Any]) -> None:
    requests = importlib.import_module("fuzz_requests")
    body = requests.form([("images", "a.png", b"x")]).replace(b"Content-", b"Con\0tent-")
    kind = f"multipart/form-data; boundary={requests.LINE}"
    for path in ("{kb}/styles", "generate"):
        assert requests.ask("POST", path, body, kind, kb="mine") == 400
