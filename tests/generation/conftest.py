"""The bundled models, loaded once for this folder's tests, and the configs of small ones."""

from pathlib import Path

import pytest
from bundled_models import load_bundled
from style_pack.generation.loading import weights
from style_pack.generation.loading.pipeline import StylePipeline


@pytest.fixture(scope="session")
def pipeline() -> StylePipeline:
    return load_bundled()


@pytest.fixture
def small_configs(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configs of a module's small `models` in place of SD 1.5's published ones, for single files."""
    monkeypatch.setattr(weights, "CONFIGS", models / "configs")
