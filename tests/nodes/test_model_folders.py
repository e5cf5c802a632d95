"""What the nodes' lists read of ComfyUI's model folders, and that nobody waits for what does not answer."""

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from places import ROOT
from safetensors.torch import save_file

PARTS = ("base_model", "controlnet", "ip_adapter", "encoder", "caption_encoder", "lora")
WAIT = 20  # seconds after which a look would have waited for what never answers


@pytest.fixture
def models(comfy_nodes: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Models folders of our own, with a few good files in each."""
    import folder_paths

    known = folder_paths.folder_names_and_paths
    for name in ("checkpoints", "diffusers", "controlnet", "ipadapter", "clip_vision", "text_encoders", "loras"):
        (tmp_path / name).mkdir()
        monkeypatch.setitem(known, name, ([str(tmp_path / name)], folder_paths.supported_pt_extensions))
    save_file({"x.lora_down.weight": torch.zeros(2, 2)}, tmp_path / "loras" / "good.safetensors")
    shutil.copytree(ROOT / "models" / "clip-tiny", tmp_path / "clip_vision" / "clip")
    shutil.copytree(ROOT / "models" / "ip-adapter-tiny", tmp_path / "ipadapter" / "tiny")
    yield tmp_path


def module(comfy_nodes: dict[str, Any], name: str) -> Any:
    return sys.modules[comfy_nodes["CannyFromSketch"].__module__.rpartition(".")[0] + f".{name}"]


def own(paths: Any, part: str) -> list[str]:
    return [
        name
        for name in paths.model_options(part)
        if name not in paths.BUNDLED[part] and name not in paths.HUB.get(part, ())
    ]


def queue_once(comfy_nodes: dict[str, Any]) -> None:
    """What ComfyUI asks of the nodes whenever a workflow is queued, on its event loop."""
    for node in comfy_nodes.values():
        node.INPUT_TYPES()
    chosen = ("bundled/sd-tiny", "bundled/controlnet-canny-tiny", "bundled/ip-adapter-tiny")
    assert comfy_nodes["LoadStylePipeline"].validate_inputs(*chosen) is True
    assert comfy_nodes["LoadStyleLoRA"].validate_inputs("good.safetensors") is True
    assert comfy_nodes["StyleKnowledgeBase"].validate_inputs(encoder="clip") is True


def test_nothing_is_read_again_at_the_next_queueing(
    comfy_nodes: dict[str, Any], models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        save_file({"x.lora_down.weight": torch.zeros(2, 2)}, models / "clip_vision" / f"{number}.safetensors")
    queue_once(comfy_nodes)
    opened: list[str] = []
    path_open, read_text = Path.open, Path.read_text
    monkeypatch.setattr(Path, "open", lambda path, *a, **k: (opened.append(str(path)), path_open(path, *a, **k))[1])
    monkeypatch.setattr(
        Path, "read_text", lambda path, *a, **k: (opened.append(str(path)), read_text(path, *a, **k))[1]
    )
    queue_once(comfy_nodes)
    assert opened == []
    save_file({"x.lora_down.weight": torch.zeros(4, 4)}, models / "clip_vision" / "7.safetensors")
    queue_once(comfy_nodes)
    assert {Path(name).name for name in opened} == {"7.safetensors"}


def test_what_is_new_damaged_or_mended_is_seen_at_the_next_look(comfy_nodes: dict[str, Any], models: Path) -> None:
    paths = module(comfy_nodes, "host.paths")
    assert own(paths, "lora") == ["good.safetensors"]
    (models / "loras" / "more").mkdir()
    later = models / "loras" / "more" / "later.SAFETENSORS"
    later.write_bytes(b"cut")
    assert own(paths, "lora") == ["good.safetensors"]
    with pytest.raises(ValueError, match=r"later.SAFETENSORS is damaged"):
        module(comfy_nodes, "host.model_folders").identified_in_time(paths.find_model("lora", "more/later.SAFETENSORS"))
    shutil.copyfile(models / "loras" / "good.safetensors", later)
    assert own(paths, "lora") == ["good.safetensors", os.path.join("more", "later.SAFETENSORS")]
    config = models / "clip_vision" / "clip" / "config.json"
    whole = config.read_text(encoding="utf-8")
    config.write_text(json.dumps(json.loads(whole) | {"vision_config": "x"}), encoding="utf-8")
    assert own(paths, "encoder") == []
    assert "says vision_config" in comfy_nodes["StyleKnowledgeBase"].validate_inputs(encoder="clip")
    config.write_text(whole, encoding="utf-8")
    assert own(paths, "encoder") == ["clip"]


@pytest.mark.parametrize("call", ["scandir", "stat", "open"])
def test_what_never_answers_holds_nobody_up_and_hides_nothing_else(
    comfy_nodes: dict[str, Any], models: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    paths, answer = module(comfy_nodes, "host.paths"), threading.Event()
    for folder in ("loras", "clip_vision", "ipadapter", "checkpoints"):
        (models / folder / f"dead {call}").mkdir()
        shutil.copyfile(models / "loras" / "good.safetensors", models / folder / f"dead {call}" / "a.safetensors")
        (models / folder / f"way {call}.safetensors").symlink_to(models / folder / f"dead {call}" / "a.safetensors")
    place, name = (Path, "open") if call == "open" else (os, call)
    real = getattr(place, name)

    def waiting(path: Any = ".", *rest: Any, **named: Any) -> Any:
        if f"dead {call}" in str(path) or f"way {call}" in str(path):
            answer.wait()
        return real(path, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(place, name, waiting)
        began, listed = time.monotonic(), {}
        for _ in range(3):
            listed = {part: own(paths, part) for part in PARTS}
            queue_once(comfy_nodes)
        seconds = time.monotonic() - began
        answer.set()
    assert listed["encoder"] == ["clip"]
    assert "good.safetensors" in listed["lora"]
    assert any(name.startswith("tiny") for name in listed["ip_adapter"])
    assert seconds < WAIT * len(PARTS)


def test_folders_that_other_packs_register_in_forms_of_their_own_are_read(
    comfy_nodes: dict[str, Any], models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import folder_paths

    paths, known = module(comfy_nodes, "host.paths"), folder_paths.folder_names_and_paths
    forms: list[Any] = [([models / "loras"], [".safetensors"]), (str(models / "loras"), set()), ([], set())]
    for form in forms:
        monkeypatch.setitem(known, "loras", form)
        assert own(paths, "lora") == (["good.safetensors"] if form[0] else [])
    monkeypatch.delitem(known, "loras")
    assert own(paths, "lora") == []


def test_a_file_that_is_replaced_inside_a_folder_changes_the_folders_version(
    comfy_nodes: dict[str, Any], tmp_path: Path
) -> None:
    version = module(comfy_nodes, "host.model_folders").version
    shutil.copytree(ROOT / "models" / "clip-tiny", tmp_path / "base" / "deep" / "inside")
    before = version(tmp_path / "base")
    assert before == version(tmp_path / "base")
    [weights] = (tmp_path / "base" / "deep" / "inside").glob("*.safetensors")
    os.utime(weights, (1, 1))
    assert version(tmp_path / "base") != before
