"""Lets a run end between the layers of its models, where a whole pass would take seconds."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch


@contextmanager
def interruptible(modules: Iterable[torch.nn.Module], check: Callable[[], None]) -> Iterator[None]:
    """Call `check`, which raises when the user has ended the run, before every block of the modules."""

    def ask(block: torch.nn.Module, given: object) -> None:
        check()

    blocks = [block for module in modules for block in module.modules() if any(block.children())]
    hooks = [block.register_forward_pre_hook(ask) for block in blocks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
