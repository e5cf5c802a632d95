"""`make bench`: runs the benchmarks, each in a process of its own, and prints one JSON object a line."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BENCHMARKS = ("start_up.py", "sampler.py", "quality.py", "sketches.py", "retrieval_quality.py", "retrieval_scale.py")


def main() -> int:
    return max(subprocess.run([sys.executable, HERE / name], check=False).returncode for name in BENCHMARKS)


if __name__ == "__main__":
    sys.exit(main())
