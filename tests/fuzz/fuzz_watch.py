"""What an input does to one way into the pack: refused in a sentence, taken, or something that nobody answers for.

Both engines, Hypothesis in the test suite and the coverage-guided one of `benchmarks/fuzz.py`, look through here.
"""

from __future__ import annotations

import resource
import shutil
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECONDS = 10  # of a processor that one input may take
GROWTH = 1 << 30  # bytes that the process's largest size may grow by while one input is looked at
_SHOWN = 400  # bytes of an input in a message
_KIB = 1024 if sys.platform != "darwin" else 1  # of ru_maxrss


NEVER: tuple[type[BaseException], ...] = ()  # what a way raises that has a report, an answer or a stand-in for all


@dataclass(frozen=True)
class Target:
    """One way into the pack.

    run: takes an input and a folder that is empty, and does what the pack does with it. seeds: makes good inputs, from
    which odd ones are made. expected: what run may raise, since its caller tells the user. form: how the inputs are
    changed, `bytes`, `json` (values of a document) or `text` (words of a language). words: what may stand in them.
    cost: how many times as long as the quick ones it takes, so many times fewer inputs it gets.
    """

    run: Callable[[bytes, Path], object]
    seeds: Callable[[], Sequence[bytes]]
    expected: tuple[type[BaseException], ...] = (ValueError,)
    form: str = "bytes"
    words: Sequence[str] = field(default=())
    cost: int = 1


class Unexpected(AssertionError):
    """An input did what no caller answers for. kind: what, and where in the pack, so that one fault counts once."""

    def __init__(self, kind: str, data: bytes, details: str = "") -> None:
        super().__init__(f"{kind}, of {data[:_SHOWN]!r}\n{details}")
        self.kind = kind


class _TookTooLong(BaseException):
    pass


def text_of(data: bytes) -> str:
    """A text as JSON may bring it: with halves of characters, too."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def look(target: Target, data: bytes, folder: Path) -> None:
    """Run one input. Raises Unexpected for an exception that is not expected, and for too much time or memory."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    before = _largest_size()
    try:
        with warnings.catch_warnings(), _processor_time(SECONDS):
            warnings.simplefilter("ignore")  # Pillow's and aiohttp's about each odd input
            target.run(data, folder)
    except target.expected as error:
        if not str(error):
            raise Unexpected(_kind("no sentence", error), data) from error
    except _TookTooLong as error:
        raise Unexpected(_kind(f"more than {SECONDS} s", error), data, traceback.format_exc()) from None
    except Exception as error:  # noqa: BLE001 - whatever else comes out is what is looked for
        raise Unexpected(_kind(type(error).__name__, error), data, traceback.format_exc()) from error
    grown = _largest_size() - before
    if grown > GROWTH:
        raise Unexpected("more than 1 GB", data, f"{grown:,} bytes")


@contextmanager
def _processor_time(seconds: float) -> Iterator[None]:
    """End what takes longer on a processor; to wait for one, on a busy machine, does not count."""

    def end(*_: Any) -> None:
        raise _TookTooLong

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _largest_size() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB


def _kind(what: str, error: BaseException) -> str:
    """`what at module:function`: the innermost function of the pack's."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    own = [frame for frame in frames if str(frame.f_globals.get("__name__", "")).startswith("style_pack.")]
    if not own:
        return what
    return f"{what} at {own[-1].f_globals['__name__'].removeprefix('style_pack.')}:{own[-1].f_code.co_name}"
