"""Lets layers compute by other functions for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced_forwards(forwards: dict[Any, Callable[..., Any]]) -> Iterator[None]:
    """Let layers compute by other functions, and by their own again afterwards."""
    try:
        for layer, forward in forwards.items():
            layer.forward = forward
        yield
    finally:
        for layer in forwards:
            layer.__dict__.pop("forward", None)
