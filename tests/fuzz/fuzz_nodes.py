"""The ways into the pack that ComfyUI leads to: HTTP routes, the prompts and workflows that are posted, widgets.

To be imported when ComfyUI's own modules can be, which `conftest.import_comfyui` brings about.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import folder_paths
import fuzz_models
import fuzz_pictures
from comfy.cli_args import args
from fuzz_requests import LINE, ask, form, registered
from fuzz_targets import WORKFLOWS
from fuzz_watch import NEVER, Target, text_of
from style_pack.nodes import provenance
from style_pack.nodes.host import paths, source_paths
from style_pack.nodes.knowledge_base import StyleKnowledgeBase
from style_pack.nodes.pipeline import LoadStylePipeline
from style_pack.nodes.retrieve import RetrieveStyle
from style_pack.nodes.sampler import ControlNetIPAdapterSampler

NAME = "fuzzed"
ID = "a" * 64


@cache
def filled() -> str:
    """Make the knowledge base that is asked, by the route that makes one."""
    files = [("images", f"{n}.png", fuzz_pictures.pictures("PNG")[n]) for n in range(3)]
    body = form([("captions", "", b"red\nblue"), ("tags", "", b"warm"), ("encoder", "", b"bundled/clip-tiny"), *files])
    assert ask("POST", "{kb}/styles", body, f"multipart/form-data; boundary={LINE}", kb=NAME) == 200
    return NAME


def post_form(path: str) -> Callable[[bytes, Path], None]:
    """A form as it comes. No knowledge base is made or changed by it: its name can't be one's."""

    def run(data: bytes, folder: Path) -> None:
        ask("POST", path, data, f"multipart/form-data; boundary={LINE}", kb="no such/name")

    return run


def describe(data: bytes, folder: Path) -> None:
    ask("PATCH", "{kb}/styles/{id}", data, "application/json", kb=filled(), id=ID)


def asked(path: str, name: str) -> Callable[[bytes, Path], None]:
    """A query string with a text under one name; what is in it is decoded as a server would."""

    def run(data: bytes, folder: Path) -> None:
        text = quote(text_of(data).encode("utf-8", "replace"))
        ask("GET", path, query=f"{name}={text}&top_k=2", kb=filled())

    return run


def places(data: bytes, folder: Path) -> None:
    """A name and an id as they stand in an address."""
    name, _, id = text_of(data).partition("/")
    for place in ("image", "thumbnail"):
        ask("GET", f"{{kb}}/styles/{{id}}/{place}", kb=name, id=id)
    ask("DELETE", "{kb}/styles/{id}", kb=name, id=id)
    ask("POST", "{kb}/styles/{id}/restore", kb=name, id=id)
    ask("GET", "{kb}/labels", kb=name)


def owners_settings(data: bytes, folder: Path) -> None:
    file = Path(paths.system_user_directory()) / "settings.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    before, args.listen = args.listen, "0.0.0.0"
    file.write_bytes(data)
    try:
        source_paths.check_sources("styles\nhttps://a.b/c.png\n/etc")
    finally:
        args.listen = before
        file.unlink()


def widgets(data: bytes, folder: Path) -> None:
    """Texts in the widgets of nodes are refused with a sentence, or taken."""
    text = text_of(data)
    for refused in (
        StyleKnowledgeBase.validate_inputs(sources=text),
        StyleKnowledgeBase.validate_inputs(name=text, encoder=text),
        RetrieveStyle.validate_inputs(prompt=text, filter=text),
    ):
        assert refused is True or (isinstance(refused, str) and refused)


def decoded(data: bytes) -> Any:
    """What ComfyUI has made of a body; one that is nested too deep never comes so far."""
    try:
        return json.loads(data)
    except RecursionError as error:
        raise json.JSONDecodeError("nested too deep", "", 0) from error


def post_prompt(data: bytes, folder: Path) -> None:
    """Anything that a client posts as a prompt; ComfyUI has looked at none of it yet but that it is an object."""
    request = decoded(data)
    if isinstance(request, dict):
        assert registered().on_prompt(request).get("prompt") == request.get("prompt")


def save_workflow(data: bytes, folder: Path) -> None:
    """Anything that a client posts as its workflow, at the end of a run of a prompt that ComfyUI has checked."""
    prompt = json.loads((WORKFLOWS / "api" / "quickstart.json").read_text())
    sampler = next(id for id, node in prompt.items() if node["class_type"] == "ControlNetIPAdapterSampler")
    pnginfo = {"workflow": decoded(data)}
    hidden = SimpleNamespace(prompt=prompt, extra_pnginfo=pnginfo, unique_id=sampler)
    node = type("Sampler", (ControlNetIPAdapterSampler,), {"hidden": hidden})
    provenance.write(node, None, [fuzz_pictures.drawn("RGB")], {"settings": {}})
    assert pnginfo["style_rag"] == {"settings": {}}


def list_models(data: bytes, folder: Path) -> None:
    """Nodes are listed whatever lies in ComfyUI's model folders."""
    files = [
        Path(folder_paths.get_folder_paths(kind)[0]) / name
        for kind in ("clip_vision", "text_encoders", "loras", "checkpoints")
        for name in ("odd.safetensors", "odd folder/config.json", "odd folder/model.safetensors")
    ]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(fuzz_models.with_header(data) if file.stem == "odd" else data)
    folder_paths.filename_list_cache.clear()
    for node in (StyleKnowledgeBase, LoadStylePipeline):
        assert node.define_schema().node_id


