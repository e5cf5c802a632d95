"""How large a program is, and whether it grows."""

from __future__ import annotations

import contextlib
import statistics
from collections import Counter
from typing import Any

import psutil

GROWTH = {"megabytes": 1.15, "files": 1.1, "threads": 1.1}  # that is allowed from the first quarter to the last


def sizes_of(pid: int) -> dict[str, int]:
    """Return the megabytes, open files and threads of a process and of all that it started, together."""
    whole = psutil.Process(pid)
    found: Counter[str] = Counter()
    for process in [whole, *whole.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            found["megabytes"] += process.memory_info().rss >> 20
            found["files"] += process.num_fds()
            found["threads"] += process.num_threads()
    return dict(found)


def quarters(sizes: list[dict[str, int]]) -> dict[str, Any]:
    """Of each size: the median of the first quarter, of the last, and what the last is of the first."""
    part = max(len(sizes) // 4, 1)
    found = {}
    for name in GROWTH:
        first, last = (statistics.median(size[name] for size in cut) for cut in (sizes[:part], sizes[-part:]))
        found[name] = {"first": first, "last": last, "of_first": round(last / first, 3)}
    return found
