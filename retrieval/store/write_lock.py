"""The lock of a knowledge base's one writer. The operating system frees it when the writer's process ends."""

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

LOCK = "write.lock"


@contextmanager
def locked(lock: FileLock, name: str, wait: float) -> Iterator[None]:
    """Be the one writer of the knowledge base `name`.

    Raises TimeoutError when another writer does not end within `wait` seconds.
    """
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        raise TimeoutError(
            f"knowledge base '{name}' is being written by another process, for more than {wait:g} seconds: wait for it "
            "to end, then run again."
        ) from None
    try:
        yield
    finally:
        lock.release()
