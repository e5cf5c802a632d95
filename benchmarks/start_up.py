"""What the pack adds to ComfyUI's start: seconds to the first answer with and without it, turn about."""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "dev"))

from comfyui import ComfyServer  # noqa: E402
from places import ROOT  # noqa: E402

ROUNDS = 5


def seconds(with_pack: bool, empty: Path) -> float:
    packs = {"style-rag": ROOT} if with_pack else {"empty": empty}
    started = time.perf_counter()
    with ComfyServer(packs=packs):
        return time.perf_counter() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder)
        (empty / "__init__.py").write_text("NODE_CLASS_MAPPINGS = {}\n")
        seconds(True, empty)  # fills the disk cache
        pairs = [(seconds(True, empty), seconds(False, empty)) for _ in range(ROUNDS)]
    ours, without = (statistics.median(column) for column in zip(*pairs, strict=True))
    added = statistics.median(a - b for a, b in pairs)
    result = {"with_pack": round(ours, 2), "without": round(without, 2), "added": round(added, 2), "rounds": ROUNDS}
    print(json.dumps({"benchmark": "start_up", "unit": "seconds"} | result))


if __name__ == "__main__":
    main()
