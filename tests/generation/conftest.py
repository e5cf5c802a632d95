"""The bundled models, loaded once for this folder's tests."""

import pytest
from bundled_models import load_bundled
from style_pack.generation.loading.pipeline import StylePipeline


@pytest.fixture(scope="session")
def pipeline() -> StylePipeline:
    return load_bundled()
