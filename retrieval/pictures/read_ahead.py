"""Opens picture files ahead of who embeds them: threads decode and hash while the encoder works. Stores nothing."""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Condition

import numpy as np
from PIL import Image

from ..records import SourceFile
from .reader import content_id, open_picture, read_description, sidecars_of, size_in_file

_THREADS = min(4, os.cpu_count() or 1)  # decoders leave Python's lock; more would take the encoder's cores from it
_FILES = 128  # that are ahead of the caller
_PIXELS = 50_000_000  # that are decoded and wait for the caller: 150 MB
# What one file's bytes can make decoders, in Python or in C, raise: Pillow and its plugins (AVIF's and HEIC's raise
# RuntimeError, TIFF's and EXIF's nearly anything), zlib, struct, json, NumPy; and the memory that a made-up size asks
# for. None of it is about this program, so that a file that raises one is named, and the next is read.
_UNREADABLE = (
    OSError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, EOFError, RuntimeError, SyntaxError,
    AssertionError, BufferError, MemoryError, SystemError, struct.error, zlib.error, Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """What is in a picture file.

    id: SHA-256 of its pixels, 64 hex digits.
    width, height: pixels.
    image: RGB; None where another process has read it.
    vector: (D,) float32, unit length, where that process has embedded it too.
    unread: why what lies beside the picture says nothing; empty where that could be read.
    """

    id: str
    width: int
    height: int
    caption: str
    tags: tuple[str, ...]
    licence: str
    image: Image.Image | None = None
    vector: np.ndarray | None = None
    unread: str = ""


def read_ahead(files: Sequence[SourceFile]) -> Generator[Reading | ValueError, None, None]:
    """Yield what is in each file, in their order, or a ValueError with the reason why that can't be read.

    At most `_PIXELS` wait, and one picture more. Closing it ends the threads: each finishes the file it has begun.
    """
    gate = _Gate()
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="style-rag-read")
    begun = deque(pool.submit(read, file, partial(gate.wait, turn)) for turn, file in enumerate(files[:_FILES]))
    try:
        for turn in range(len(files)):
            reading = begun.popleft().result()
            gate.took(turn)
            if turn + _FILES < len(files):
                begun.append(pool.submit(read, files[turn + _FILES], partial(gate.wait, turn + _FILES)))
            yield reading
    finally:
        gate.open_for_all()
        pool.shutdown(cancel_futures=True)


def read(file: SourceFile, before_decoding: Callable[[int], None] = lambda pixels: None) -> Reading | ValueError:
    """Return what is in one file, or why that can't be read. before_decoding: as in `open_picture`."""
    path = Path(file.path)
    try:
        image = open_picture(path, before_decoding)
        id = content_id(image)
    except ValueError as error:
        return error if type(error) is ValueError else ValueError(_reason(error))
    except _UNREADABLE as error:
        return ValueError(_reason(error))
    described, unread = _describe(path)
    return Reading(id, *size_in_file(image), *described, image, unread=unread)


def _describe(path: Path) -> tuple[tuple[str, tuple[str, ...], str], str]:
    """Return caption, tags and licence, and why they are not what lies beside the picture, where they are not."""
    unread, beside = "", [path]  # its own words last
    with suppress(OSError):
        beside = [*sidecars_of(path), path]
    for number in range(len(beside)):
        try:
            return read_description(path, beside[:number]), unread
        except _UNREADABLE as error:
            unread = unread or f"{_reason(error)}; the picture is stored without those words"
    return ("", (), ""), unread


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"it can't be read: {error.strerror or error}"
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    return str(error) if type(error) is ValueError else f"it is damaged: {error or type(error).__name__}"


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
