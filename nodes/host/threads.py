"""How many processors the work on a thread takes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Numbers of a model. The bundled UNet and ControlNet have 3.6 millions together, SD 1.5's 1,221 millions.
_FEW = 50_000_000


def compute_alone() -> int:
    """Make torch compute on this thread alone, and return how many it took; other threads keep what they have.

    A search encodes a few words. Shared out, each layer of that waits until every processor has had its turn, which is
    long while pictures are embedded on all of them.
    """
    import torch

    shared = torch.get_num_threads()
    torch.set_num_threads(1)  # of this thread, and of those that have not computed yet (ATen/ParallelOpenMP.cpp)
    restore = threading.Thread(target=torch.set_num_threads, args=(shared,))
    restore.start()
    restore.join()
    return shared


@contextmanager
def alone() -> Iterator[None]:
    """Compute on this thread alone, for a while."""
    import torch

    shared = compute_alone()
    try:
        yield
    finally:
        torch.set_num_threads(shared)


@contextmanager
def suited_to(model: "torch.nn.Module") -> Iterator[None]:
    """Compute alone while it is a small model that computes: many sums too short to be shared out.

    Threads that wait for the rest of a sum spin, and on a busy machine take the processor from the one they wait for:
    `benchmarks/busy_machine.py`.
    """
    if sum(numbers.numel() for numbers in model.parameters()) > _FEW:
        yield
    else:
        with alone():
            yield
