"""Some odd inputs for each way into the pack; `benchmarks/fuzz.py` looks at as many as one has time for."""

from __future__ import annotations

from pathlib import Path

import fuzz_models
import fuzz_stored
import fuzz_targets
import pytest
from fuzz_inputs import look_at_some

TARGETS = {**fuzz_targets.TARGETS, **fuzz_stored.TARGETS, **fuzz_models.TARGETS}
INPUTS = 100  # of a quick one


@pytest.mark.parametrize("name", TARGETS)
def test_an_odd_input_is_refused_in_a_sentence_or_taken(name: str, tmp_path: Path) -> None:
    look_at_some(TARGETS[name], tmp_path, INPUTS)
