"""Kills writers in the midst of everything that a knowledge base does: one JSON object.

    .venv/bin/python benchmarks/kills.py --kills 220

The moments are those of `tests/retrieval/writer_process.py`: reading, embedding, adding, removing and describing
styles, publishing the index, rebuilding, exporting and importing a style pack, keeping pictures that came without a
file, and a sync with folders that changed. It ends with an error at the first kill after which something that was
reported as stored is not there, is not found by its own vector, or has a picture that is not whole.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "retrieval")]

from pack import import_pack  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=220)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    import_pack()
    from test_killed_writers import kill_writers

    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="killed ") as folder:
        figures = kill_writers(Path(folder), chosen.kills, chosen.seed)
    print(json.dumps({**figures, "seconds": round(time.perf_counter() - began)}))


if __name__ == "__main__":
    main()
