"""What a look at a knowledge base does when a writer was quicker: it looks again."""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

_LOOKS = 20  # each takes milliseconds; a writer that puts its changes to disk has not so many in that time


class ChangedMeanwhile(TimeoutError):
    """A style was removed after it was found and before it was read."""

    def __init__(self, name: str) -> None:
        super().__init__(f"knowledge base '{name}' is changed again and again: wait for that to end, then run again.")


def again(look: Callable[[], T]) -> T:
    """Return what a look finds that no change came into. Raises ChangedMeanwhile when there is none."""
    for _ in range(_LOOKS - 1):
        with suppress(ChangedMeanwhile):
            return look()
    return look()
