"""What a picture says of itself: a PNG's text chunks, and the prompt that an image generator has left in any kind."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from .picture_file import DAMAGED, use_picture
from .text_files import decode_text

_MAX_GRAPH = 4_000_000  # characters of ComfyUI's `prompt` chunk that are looked through; real ones have a tenth of that
_JSON_CHUNKS = ("invokeai_metadata", "sd-metadata", "comment")
_MAX_STEPS = 200  # nodes between a sampler and its text; graphs may be made up, and go in circles
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP")
_EXIF, _USER_COMMENT = 0x8769, 0x9286  # EXIF 2.32, tables 3 and 7
_CODE = 8  # bytes in front of a user comment that name its encoding: EXIF 2.32, table 9
_SETTINGS = re.compile(r"^(?:Negative prompt|Steps): ", re.MULTILINE)


def read_own_words(path: Path) -> tuple[str, list[str], str]:
    """Return (caption, tags, licence) from the chunks before a PNG's pixels, or from EXIF; empty where there are none.

    The caption is Description or Title (keywords of the PNG specification), else the positive prompt of `parameters`
    (Stable Diffusion web UI and its heirs; SwarmUI and Fooocus write JSON there), of `prompt` (ComfyUI: the graph in
    API form), of `invokeai_metadata` or `sd-metadata` (InvokeAI), or of `Comment` (NovelAI). JPEG and WebP have
    `parameters` as EXIF's user comment, and `prompt:` in front of ComfyUI's graph in one of its texts.
    """
    chunks = use_picture(path, _texts)
    caption = chunks.get("description") or chunks.get("title")
    if not caption:
        caption = _web_ui_prompt(chunks.get("parameters", "")) or _comfyui_prompt(chunks.get("prompt", ""))
        told = (_json_prompt(_read_json(chunks.get(name, ""))) for name in _JSON_CHUNKS)
        caption = caption or next(filter(None, told), "")
    keywords = re.split(r"[,;]", chunks.get("keywords", ""))
    return caption, [word for word in keywords if word.strip()], chunks.get("license") or chunks.get("licence") or ""


def _texts(image: Image.Image) -> dict[str, str]:
    if image.format not in _FORMATS:
        return {}
    chunks = {str(key).lower(): value for key, value in image.info.items() if isinstance(value, str)}
    if image.format != "PNG":
        with suppress(*DAMAGED):
            chunks |= _exif_texts(image.getexif())
    return chunks


def _exif_texts(exif: Image.Exif) -> Iterator[tuple[str, str]]:
    """Yield what generators write into EXIF, under the names that they have in a PNG. Cameras' own texts are none."""
    for text in exif.values():
        if isinstance(text, str) and text[:7].lower() == "prompt:":
            yield "prompt", text[7:]
    comment = exif.get_ifd(_EXIF).get(_USER_COMMENT)
    with suppress(ValueError):
        said = decode_text(comment[_CODE:]).strip("\0 ") if isinstance(comment, bytes) else str(comment or "")
        if said.startswith("{") or _SETTINGS.search(said):
            yield "parameters", said


def _web_ui_prompt(parameters: str) -> str:
    """Return the first part of `prompt, Negative prompt: ..., Steps: ...`, or the prompt of a JSON object."""
    if parameters.lstrip().startswith("{") and (said := _read_json(parameters)) is not None:
        return _json_prompt(said)
    return _plain(_SETTINGS.split(parameters, maxsplit=1)[0])


def _read_json(text: str) -> Any:
    """Return what a chunk holds as JSON, None where it is something else."""
    try:
        return json.loads(text) if 0 < len(text) <= _MAX_GRAPH else None
    except (ValueError, RecursionError):
        return None


def _json_prompt(said: Any) -> str:
    """Return the positive prompt in a program's own JSON; empty where there is none."""
    for name in ("sui_image_params", "image"):
        if isinstance(said, dict) and isinstance(said.get(name), dict):
            said = said[name]
    if not isinstance(said, dict):
        return ""
    if isinstance(inner := said.get("Comment"), str):  # NovelAI's, where there are no chunks
        said = _read_json(inner) if inner.lstrip().startswith("{") else said
    prompt = said.get("positive_prompt") or said.get("prompt") if isinstance(said, dict) else ""
    if isinstance(prompt, list):  # InvokeAI's first versions: a list of weighted prompts
        parts = [part.get("prompt") if isinstance(part, dict) else part for part in prompt]
        prompt = ", ".join(part for part in parts if isinstance(part, str))
    return _plain(prompt) if isinstance(prompt, str) else ""


def _comfyui_prompt(text: str) -> str:
    """Return the text that a sampler's `positive` leads back to, or the `prompt` that a sampler has as a widget."""
    graph = _read_json(text)
    nodes = graph if isinstance(graph, dict) else {}
    inputs = {id: node.get("inputs") for id, node in nodes.items() if isinstance(node, dict)}
    tables = {id: node_inputs for id, node_inputs in inputs.items() if isinstance(node_inputs, dict)}
    for node_inputs in tables.values():
        if "positive" in node_inputs and (prompt := _follow(tables, node_inputs["positive"])):
            return _plain(prompt)
    for node_inputs in tables.values():
        if isinstance(prompt := node_inputs.get("prompt"), str) and "seed" in node_inputs:
            return _plain(prompt)
    return ""


def _follow(tables: dict[str, dict[str, Any]], link: Any) -> str:
    """Walk upstream from a link `[node id, output]` to the first text, past nodes that only pass it on."""
    waiting = [link]
    for _ in range(_MAX_STEPS):
        if not waiting:
            return ""
        link = waiting.pop(0)
        if isinstance(link, str):
            return link
        if not isinstance(link, list) or not link or str(link[0]) not in tables:
            continue
        node_inputs = tables[str(link[0])]
        if "positive" in node_inputs:
            waiting.append(node_inputs["positive"])
        elif "text" in node_inputs:
            waiting.append(node_inputs["text"])
        else:
            waiting += [value for value in node_inputs.values() if isinstance(value, list)]
    return ""


def _plain(prompt: str) -> str:
    """Drop what steers a generator and says nothing: `<lora:name:1>`, and the marks of `(word:1.2)`."""
    prompt = re.sub(r"<[^<>]*>", " ", prompt)
    prompt = re.sub(r":-?\d+(?:\.\d+)?(?=[)\]])", "", prompt)
    return " ".join(re.sub(r"(?<!\\)[()\[\]]", "", prompt).split()).strip(" ,")
