"""Embedded Chroma in a process of its own, for a program that has others waiting, as a web server has.

Chroma's core keeps Python's lock while it opens a folder (0.1 to 0.4 s) and while it takes vectors in (0.4 s for 400 on
two cores), and no other thread of its process runs until then. Knows none of Chroma's own calls.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from .base import DamagedIndex, EngineChoice

_PROGRAM = Path(__file__).with_name("process_main.py")
_ADVICE = ": run it again."

Json = dict[str, Any]


class _Gone(ConnectionError):
    """The process had ended before it was asked."""


def send(stream: IO[bytes], message: Json, arrays: Sequence[np.ndarray] = ()) -> None:
    """Write a line of JSON, then the arrays' bytes."""
    kinds = [(array.dtype.str, array.shape) for array in arrays]
    stream.write(json.dumps(message | {"arrays": kinds}).encode() + b"\n")
    for array in arrays:
        stream.write(array.tobytes())
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[Json, list[np.ndarray]] | None:
    """Return what `send` wrote at the other end; None when that has ended."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    message = json.loads(line)
    arrays = []
    for kind, shape in message.pop("arrays"):
        size = np.dtype(kind).itemsize * int(np.prod(shape))
        data = stream.read(size)
        if len(data) < size:
            return None
        arrays.append(np.frombuffer(data, dtype=kind).reshape(shape))
    return message, arrays


class _ChromaProcess:
    """The other process, and one question to it at a time. It ends with this one, however this one ends."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.left: deque[int] = deque()  # indexes that nobody has any more
        self._turn = threading.Lock()
        self._opened = 0
        windowless = getattr(subprocess, "CREATE_NO_WINDOW", 0)
        self._program = subprocess.Popen(
            [sys.executable, str(_PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, creationflags=windowless
        )

    @property
    def is_running(self) -> bool:
        return self.owner == os.getpid() and self._program.poll() is None

    def open(self, choice: EngineChoice, folder: Path, collection: str) -> int:
        """Return the number of the index that was opened. Raises DamagedIndex, also when the process dies of it."""
        with self._turn:
            self._opened += 1
            number = self._opened
        try:
            self.ask("open", number, choice=asdict(choice), folder=str(folder), collection=collection)
        except _Gone:
            raise
        except ConnectionError as error:
            raise DamagedIndex(f"{_reason(error)} while it opened the index") from error
        return number

    def ask(self, call: str, number: int, *arrays: np.ndarray, **details: Any) -> list[np.ndarray]:
        assert self._program.stdin is not None and self._program.stdout is not None
        with self._turn:
            if (code := self._program.poll()) is not None:
                raise _Gone(_ended(code))
            left = [self.left.popleft() for _ in range(len(self.left))]
            try:
                send(self._program.stdin, details | {"call": call, "index": number, "left": left}, arrays)
                answer = receive(self._program.stdout)
            except OSError:  # a pipe that is broken or closed
                answer = None
            if answer is None:  # who waits for a turn is to see that it was not their question
                raise ConnectionError(_ended(self._program.wait()))
        if answer[0].get("kind") == DamagedIndex.__name__:
            raise DamagedIndex(answer[0]["error"])
        if "error" in answer[0]:
            raise RuntimeError(f"Chroma says: {answer[0]['error']}")
        return answer[1]


def _ended(code: int) -> str:
    return f"the process that Chroma runs in has ended (exit code {code}){_ADVICE}"


def _reason(error: ConnectionError) -> str:
    return str(error).removesuffix(_ADVICE)


_starting = threading.Lock()
_running: list[_ChromaProcess] = []  # the last that was started


def _running_process() -> _ChromaProcess:
    with _starting:
        if not _running or not _running[-1].is_running:
            _running[:] = [_ChromaProcess()]
        return _running[-1]


class ProcessIndex:
    """A `StyleIndex`. What is opened is opened again when the other process has ended meanwhile.

    It is a DamagedIndex when the process dies of what it is asked; a search is asked twice, for it may have been
    killed.
    """

    def __init__(self, choice: EngineChoice, folder: Path, collection: str) -> None:
        self._opening = choice, folder, collection
        self._open()

    def add(self, keys: np.ndarray, vectors: np.ndarray) -> None:
        self._ask("add", keys, vectors)

    def remove(self, keys: np.ndarray) -> None:
        self._ask("remove", keys)

    def nearest(self, vectors: np.ndarray, count: int) -> list[np.ndarray]:
        return self._ask("nearest", vectors, tries=2, count=count)

    def clear(self, keys: np.ndarray) -> None:
        self._ask("clear", keys)

    def close(self) -> None:
        if self._leave.detach() and self._process.is_running:
            self._process.ask("close", self._number)

    def _open(self) -> None:
        while True:
            self._process = _running_process()
            with suppress(_Gone):  # of another index that was opened or asked in between
                self._number = self._process.open(*self._opening)
                break
        # Python may collect this object in the middle of a question, so it can only leave a word.
        self._leave = weakref.finalize(self, self._process.left.append, self._number)

    def _ask(self, call: str, *arrays: np.ndarray, tries: int = 1, **details: Any) -> list[np.ndarray]:
        while True:
            if not self._process.is_running:
                self._leave.detach()
                self._open()
            try:
                return self._process.ask(call, self._number, *arrays, **details)
            except _Gone:
                continue
            except ConnectionError as error:
                tries -= 1
                if not tries:
                    raise DamagedIndex(f"{_reason(error)} of a search or change") from error
