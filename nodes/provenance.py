"""What Save Image writes into a PNG beside the pixels: `info`, and the references pinned in its prompt and workflow.

ComfyUI hands the same `prompt` and `extra_pnginfo` to all nodes of a run; its history, and the editor, have copies that
were made before. So what is changed here is what a later node of this run reads, and nothing else. The references must
be written by the node that paints: in a run whose search is still cached, Retrieve Style does not run.
"""

import copy
from collections.abc import Sequence
from typing import Any

from comfy_api.latest import io
from PIL import Image
from server import PromptServer

from ..retrieval.pins import write_pins
from ..retrieval.reader import content_id
from .retrieve import RetrieveStyle
from .sockets import StyleReferences

_SAMPLER = "ControlNetIPAdapterSampler"
_BEST_MATCH = 1  # the number of the output `image` of Retrieve Style

Json = dict[str, Any]


def register() -> None:
    """See to it that there is something to write `info` into: a client that posts a prompt need not send it."""
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
    searches = _searches(prompt, hidden.unique_id, references)
    pins = write_pins(references.matches) if references else "\n".join(map(content_id, pictures))
    if not references:  # one picture of a search; another sampler may have pinned all of them, with their scores
        searches = [id for id in searches if _first_pin(prompt[id]) != pins]
    for id in searches:
        prompt[id] = prompt[id] | {"inputs": prompt[id]["inputs"] | {"pinned": pins}}
    if pnginfo is None:
        return
    pnginfo["style_rag"] = info
    if sum(node.get("class_type") == _SAMPLER for node in prompt.values()) > 1:
        pnginfo[f"style_rag_{hidden.unique_id}"] = info
    workflow = copy.deepcopy(pnginfo.get("workflow"))
    try:
        for id in searches:
            _set_widget(workflow, id, RetrieveStyle, "pinned", pins)
        _set_widget(workflow, hidden.unique_id, sampler, "control_after_generate", "fixed")
    except (AttributeError, KeyError, TypeError):
        return  # a client may send anything as its workflow: what the editor could not read is written as it came
    pnginfo["workflow"] = workflow


def _first_pin(search: Json) -> str:
    """Return the id in the first line of what a search has pinned, as far as that is text."""
    pinned = search["inputs"].get("pinned")
    return next(iter(pinned.split()), "") if isinstance(pinned, str) else ""


def _with_pnginfo(request: Json) -> Json:
    prompt = request.get("prompt")
    if isinstance(prompt, dict) and any(node.get("class_type") == _SAMPLER for node in prompt.values()):
        extra = request.setdefault("extra_data", {})
        if extra.get("extra_pnginfo") is None:
            extra["extra_pnginfo"] = {}
    return request


def _searches(prompt: Json, id: str, references: StyleReferences | None) -> list[str]:
    """Return the ids of the Retrieve Style nodes that a sampler's references came from: the first on every way up.

    Of those whose picture is linked, the one behind the link itself: what lies between could have changed the picture.
    """
    inputs = prompt.get(id, {}).get("inputs", {})
    ways = [inputs.get("references" if references else "reference_image")]
    seen, found = set(), []
    while ways:
        link = ways.pop()
        if not (isinstance(link, list) and link and link[0] in prompt) or link[0] in seen:
            continue
        seen.add(link[0])
        node = prompt[link[0]]
        if node["class_type"] == "RetrieveStyle" and (references or link[1] == _BEST_MATCH):
            found.append(link[0])
        elif references:
            ways += node["inputs"].values()
    return found


def _set_widget(workflow: Json, id: str, node: type[io.ComfyNode], name: str, value: object) -> None:
    """Set a widget of a node in a workflow in the editor's form, which lists their values without their names."""
    holder, found = _find(workflow, id)
    values = found.get("widgets_values")
    at = _widgets(node).index(name)
    if isinstance(values, list) and at < len(values):
        values[at] = value
        _cut(holder, found, name)


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
    found: Json = {}
    for part in id.split(":"):
        if found:
            holder = next((graph for graph in definitions if graph.get("id") == found.get("type")), {})
        found = next((node for node in holder.get("nodes", []) if str(node.get("id")) == part), {})
    return (holder, found) if found else ({}, {})


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
