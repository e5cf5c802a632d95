"""Runs a long command so that one sees that it goes on: its output goes to a log, now and then a line to the screen."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

QUIET_SECONDS = 10.0
"""How long the screen may stay as it is."""

TAIL_LINES = 15
LINE_WIDTH = 100
NOISE = ("WARNING: Location", "Requirement already satisfied", "Looking in links")
"""Lines of pip that say nothing about what it is doing or why it failed."""


class StepFailed(RuntimeError):
    """A step of the set-up did not work; the message is a sentence for the user, with the end of the step's output."""


def say(text: str) -> None:
    """Progress goes to stderr, so that stdout holds results alone."""
    print(text, file=sys.stderr, flush=True)


def run_step(title: str, command: Sequence[str | Path], log: Path, environment: dict[str, str] | None = None) -> None:
    """Runs `command`, appends its output to `log`, and says every ten seconds what it is at. Raises StepFailed."""
    say(f"- {title}")
    started = time.monotonic()
    lines: queue.Queue[str | None] = queue.Queue()
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    with subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **(environment or {})},
    ) as process:
        threading.Thread(target=_read, args=(process, lines), daemon=True).start()
        try:
            _follow(lines, log, tail, started)
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        shown = "\n".join(f"    {line}" for line in tail)
        raise StepFailed(f"{title}: failed with exit code {process.returncode}. See {log}; it ends with:\n{shown}")


def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line.rstrip())
    lines.put(None)


def _follow(lines: queue.Queue[str | None], log: Path, tail: deque[str], started: float) -> None:
    """Copies lines to the log until there are no more; keeps the last ones in `tail`."""
    said = time.monotonic()
    with log.open("a", encoding="utf-8") as file:
        while True:
            try:
                line = lines.get(timeout=1.0)
                if line is None:
                    return
                file.write(line + "\n")
                if not line.startswith(NOISE):
                    tail.append(line)
            except queue.Empty:
                file.flush()
            if time.monotonic() - said >= QUIET_SECONDS:
                said = time.monotonic()
                say(f"    {_duration(said - started)}: {_shortened(tail[-1]) if tail else 'working'}")


def _shortened(line: str) -> str:
    """A line of pip's without the folder of a file and the reason for a package."""
    return re.sub(r" \(from .*|(?<=Processing )[^(]*/", "", line).strip()[:LINE_WIDTH]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
