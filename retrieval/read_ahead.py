"""Opens picture files ahead of who embeds them: threads decode and hash while the encoder works. Stores nothing."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Condition

from PIL import Image

from .reader import content_id, open_picture, read_description
from .records import SourceFile

_THREADS = min(4, os.cpu_count() or 1)  # decoders leave Python's lock; more would take the encoder's cores from it
_FILES = 128  # that are ahead of the caller
_PIXELS = 50_000_000  # that are decoded and wait for the caller: 150 MB


@dataclass(frozen=True)
class Reading:
    """What is in a picture file. image: RGB. id: SHA-256 (hex) of its pixels."""

    image: Image.Image
    id: str
    caption: str
    tags: tuple[str, ...]
    licence: str


def read_ahead(files: Sequence[SourceFile]) -> Generator[Reading | ValueError, None, None]:
    """Yield what is in each file, in their order, or a ValueError with the reason why that can't be read.

    At most `_PIXELS` wait, and one picture more. Closing it ends the threads: each finishes the file it has begun.
    """
    gate = _Gate()
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="style-rag-read")
    begun = deque(pool.submit(_read, file, turn, gate) for turn, file in enumerate(files[:_FILES]))
    try:
        for turn in range(len(files)):
            reading = begun.popleft().result()
            gate.took(turn)
            if turn + _FILES < len(files):
                begun.append(pool.submit(_read, files[turn + _FILES], turn + _FILES, gate))
            yield reading
    finally:
        gate.open_for_all()
        pool.shutdown(cancel_futures=True)


def _read(file: SourceFile, turn: int, gate: _Gate) -> Reading | ValueError:
    try:
        image = open_picture(Path(file.path), lambda pixels: gate.wait(turn, pixels))
        return Reading(image, content_id(image), *read_description(Path(file.path)))
    except ValueError as error:
        return error
    except OSError as error:  # of what lies beside the picture
        return ValueError(f"it can't be read: {error}")


class _Gate:
    """Lets a picture be decoded while those that wait leave room for it; the one whose turn it is has it always.

    Files are begun in their order, so the thread that has the next one never waits behind later ones.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._waiting: dict[int, int] = {}  # turn -> pixels
        self._turn = 0
        self._open = False

    def wait(self, turn: int, pixels: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._has_room(turn, pixels))
            self._waiting[turn] = pixels

    def took(self, turn: int) -> None:
        """The caller has what was read at a turn, and it is the next one's turn."""
        with self._changed:
            self._waiting.pop(turn, None)
            self._turn = turn + 1
            self._changed.notify_all()

    def open_for_all(self) -> None:
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def _has_room(self, turn: int, pixels: int) -> bool:
        return self._open or turn <= self._turn or sum(self._waiting.values()) + pixels <= _PIXELS
