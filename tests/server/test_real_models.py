"""Models of SD 1.5's full size, random weights in published layouts, through the real nodes on a real server.

The files lie where `extra_model_paths.yaml` says, under names that tell nothing. They are written for one run and
removed after it: a set takes 4.5 GB of disk, and loading it in fp32 10 GB of memory.
"""

import copy
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import published_layouts as published
import pytest
from comfyui import ComfyServer
from PIL import Image
from places import ROOT

FULL = published.FULL


def original_layouts(models: Path) -> dict[str, str]:
    published.checkpoint(models / "checkpoints" / "a.safetensors", FULL)
    published.controlnet(models / "controlnet" / "b.pth", FULL, layout="original")
    published.ip_adapter(models / "ipadapter" / "c.bin", FULL, kind="ip-adapter_sd15")
    return {"base_model": "a.safetensors", "controlnet": "b.pth", "ip_adapter": "c.bin"}


def diffusers_layouts(models: Path) -> dict[str, str]:
    published.diffusers_folder(models / "diffusers" / "d", FULL, as_on_hub=True)
    published.controlnet(models / "controlnet" / "e.safetensors", FULL, layout="diffusers")
    published.ip_adapter(models / "ipadapter" / "f.safetensors", FULL, kind="ip-adapter-plus_sd15")
    return {"base_model": "d", "controlnet": "e.safetensors", "ip_adapter": "f.safetensors"}


@pytest.mark.full_size
@pytest.mark.parametrize("write", [original_layouts, diffusers_layouts])
def test_full_size_models_paint_a_picture_in_two_steps(write: Callable[[Path], dict[str, str]], tmp_path: Path) -> None:
    models = tmp_path / "my models"
    for folder in ("checkpoints", "diffusers", "controlnet", "ipadapter", "clip_vision"):
        (models / folder).mkdir(parents=True)
    chosen = write(models)
    published.clip_vision(models / "clip_vision" / "g.safetensors", FULL)
    places = "".join(f"  {folder.name}: {folder.name}\n" for folder in models.iterdir())
    yaml = tmp_path / "extra_model_paths.yaml"
    yaml.write_text(f"mine:\n  base_path: {models}\n{places}")
    try:
        with ComfyServer(cpu=True, arguments=["--extra-model-paths-config", str(yaml)]) as server:
            entry = server.run(workflow(chosen), timeout=1500)
            picture = Image.open(io.BytesIO(server.get_image(saved(entry))))
    finally:
        shutil.rmtree(models)
    assert picture.size == (256, 256)
    assert np.asarray(picture).std() > 1


def workflow(chosen: dict[str, str]) -> dict[str, Any]:
    """The quickstart with other models and two steps."""
    api = copy.deepcopy(json.loads((ROOT / "workflows" / "api" / "quickstart.json").read_text(encoding="utf-8")))
    for node in api.values():
        if node["class_type"] == "LoadStylePipeline":
            node["inputs"].update(chosen)
        elif node["class_type"] == "ControlNetIPAdapterSampler":
            node["inputs"].update(steps=2)
    return api


def saved(entry: dict[str, Any]) -> dict[str, str]:
    """What SaveImage wrote: the one picture that is not temporary."""
    images = [image for output in entry["outputs"].values() for image in output.get("images", [])]
    return next(image for image in images if image["type"] == "output")
