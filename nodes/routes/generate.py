"""One call from sketch to picture: fills a bundled workflow and queues it by ComfyUI's own public routes."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import aiohttp
import folder_paths

from ...retrieval.disk.durable import write_durably
from ...retrieval.pictures.reader import open_with_transparency
from ..host import paths

WORKFLOWS = ("quickstart", "style_rag_sd15")
LONGEST = 1800  # seconds that an answer is waited for
_POLL = 0.25  # seconds
_UPLOADS = "style_rag/uploads"

Json = dict[str, Any]


class Failed(RuntimeError):
    """The workflow was refused or ended without a picture; status is HTTP's for it."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def keep_sketch(path: Path) -> str:
    """Write a picture as a plain PNG into ComfyUI's temp folder, and return the name that LoadImage knows it by.

    LoadImage looks at no profile, and refuses some of what `open_picture` reads. Raises ValueError when it can't be
    read.
    """
    picture = open_with_transparency(path)
    name = f"{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}.png"
    target = Path(folder_paths.get_temp_directory()) / _UPLOADS / name
    write_durably(target, lambda stream: picture.save(stream, "PNG", compress_level=1))
    return f"{_UPLOADS}/{name} [temp]"


def fill_workflow(name: str, sketch: str, prompt: str, seed: int | None) -> Json:
    """Return a bundled workflow in API form with this sketch and prompt, and the seed unless it is None."""
    api = json.loads((paths.PACK / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
    for node in api.values():
        if node["class_type"] == "LoadImage":
            node["inputs"]["image"] = sketch
        elif node["class_type"] == "PrimitiveStringMultiline":
            node["inputs"]["value"] = prompt
        elif node["class_type"] == "ControlNetIPAdapterSampler" and seed is not None:
            node["inputs"]["seed"] = seed
    return api


async def queue(comfy: aiohttp.ClientSession, api: Json) -> str:
    """Queue a workflow and return its prompt id. Raises Failed with what a node refuses."""
    # Without a client ComfyUI tells nothing of outputs that it has in its cache.
    body = {"prompt": api, "client_id": "style_rag_generate", "extra_data": {"extra_pnginfo": {}}}
    async with comfy.post("/prompt", json=body) as answer:
        answered = await answer.json()
    refused = [
        f"{node['class_type']}: {reason['message']}: {reason['details']}"
        for node in (answered.get("node_errors") or {}).values()
        for reason in node["errors"]
    ]
    if refused or "prompt_id" not in answered:
        raise Failed(400, "; ".join(refused) or str(answered.get("error")))
    return answered["prompt_id"]


async def wait_for_picture(comfy: aiohttp.ClientSession, prompt_id: str) -> bytes:
    """Return the file of the picture that a workflow saved. Raises Failed when there is none."""
    for _ in range(int(LONGEST / _POLL)):
        async with comfy.get(f"/history/{prompt_id}") as answer:
            history = (await answer.json()).get(prompt_id)
        if history:
            break
        await asyncio.sleep(_POLL)
    else:
        raise Failed(
            504, f"workflow {prompt_id} has not ended after {LONGEST} seconds: ask /history/{prompt_id} later."
        )
    saved = [
        image
        for output in history["outputs"].values()
        for image in output.get("images", [])
        if image["type"] == "output"
    ]
    if history["status"]["status_str"] != "success" or not saved:
        raise Failed(*_reason(history["status"]["messages"]))
    async with comfy.get("/view", params=saved[0]) as answer:
        if answer.status != 200:
            raise Failed(409, f"{saved[0]['filename']}, made by an equal request, was deleted: send another seed.")
        return await answer.read()


def own_address(transport: asyncio.BaseTransport | None) -> str:
    """Return the address by which a request reached this server: ComfyUI may listen on any."""
    assert transport is not None
    host, port = transport.get_extra_info("sockname")[:2]
    scheme = "https" if transport.get_extra_info("sslcontext") else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _reason(messages: list[Any]) -> tuple[int, str]:
    for kind, message in messages:
        if kind == "execution_error":
            return 422, f"{message['node_type']}: {str(message['exception_message']).strip()}"
        if kind == "execution_interrupted":
            return 409, "the workflow was interrupted before it had a picture: send the request again."
    return 422, "the workflow ended without a picture."
