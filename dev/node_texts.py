"""Writes locales/en/nodeDefs.json: the texts of the pack's nodes as their schemas have them, read from a real ComfyUI.

    .venv/bin/python dev/node_texts.py

Run it after a text of a node has changed, then bring locales/zh/nodeDefs.json to the same state by hand.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from comfy_client import ComfyError, Json
from comfyui import ComfyServer
from places import ROOT
from progress import say

LOCALES = ROOT / "locales"
CATEGORY = "Style RAG"


def node_texts(object_info: Json) -> Json:
    """What a nodeDefs.json holds, for each node of the pack in ComfyUI's /object_info."""
    return {name: texts_of(info) for name, info in sorted(object_info.items()) if info["category"] == CATEGORY}


def texts_of(info: Json) -> Json:
    inputs = {
        name: {"name": name, "tooltip": as_message(options["tooltip"])}
        for group in ("required", "optional")
        for name, (_, options) in info["input"].get(group, {}).items()
    }
    outputs = {
        str(slot): {"name": name, "tooltip": as_message(tooltip)}
        for slot, (name, tooltip) in enumerate(zip(info["output_name"], info["output_tooltips"], strict=True))
    }
    return {
        "display_name": info["display_name"],
        "description": as_message(info["description"]),
        "inputs": inputs,
        "outputs": outputs,
    }


def as_message(text: str) -> str:
    """The text with what vue-i18n, which shows it, takes for its own syntax written as literals."""
    return re.sub(r"[{}@|]", lambda sign: f"{{'{sign[0]}'}}", text)


def read_texts(language: str, file: str = "nodeDefs") -> Any:
    return json.loads((LOCALES / language / f"{file}.json").read_text(encoding="utf-8"))


def main() -> int:
    try:
        with ComfyServer() as server:
            texts = node_texts(server.get_json("/object_info"))
    except ComfyError as error:
        say(f"The texts could not be read: {error}")
        return 1
    path = LOCALES / "en" / "nodeDefs.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(texts, ensure_ascii=False, indent=2) + "\n", encoding="utf-8", newline="\n")
    say(f"{path.relative_to(ROOT)} is written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
