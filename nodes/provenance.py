"""What Save Image writes into a PNG beside the pixels: `info`, and the references pinned in its prompt and workflow.

ComfyUI hands the same `prompt` and `extra_pnginfo` to all nodes of a run; its history, and the editor, have copies that
were made before. So what is changed here is what a later node of this run reads, and nothing else. The references must
be written by the node that paints: in a run whose search is still cached, Retrieve Style does not run. Where the
painting itself is cached, nothing of ours runs: what was written when it was painted is remembered, and written when
its prompt is posted again. The prompt is left alone then, for by its inputs ComfyUI finds what is in its cache.
"""

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from comfy_api.latest import io
from PIL import Image
from server import PromptServer

from ..retrieval.pictures.reader import content_id
from ..retrieval.ranking.pins import write_pins
from .retrieve import RetrieveStyle
from .sockets import StyleReferences

_SAMPLER = "ControlNetIPAdapterSampler"
_BEST_MATCH = 1  # the number of the output `image` of Retrieve Style
_REMEMBERED = 100  # paintings, a few kilobytes each

Json = dict[str, Any]


@dataclass(frozen=True)
class _Painting:
    """What one sampler painted from. from_matches: by its input `references`, else by `reference_image`."""

    sampler: type[io.ComfyNode]
    from_matches: bool
    pins: str
    info: Json


class _PngInfo(dict[str, Any]):
    """`extra_pnginfo` of one run. Deep copies, which ComfyUI's history and queue hold, are of what was posted.

    signatures: node id -> what tells it, and all that leads to it, from others; of each sampler, and more.
    """

    def __init__(self, posted: Json, signatures: dict[str, str]) -> None:
        super().__init__(posted)
        self.signatures = signatures
        self._posted = posted

    def __deepcopy__(self, memo: dict[int, Any]) -> Json:
        return copy.deepcopy(self._posted, memo)


_painted: dict[str, _Painting] = {}  # by signature, the one painted last at the end


def register() -> None:
    """Prepare every prompt that is posted: for `info` to be written into, and with what is remembered of it."""
    server = getattr(PromptServer, "instance", None)
    if server is not None:
        server.add_on_prompt_handler(_with_pnginfo)


def write(
    sampler: type[io.ComfyNode], references: StyleReferences | None, pictures: Sequence[Image.Image], info: Json
) -> None:
    """Write what decided a picture where Save Image will find it. sampler: the node that painted.

    Save Image does not say whose picture it has. Where several samplers paint, `style_rag` is of the one that painted
    last before the picture was saved, and each also has its own, `style_rag_` and its node's id.
    """
    hidden = sampler.hidden
    prompt, pnginfo = hidden.prompt or {}, hidden.extra_pnginfo
    pins = write_pins(references.matches) if references else "\n".join(map(content_id, pictures))
    painting = _Painting(sampler, references is not None, pins, info)
    searches = _searches(prompt, hidden.unique_id, painting)
    for id in searches:
        prompt[id] = prompt[id] | {"inputs": prompt[id]["inputs"] | {"pinned": pins}}
    if pnginfo is not None:
        _note(pnginfo, prompt, hidden.unique_id, searches, painting)
    if isinstance(pnginfo, _PngInfo) and hidden.unique_id in pnginfo.signatures:
        _remember(pnginfo.signatures[hidden.unique_id], painting)


def _note(pnginfo: Json, prompt: Json, id: str, searches: Sequence[str], painting: _Painting) -> None:
    """Write into `extra_pnginfo` what a sampler painted from. searches: ids of what is pinned in the workflow."""
    pnginfo["style_rag"] = painting.info
    if len(_samplers(prompt)) > 1:
        pnginfo[f"style_rag_{id}"] = painting.info
    workflow: Any = copy.deepcopy(pnginfo.get("workflow"))
    try:
        for search in searches:
            _set_widget(workflow, search, RetrieveStyle, "pinned", painting.pins)
        _set_widget(workflow, id, painting.sampler, "control_after_generate", "fixed")
    except (AttributeError, KeyError, TypeError):
        return  # a client may send anything as its workflow: what the editor could not read is written as it came
    pnginfo["workflow"] = workflow


def _remember(signature: str, painting: _Painting) -> None:
    _painted.pop(signature, None)
    _painted[signature] = painting
    while len(_painted) > _REMEMBERED:
        del _painted[next(iter(_painted))]


def _with_pnginfo(request: Json) -> Json:
    """Give a prompt an `extra_pnginfo`, which its client need not send. ComfyUI has not checked it yet."""
    prompt, extra = request.get("prompt"), request.setdefault("extra_data", {})
    if not _is_prompt(prompt) or not isinstance(extra, dict) or not (samplers := _samplers(prompt)):
        return request
    posted = extra.get("extra_pnginfo") or {}
    if not isinstance(posted, dict):
        return request
    signatures: dict[str, str] = {}
    for id in samplers:
        _sign(prompt, id, signatures)
    pnginfo = _PngInfo(posted, signatures)
    for id in samplers:
        if painting := _painted.get(signatures[id]):
            _note(pnginfo, prompt, id, _searches(prompt, id, painting), painting)
    extra["extra_pnginfo"] = pnginfo
    return request


