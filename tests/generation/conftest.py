"""The bundled models, loaded once for this folder's tests."""

import pytest
import torch
from places import ROOT
from style_pack.generation.files import check_files
from style_pack.generation.pipeline import StylePipeline, load_pipeline

MODELS = ROOT / "models"


@pytest.fixture(scope="session")
def pipeline() -> StylePipeline:
    files = check_files(
        MODELS / "sd-tiny",
        MODELS / "controlnet-canny-tiny",
        MODELS / "ip-adapter-tiny" / "ip-adapter_tiny.safetensors",
        [MODELS / "ip-adapter-tiny" / "image_encoder"],
    )
    return load_pipeline(files, MODELS / "sd-tiny" / "tokenizer", torch.float32)
