"""A ComfyUI whose models folders hold what can't be read, or never answers: it starts, lists the rest and runs."""

import copy
import json
import os
import shutil
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import published_layouts as published
import pytest
import torch
from comfyui import ComfyServer
from pack_names import SERVED_FOLDER
from places import ROOT

SECONDS = 30  # in which a server that nothing holds up has answered on any machine
BAD_HEADERS = {
    "no sizes.safetensors": {"vision_model.head.probe": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}},
    "null.safetensors": {"vision_model.head.probe": {"dtype": "F32", "shape": [0, None], "data_offsets": [0, 0]}},
}
BAD_CONFIGS = {
    "words": b'{"model_type": "clip", "vision_config": "x"}',
    "list": b"[1, 2]",
    "mark": b'\xef\xbb\xbf{"model_type": "clip"}',
    "deep": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
}


def write_models(models: Path) -> None:
    encoders, adapters = models / "clip_vision", models / "ipadapter"
    for folder in (encoders, adapters / "dead drive", models / "loras", models / "checkpoints", models / "diffusers"):
        folder.mkdir(parents=True)
    for name, header in BAD_HEADERS.items():
        text = json.dumps(header).encode()
        (encoders / name).write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    for name, content in BAD_CONFIGS.items():
        (encoders / name).mkdir()
        (encoders / name / "config.json").write_bytes(content)
    for folder in (encoders, models / "loras", models / "checkpoints", models / "diffusers"):
        (folder / f"cut {folder.name}.safetensors").write_bytes(struct.pack("<Q", 2**40))
        (folder / f"nowhere {folder.name}.safetensors").symlink_to(models / "gone.safetensors")
        os.mkfifo(folder / f"pipe {folder.name}.safetensors")
        (folder / f"linked {folder.name}.safetensors").symlink_to(folder / f"pipe {folder.name}.safetensors")
        (folder / f"folder {folder.name}.safetensors").mkdir()
    shutil.copytree(ROOT / "models" / "clip-tiny", encoders / "good")
    shutil.copytree(ROOT / "models" / "sd-tiny", models / "diffusers" / "good")
    (models / "diffusers" / "odd" / "unet").mkdir(parents=True)
    (models / "diffusers" / "odd" / "model_index.json").write_text("{}")
    (models / "diffusers" / "odd" / "unet" / "config.json").write_text('{"cross_attention_dim": [768]}')
    published.ip_adapter(adapters / "good.safetensors")
    published.save(models / "loras" / "good.safetensors", {"x.lora_down.weight": torch.zeros(2, 2)})
    (encoders / "asleep.safetensors").write_bytes(b"not read")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    base = tmp_path_factory.mktemp("base of bad models")
    write_models(base / "models")
    packs = {SERVED_FOLDER: ROOT, "dead_drive": Path(__file__).parent / "dead_drive"}
    with ComfyServer(base, packs=packs, cpu=True) as server:  # which fails when a pack is IMPORT FAILED
        yield server


def options(info: dict[str, Any], node: str, name: str) -> list[str]:
    kind, more = info[node]["input"]["required"][name]
    return more["options"] if kind == "COMBO" else kind


def timed(ask: Any) -> tuple[Any, float]:
    began = time.monotonic()
    return ask(), time.monotonic() - began


def test_object_info_lists_what_is_good_in_bounded_time(server: ComfyServer) -> None:
    info: dict[str, Any] = {}
    for _ in range(2):
        info, seconds = timed(lambda: server.get_json("/object_info"))
        assert seconds < SECONDS
    assert "good" in options(info, "StyleKnowledgeBase", "encoder")
    assert "good.safetensors" in options(info, "LoadStylePipeline", "ip_adapter")
    assert "good" in options(info, "LoadStylePipeline", "base_model")
    assert options(info, "LoadStyleLoRA", "lora") == ["good.safetensors"]
    listed = [
        name
        for node, parts in (
            ("StyleKnowledgeBase", ("encoder",)), ("LoadStylePipeline", ("base_model", "controlnet", "ip_adapter")),
            ("LoadStyleLoRA", ("lora",)),
        )
        for part in parts
        for name in options(info, node, part)
    ]  # fmt: skip
    signs = ("cut", "nowhere", "pipe", "linked", "folder", "asleep", "odd", *BAD_HEADERS, *BAD_CONFIGS)
    assert not [name for name in listed if name.startswith(signs)]


def test_a_workflow_is_queued_and_runs_beside_them(server: ComfyServer) -> None:
    api = copy.deepcopy(json.loads((ROOT / "workflows" / "api" / "quickstart.json").read_text(encoding="utf-8")))
    for node in api.values():
        if node["class_type"] == "ControlNetIPAdapterSampler":
            node["inputs"].update(steps=1)
    entry = server.run(api, timeout=300)
    assert entry["status"]["status_str"] == "success"
    assert server.run(api, timeout=300)["status"]["status_str"] == "success"


def test_the_log_names_each_bad_file_once_with_its_reason(server: ComfyServer) -> None:
    for _ in range(3):
        server.get_json("/object_info/StyleKnowledgeBase")
    lines = [line for line in server.log_text().splitlines() if "Style RAG leaves out" in line]
    for name in (
        *BAD_HEADERS,
        *(f"{folder}/config.json" for folder in BAD_CONFIGS),
        "nowhere loras",
        "cut checkpoints",
    ):
        assert len([line for line in lines if name in line]) == 1, (name, lines)
    assert len([line for line in lines if "dead drive" in line and "does not answer" in line]) == 1
    assert "Traceback" not in server.log_text()