def _is_prompt(prompt: Any) -> TypeGuard[Json]:
    """Tell whether a prompt has a prompt's form; what has not, ComfyUI refuses."""
    nodes = prompt.values() if isinstance(prompt, dict) else [None]
    return all(isinstance(node, dict) and isinstance(node.get("inputs", {}), dict) for node in nodes)


def _samplers(prompt: Json) -> list[str]:
    return [id for id, node in prompt.items() if node.get("class_type") == _SAMPLER]


def _sign(prompt: Json, id: str, signatures: dict[str, str]) -> str:
    """Return what tells a node, and all that leads to it, from others; their ids do not count."""
    if id not in signatures:
        signatures[id] = ""  # ends a circle, which ComfyUI will refuse
        inputs = {
            name: [_sign(prompt, value[0], signatures), value[1]] if _is_link(value, prompt) else value
            for name, value in prompt[id].get("inputs", {}).items()
        }
        text = json.dumps([prompt[id].get("class_type"), inputs], sort_keys=True)
        signatures[id] = hashlib.sha256(text.encode()).hexdigest()
    return signatures[id]


def _is_link(value: object, prompt: Json) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and value[0] in prompt


def _first_pin(search: Json) -> str:
    """Return the id in the first line of what a search has pinned, as far as that is text."""
    pinned = search["inputs"].get("pinned")
    return next(iter(pinned.split()), "") if isinstance(pinned, str) else ""


def _searches(prompt: Json, id: str, painting: _Painting) -> list[str]:
    """Return the ids of the Retrieve Style nodes to pin, those that a painting came from: the first on every way up.

    Of those whose picture is linked, the one behind the link itself: what lies between could have changed the picture.
    One that has it pinned already is left alone: another sampler may have pinned all of its matches, with scores.
    """
    inputs = prompt.get(id, {}).get("inputs", {})
    ways = [inputs.get("references" if painting.from_matches else "reference_image")]
    seen, searches = set(), []
    while ways:
        link = ways.pop()
        if not _is_link(link, prompt) or link[0] in seen:
            continue
        seen.add(link[0])
        node = prompt[link[0]]
        if node["class_type"] == "RetrieveStyle" and (painting.from_matches or link[1] == _BEST_MATCH):
            searches.append(link[0])
        elif painting.from_matches:
            ways += node["inputs"].values()
    return [search for search in searches if painting.from_matches or _first_pin(prompt[search]) != painting.pins]


def _set_widget(workflow: Json, id: str, node: type[io.ComfyNode], name: str, value: object) -> None:
    """Set a widget of a node in a workflow in the editor's form, which lists their values without their names."""
    holder, target = _find(workflow, id)
    values = target.get("widgets_values")
    at = _widgets(node).index(name)
    if isinstance(values, list) and at < len(values):
        values[at] = value
        _cut(holder, target, name)


def _widgets(node: type[io.ComfyNode]) -> list[str]:
    """Return the widgets' names in the editor's order: required ones first."""
    inputs = [entry for entry in node.define_schema().inputs if isinstance(entry, io.WidgetInput)]
    names = []
    for entry in sorted(inputs, key=lambda entry: bool(entry.optional)):
        names += [entry.id] + ["control_after_generate"] * bool(getattr(entry, "control_after_generate", False))
    return names


def _find(workflow: Json, id: str) -> tuple[Json, Json]:
    """Return the graph that holds a node, and the node; the id of one in a subgraph is that of each on the way to it,
    joined by colons. Both are empty when it is not there."""
    definitions = workflow.get("definitions", {}).get("subgraphs", [])
    holder: Json = workflow
    current: Json = {}
    for part in id.split(":"):
        if current:
            holder = next((graph for graph in definitions if graph.get("id") == current.get("type")), {})
        current = next((node for node in holder.get("nodes", []) if str(node.get("id")) == part), {})
    return (holder, current) if current else ({}, {})


def _cut(holder: Json, node: Json, name: str) -> None:
    """Take the link away that would give a widget another value than its own."""
    for socket in node.get("inputs", []):
        if socket.get("widget", {}).get("name") == name and socket.get("link") is not None:
            gone, socket["link"] = socket["link"], None
            holder["links"] = [link for link in holder["links"] if _link_id(link) != gone]
            sockets = [output for other in holder["nodes"] for output in other.get("outputs", [])]
            for links in (*(s.get("links") for s in sockets), *(s.get("linkIds") for s in holder.get("inputs", []))):
                if links and gone in links:
                    links.remove(gone)


def _link_id(link: Any) -> Any:
    """Of a link in either of the editor's forms: a list in a workflow, an object in a subgraph."""
    return link["id"] if isinstance(link, dict) else link[0]
