"""Refuses a workflow for what a widget of ours says, before ComfyUI takes it: in one sentence, at that widget.

ComfyUI itself asks a node's `validate_inputs`, and repeats its sentence for every input that this names; and it runs
the rest of the workflow, so that some versions of the page tell of no mistake at all.
"""

import asyncio
import inspect
import json
import logging
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from comfy_api.latest import io
from server import PromptServer

Json = dict[str, Any]
_comfyui = import_module("nodes")  # ComfyUI's module of that name, and not this package
_log = logging.getLogger(__name__)
_checked: dict[str, type[io.ComfyNode]] = {}  # by node id, which is the class's name; those with `mistakes`


def register(own: Sequence[type[io.ComfyNode]]) -> None:
    """Look at every workflow that is posted. own: the pack's nodes."""
    _checked.update({node.__name__: node for node in own if hasattr(node, "mistakes")})
    server = getattr(PromptServer, "instance", None)
    if server is not None:
        server.app.middlewares.append(_before_prompt)


@web.middleware
async def _before_prompt(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.method == "POST" and request.path in ("/prompt", "/api/prompt"):
        refused = await asyncio.to_thread(_find, await request.read())
        if refused:
            return web.json_response(_answer(refused), status=400)
    return await handler(request)


def _find(body: bytes) -> dict[str, Json]:
    """Return node id -> what ComfyUI tells of a refused node. What is no workflow is left for ComfyUI to refuse."""
    if not any(name.encode() in body for name in _checked):
        return {}
    try:
        posted = json.loads(body)
        prompt, targets = posted["prompt"], posted.get("partial_execution_targets")
        leading = _leading_to_outputs(prompt, targets)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return {}
    refused = {}
    for id, outputs in leading.items():
        node = _checked.get(prompt[id]["class_type"])
        if node and (mistakes := _mistakes(node, prompt[id].get("inputs", {}))):
            errors = [_error(name, sentence) for name, sentence in mistakes.items()]
            refused[id] = {"errors": errors, "dependent_outputs": outputs, "class_type": prompt[id]["class_type"]}
    return refused


def _mistakes(node: Any, inputs: Json) -> dict[str, str]:
    """Return input -> sentence. Linked inputs are not known yet."""
    names = inspect.signature(node.mistakes).parameters
    return node.mistakes(**{name: inputs[name] for name in names if isinstance(inputs.get(name), str)})


def _leading_to_outputs(prompt: Json, targets: Sequence[str] | None) -> dict[str, list[str]]:
    """Return the nodes that ComfyUI would look at, each with the outputs that need it. targets: None for all."""
    leading: dict[str, list[str]] = {}
    for output, node in prompt.items():
        made = _comfyui.NODE_CLASS_MAPPINGS.get(node["class_type"])
        if getattr(made, "OUTPUT_NODE", False) is not True or (targets is not None and output not in targets):
            continue
        ways, seen = [output], set()
        while ways:
            id = ways.pop()
            if id not in seen:
                seen.add(id)
                leading.setdefault(id, []).append(output)
                values = prompt[id].get("inputs", {}).values()
                ways += [value[0] for value in values if isinstance(value, list) and len(value) == 2]
    return leading


def _error(name: str, sentence: str) -> Json:
    return {
        "type": "custom_validation_failed",
        "message": "Custom validation failed for node",
        "details": f"{name} - {sentence}",
        "extra_info": {"input_name": name},
    }


def _answer(refused: dict[str, Json]) -> Json:
    """Return what ComfyUI answers when no output can be made."""
    for id, node in refused.items():
        for error in node["errors"]:
            _log.warning("Style RAG: %s (node %s): %s", node["class_type"], id, error["details"])
    error = {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation"}
    return {"error": error | {"details": "", "extra_info": {}}, "node_errors": refused}