def _workflows() -> Sequence[bytes]:
    return [file.read_bytes() for file in sorted(WORKFLOWS.glob("*.json"))]


def _requests() -> Sequence[bytes]:
    api = [json.loads(file.read_text()) for file in sorted((WORKFLOWS / "api").glob("*.json"))]
    return [
        json.dumps({"prompt": prompt, "extra_data": {"extra_pnginfo": {"workflow": {}}}}).encode() for prompt in api
    ]


def _forms() -> Sequence[bytes]:
    picture = fuzz_pictures.pictures("PNG")[0]
    add = [("images", "a.png", picture), ("captions", "", b"red"), ("tags", "", b"warm"), ("encoder", "", b"x")]
    make = [("sketch", "a.png", picture), ("prompt", "", b"a house"), ("seed", "", b"x")]
    return [form(add), form(make)]


_FORM = (f"--{LINE}", "\r\n", "Content-Disposition: form-data; ", 'name="images"', 'filename="a.png"', "images", "tags")
_FORM = (*_FORM, "Content-Type: text/plain", "Content-Transfer-Encoding: base64", "multipart/mixed", "--", "utf-7")
_FILTER = ("tag:", "date:", "size:", "OR", "NOT", "(", ")", "-", '"', "..", "2024", "512", "name:warm", " ")
_SOURCES = (
    "styles",
    "\n",
    "/",
    "..",
    "~",
    "~x",
    "\x00",
    "https://",
    "C:\\",
    "\\\\host\\x",
    "a" * 300,
    "urls.txt",
    "con",
)
_GRAPH = ("nodes", "links", "definitions", "subgraphs", "widgets_values", "inputs", "outputs", "id", "type", "widget")
_GRAPH = (*_GRAPH, "class_type", "ControlNetIPAdapterSampler", "RetrieveStyle", "extra_data", "extra_pnginfo", "pinned")

TARGETS: dict[str, Target] = {
    "form that adds styles": Target(post_form("{kb}/styles"), _forms, NEVER, words=_FORM, cost=4),
    "form that generates": Target(post_form("generate"), _forms, NEVER, words=_FORM, cost=4),
    "body that describes": Target(
        describe, lambda: [b'{"caption": "red", "tags": ["warm"]}'], NEVER, "json", ("caption", "tags"), cost=2
    ),
    "search asked for": Target(asked("{kb}/search", "q"), lambda: [b"a red harbour"], NEVER, "text", _FILTER, cost=20),
    "strategy asked for": Target(
        asked("{kb}/search", "q=ink&strategy"),
        lambda: [b"hybrid"],
        NEVER,
        "text",
        ("image", "keyword", "&q="),
        cost=20,
    ),
    "filter asked for": Target(asked("{kb}/styles", "filter"), lambda: [b"tag:warm"], NEVER, "text", _FILTER, cost=4),
    "page asked for": Target(
        asked("{kb}/styles", "offset"),
        lambda: [b"1", b"9" * 9],
        NEVER,
        "text",
        ("0", "-1", "&limit=", "1e3", "٣"),
        cost=4,
    ),
    "name and id": Target(
        places, lambda: [f"{NAME}/{ID}".encode()], NEVER, "text", ("a", "/", NAME, ID, "..", "con", "\x00"), cost=4
    ),
    "owner's settings": Target(
        owners_settings,
        lambda: [b'{"allow_folders": ["/styles"], "allow_urls": true, "engines": {}}'],
        (ValueError, OSError),
        "json",
        ("allow_folders", "allow_urls", "/", "\x00"),
    ),
    "widgets": Target(widgets, lambda: [b"styles\n~/pictures"], NEVER, "text", _SOURCES, cost=4),
    "posted prompt": Target(post_prompt, _requests, (json.JSONDecodeError, UnicodeDecodeError), "json", _GRAPH),
    "posted workflow": Target(save_workflow, _workflows, (json.JSONDecodeError, UnicodeDecodeError), "json", _GRAPH, 4),
    "model folders": Target(
        list_models,
        lambda: [*fuzz_models.headers(), *fuzz_models.configs()],
        NEVER,
        "json",
        ("shape", "model_type"),
        40,
    ),
}
