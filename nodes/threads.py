"""How many processors the work on a thread takes."""

import threading


def compute_alone() -> None:
    """Make torch compute on this thread alone; other threads of this process keep what they have.

    A search encodes a few words. Shared out, each layer of that waits until every processor has had its turn, which is
    long while pictures are embedded on all of them.
    """
    import torch

    shared = torch.get_num_threads()
    torch.set_num_threads(1)  # of this thread, and of those that have not computed yet (ATen/ParallelOpenMP.cpp)
    restore = threading.Thread(target=torch.set_num_threads, args=(shared,))
    restore.start()
    restore.join()
