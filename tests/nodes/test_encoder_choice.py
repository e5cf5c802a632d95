"""Which files of the models folders the encoder's COMBO offers: what they are decides, not what they are called."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

CONFIGS = {
    "anything": {"model_type": "clip", "vision_config": {"hidden_size": 768}},
    "google--siglip-base-patch16-224": {"model_type": "siglip", "vision_config": {"hidden_size": 768}},
    "dino": {"model_type": "dinov2", "hidden_size": 768},
    "naflex": {"model_type": "siglip2"},
    "image_encoder": {"model_type": "clip_vision_model", "hidden_size": 1280},
    "org/CLIP-ViT-H-14": {"model_type": "clip"},
}
TENSORS = {
    "siglip.safetensors": {"vision_model.head.probe": (1, 1, 8), "text_model.head.weight": (8, 8)},
    "sigclip_vision.safetensors": {"vision_model.head.probe": (1, 1, 8)},
    "dinov2.safetensors": {"embeddings.mask_token": (1, 8), "encoder.layer.0.layer_scale1.lambda1": (8,)},
    "lora.safetensors": {"x.lora_down.weight": (8, 8)},
}


@pytest.fixture
def paths(comfy_nodes: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The pack's module `paths`, with two models folders of our own."""
    import folder_paths

    folder = tmp_path / "clip_vision"
    for name, config in CONFIGS.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text(json.dumps(config))
    for name, shapes in TENSORS.items():
        save_file({key: torch.zeros(shape) for key, shape in shapes.items()}, folder / name)
    (folder / "damaged.safetensors").write_bytes(b"no header")
    known = folder_paths.folder_names_and_paths
    monkeypatch.setitem(known, "clip_vision", ([str(folder)], {".safetensors"}))
    pooling = tmp_path / "text_encoders" / "minilm" / "1_Pooling" / "config.json"
    pooling.parent.mkdir(parents=True)
    pooling.write_text("{}")
    (pooling.parents[1] / "config.json").write_text('{"model_type": "bert", "hidden_size": 384}')
    monkeypatch.setitem(known, "text_encoders", ([str(tmp_path / "text_encoders")], {".safetensors"}))
    folder_paths.filename_list_cache.clear()
    yield sys.modules[comfy_nodes["CannyFromSketch"].__module__.rpartition(".")[0] + ".host.paths"]
    folder_paths.filename_list_cache.clear()


def test_encoders_of_every_family_are_offered_by_folder_and_file(paths: Any) -> None:
    offered = paths.model_options("encoder")
    own = [name for name in offered if not name.startswith(("bundled/", "openai/", "google/", "facebook/"))]
    assert own == [
        "dinov2.safetensors",
        "siglip.safetensors",
        "anything",
        "dino",
        "google--siglip-base-patch16-224",
        "org/CLIP-ViT-H-14",
    ]
    assert [paths.find_model("encoder", name).name for name in own][-1] == "CLIP-ViT-H-14"


def test_caption_encoders_are_sentence_encoders_alone(paths: Any) -> None:
    assert paths.model_options("caption_encoder") == ["sentence-transformers/all-MiniLM-L6-v2", "minilm"]
    assert paths.find_model("caption_encoder", "minilm").name == "minilm"
    with pytest.raises(FileNotFoundError, match="caption_encoder 'x' was not found: looked in .*text_encoders"):
        paths.find_model("caption_encoder", "x")
