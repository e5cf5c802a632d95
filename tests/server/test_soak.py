"""benchmarks/soak.py, as small as it goes: prompts, interrupts, edits and searches, and what is left of them."""

from __future__ import annotations

import json
import subprocess
import sys

from places import ROOT


def test_nothing_is_lost_or_red_after_a_few_prompts_with_edits_and_searches_beside_them() -> None:
    command = [sys.executable, ROOT / "benchmarks" / "soak.py", "--prompts", "9"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.stdout, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert told["wrong"] == []
    assert done.returncode == 0
    assert told["success"] >= 6
    assert told["styles"] >= 5
    assert told["search edited"] > 0
