"""The subgraph blueprint in subgraphs/: the whole of the quickstart between sketch and picture as one node.

Its nodes and their values are those of workflows/api/quickstart.json; here is what the one node shows of them.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from typing import Any

from comfy_client import Json
from comfy_page import ComfyPage
from places import ROOT

NAME = "Sketch + prompt to styled image"
FILE = ROOT / "subgraphs" / f"{NAME}.json"
ID = uuid.UUID("5d1c4f0e-7a34-4b60-9c55-2f6f1a3d8e21")
DESCRIPTION = (
    "A sketch and a prompt to a picture whose structure follows the sketch and whose style follows a reference that is "
    "retrieved for the prompt. Set to the bundled miniature models; choose your own for pictures to keep."
)
BUILD = (ROOT / "dev" / "build_blueprint.js").read_text(encoding="utf-8")
PROMPT = "3"
CANNY, BASE, RETRIEVE, LOAD, SAMPLER = 2, 4, 5, 6, 7


@dataclass(frozen=True)
class Entry:
    """An input of the one node, and the inputs of nodes inside that it stands for."""

    name: str
    type: str
    to: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Exit:
    """An output of the one node, and the node and slot inside that it comes from."""

    name: str
    type: str
    source: tuple[int, int]


def same(type_: str, node: int, *names: str) -> tuple[Entry, ...]:
    """Inputs that keep the names that they have inside."""
    return tuple(Entry(name, type_, ((node, name),)) for name in names)


ENTRIES = (
    *same("IMAGE", CANNY, "image"),
    *same("MASK", CANNY, "mask"),
    Entry("prompt", "STRING", ((RETRIEVE, "prompt"), (SAMPLER, "prompt"))),
    *same("STRING", SAMPLER, "negative_prompt"),
    Entry("knowledge_base", "STRING", ((BASE, "name"),)),
    *same("STRING", BASE, "sources"),
    *same("COMBO", BASE, "encoder"),
    *same("COMBO", LOAD, "base_model", "controlnet", "ip_adapter"),
    *same("INT", CANNY, "width", "height"),
    *same("INT", RETRIEVE, "top_k"),
    *same("INT", SAMPLER, "seed", "steps"),
    *same("FLOAT", SAMPLER, "cfg", "control_strength", "style_strength"),
)
EXITS = (
    Exit("image", "IMAGE", (SAMPLER, 0)),
    Exit("edges", "IMAGE", (CANNY, 0)),
    Exit("reference", "IMAGE", (RETRIEVE, 1)),
    Exit("explanation", "STRING", (RETRIEVE, 3)),
    Exit("info", "STRING", (SAMPLER, 1)),
)
PLACES = {
    CANNY: ((0, 0), (340, 420)),
    LOAD: ((0, 480), (340, 130)),
    BASE: ((400, 0), (340, 416)),
    RETRIEVE: ((800, 0), (340, 620)),
    SAMPLER: ((1200, 0), (380, 840)),
}
"""Node to position and size inside. The two ends lie left and right of them."""

ENDS = ((-260, 0), (1660, 0))
SIZE = (420, 760)


def export_blueprint(page: ComfyPage, api: Json) -> None:
    """Has the page build the subgraph, and writes it. The same input gives the same file."""
    built = json.loads(page.page.evaluate(BUILD, {"api": api, "blueprint": for_page(api)}))
    [node] = built["nodes"]
    content = {
        "revision": 0,
        "last_node_id": node["id"],
        "last_link_id": 0,
        "nodes": [node],
        "links": [],
        "version": 0.4,
        "definitions": {"subgraphs": built["subgraphs"]},
        "extra": {"BlueprintDescription": DESCRIPTION},
    }
    FILE.parent.mkdir(exist_ok=True)
    # ASCII alone: ComfyUI opens the file in the encoding of its machine.
    FILE.write_text(fixed_ids(json.dumps(content, indent=2)) + "\n", encoding="ascii", newline="\n")


def for_page(api: Json) -> dict[str, Any]:
    """What build_blueprint.js reads. `values`: of inputs that are linked in the workflow."""
    return {
        "id": str(ID),
        "name": NAME,
        "nodes": [{"id": id, "pos": pos, "size": size} for id, (pos, size) in PLACES.items()],
        "inputs": [{"name": one.name, "type": one.type, "to": one.to} for one in ENTRIES],
        "outputs": [{"name": one.name, "type": one.type, "from": one.source} for one in EXITS],
        "values": {"prompt": api[PROMPT]["inputs"]["value"]},
        "ends": ENDS,
        "size": SIZE,
    }


def fixed_ids(text: str) -> str:
    """The text with ids of its own in place of the random ones that the front end gives to sockets."""
    found = dict.fromkeys(re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", text))
    for number, random in enumerate(found):
        text = text.replace(random, str(ID if random == str(ID) else uuid.uuid5(ID, str(number))))
    return text
