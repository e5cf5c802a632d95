"""Makes the pack importable outside ComfyUI, as `style_pack`, and loads its bundled models."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from style_pack.generation.loading.pipeline import StylePipeline

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "models"


def import_pack() -> None:
    """Register the pack without running its __init__.py, which is for ComfyUI; `training` becomes importable too."""
    spec = importlib.util.spec_from_file_location(
        "style_pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec is not None
    sys.modules["style_pack"] = importlib.util.module_from_spec(spec)
    sys.path.append(str(ROOT))


def load_bundled(models: Path = MODELS, dtype: str = "float32") -> StylePipeline:
    """The miniature models in a dtype of torch's, by the pack's own loader."""
    import torch

    sys.path.append(str(ROOT / "tests"))
    import bundled_models

    return bundled_models.load_bundled(models, getattr(torch, dtype))
