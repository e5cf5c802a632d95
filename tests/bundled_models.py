"""The bundled miniature models, by the pack's own loader; for tests and benchmarks."""

from __future__ import annotations

from pathlib import Path

import torch
from style_pack.generation.loading.files import check_files
from style_pack.generation.loading.pipeline import StylePipeline, load_pipeline
from style_pack.generation.loading.precision import Precision

MODELS = Path(__file__).parents[1] / "models"


def load_bundled(models: Path = MODELS, dtype: torch.dtype = torch.float32) -> StylePipeline:
    """The stack in a folder that is laid out as `models/` is."""
    adapter = models / "ip-adapter-tiny"
    files = check_files(
        models / "sd-tiny",
        models / "controlnet-canny-tiny",
        adapter / "ip-adapter_tiny.safetensors",
        [adapter / "image_encoder"],
    )
    return load_pipeline(files, models / "sd-tiny" / "tokenizer", Precision(dtype))
