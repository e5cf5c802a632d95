"""Talks to a running ComfyUI over HTTP. Standard library only; knows nothing about how the server was started."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Json = dict[str, Any]

REQUEST_SECONDS = 60.0
POLL_SECONDS = 0.1

NOTHING_TO_DO: Json = {
    "1": {"class_type": "PrimitiveInt", "inputs": {"value": 0}},
    "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
}
"""A workflow of ComfyUI's own nodes that takes no time."""

# A proxy set in the environment is for the world outside, not for a server on this machine.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class ComfyError(RuntimeError):
    """ComfyUI did not start, stopped, or did not finish in time."""


class PromptRejected(ComfyError):
    """ComfyUI found a workflow, or some of its outputs, invalid. `body` is its whole answer."""

    def __init__(self, body: Json) -> None:
        super().__init__(rejection_sentence(body))
        self.body = body


class ComfyClient:
    """Posts workflows in API form and brings back what they made."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    def request(self, path: str, data: bytes | None = None, headers: Mapping[str, str] | None = None) -> bytes:
        """GET, or POST when there is data. Raises urllib.error.HTTPError for an answer of 400 or more."""
        request = urllib.request.Request(self.base_url + path, data, dict(headers or {}))
        with _open(request, timeout=REQUEST_SECONDS) as answer:
            return answer.read()

    def get_json(self, path: str) -> Any:
        return json.loads(self.request(path))

    def post_json(self, path: str, body: Json) -> Any:
        answer = self.request(path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        return json.loads(answer) if answer else None

    def post_prompt(self, api: Json, workflow: Json | None = None, client_id: str | None = None) -> str:
        """Queues a workflow and returns its prompt id. `workflow` is the editor form to be stored in the pictures.

        Raises PromptRejected, also when only some outputs are invalid and ComfyUI runs the others.
        """
        body: Json = {"prompt": api, "extra_data": {}}
        if workflow is not None:
            body["extra_data"]["extra_pnginfo"] = {"workflow": workflow}
        if client_id is not None:
            body["client_id"] = client_id
        try:
            answer = self.post_json("/prompt", body)
        except urllib.error.HTTPError as error:
            if error.code != 400:
                raise
            raise PromptRejected(json.loads(error.read())) from None
        if answer["node_errors"]:
            raise PromptRejected(answer)
        return answer["prompt_id"]

    def wait(self, prompt_id: str, timeout: float = 300.0) -> Json:
        """The history entry of a prompt once it has ended, be it well, with an error or interrupted."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.check_alive()
            entry = self.get_json(f"/history/{prompt_id}").get(prompt_id)
            if entry is not None:
                return entry
            time.sleep(POLL_SECONDS)
        raise ComfyError(f"The workflow had not ended after {timeout:.0f} seconds.")

    def run(self, api: Json, timeout: float = 300.0) -> Json:
        """Queues a workflow, waits, and returns its history entry. Raises ComfyError with the node's own message."""
        entry = self.wait(self.post_prompt(api), timeout)
        if entry["status"]["status_str"] != "success":
            raise ComfyError(error_sentence(entry))
        return entry

    def upload_image(self, path: Path, name: str | None = None) -> str:
        """Puts a picture into ComfyUI's input folder and returns its name there, as LoadImage wants it."""
        boundary = uuid.uuid4().hex
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name or path.name}"\r\n\r\n'
        data = head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        answer = self.request("/upload/image", data, {"Content-Type": f"multipart/form-data; boundary={boundary}"})
        return json.loads(answer)["name"]

    def get_image(self, info: Mapping[str, str]) -> bytes:
        """The file that an entry of a node's `images` in the history names."""
        return self.request("/view?" + urllib.parse.urlencode(info))

    def interrupt(self) -> None:
        self.post_json("/interrupt", {})

    def free(self) -> None:
        """Has ComfyUI unload all models and forget all results before any workflow that is queued from now on.

        ComfyUI looks for that wish after a workflow, or when there is none to take: so a small one goes in between.
        """
        self.post_json("/free", {"unload_models": True, "free_memory": True})
        self.run(NOTHING_TO_DO)

    def check_alive(self) -> None:
        """Raises ComfyError when it is known that no answer can come any more. Here nothing is known."""


def rejection_sentence(body: Json) -> str:
    """What is wrong with a workflow, one `node: message (details)` each."""
    found = [
        f"{node['class_type']} (node {node_id}): {reason['message']}: {reason['details']}"
        for node_id, node in (body.get("node_errors") or {}).items()
        for reason in node["errors"]
    ]
    error = body.get("error") or {}
    return "; ".join(found) or f"{error.get('message')}: {error.get('details')}"


def error_sentence(entry: Json) -> str:
    """The error a workflow ended with: the node and its own message."""
    for kind, message in entry["status"]["messages"]:
        if kind == "execution_error":
            return f"{message['node_type']} (node {message['node_id']}): {message['exception_message'].strip()}"
        if kind == "execution_interrupted":
            return f"Interrupted at {message['node_type']} (node {message['node_id']})."
    return f"Ended with status {entry['status']['status_str']!r}."
