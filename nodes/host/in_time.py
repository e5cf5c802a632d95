"""Questions to a file system that may never answer, asked in threads, so that none of them holds ComfyUI up.

A network drive that is gone does not fail: whoever asks it anything waits. Threads that wait so can't be ended; they
end with the program.
"""

import threading
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

_STALLED = 1.0  # seconds after which what was asked behind a question no longer waits for it
_THREADS = 8  # that wait at once at most; from then on nothing is asked until one of them is answered

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Inquiry(Generic[K, V]):
    """Asks the same of many, one after the other. `ask` may raise OSError and ValueError, which are answers too."""

    def __init__(self, ask: Callable[[K], V]) -> None:
        self._ask = ask
        self._changed = threading.Condition()
        self._queue: dict[K, None] = {}
        self._asked: dict[K, float] = {}  # and not answered yet: since when
        self._answers: dict[K, V | OSError | ValueError] = {}

    def answers(
        self, keys: Iterable[K], until: float, once: bool = False, insist: bool = False, fresh: bool = False
    ) -> dict[K, V | OSError | ValueError]:
        """Return {key: answer} of what is answered in time; for the rest what was answered before, if anything was.

        until: by time.monotonic. once: ask only for what was never answered, or by an OSError alone. insist: wait till
        then for what is stalled, too. fresh: leave out what was answered before and is not now.
        """
        wanted = list(keys)
        with self._changed:
            ask = [key for key in wanted if not (once and self._is_settled(key))]
            self._queue.update(dict.fromkeys(key for key in ask if key not in self._asked))
            while time.monotonic() < until and any(self._is_awaited(key, insist) for key in ask):
                if not self._is_at_work() and not insist:
                    break
                self._changed.wait(0.05)
            open_still = {*self._queue, *self._asked} if fresh else ()
            return {key: self._answers[key] for key in wanted if key in self._answers and key not in open_still}

    def is_stalled(self, key: K) -> bool:
        """Tell whether it was asked a while ago, and has not answered."""
        since = self._asked.get(key)
        return since is not None and time.monotonic() - since > _STALLED

    def _is_settled(self, key: K) -> bool:
        return key in self._answers and not isinstance(self._answers[key], OSError)

    def _is_awaited(self, key: K, insist: bool) -> bool:
        return key in self._queue or (key in self._asked and (insist or not self.is_stalled(key)))

    def _is_at_work(self) -> bool:
        """Tell whether somebody asks; where all those are stalled who do, another one is sent."""
        if not all(map(self.is_stalled, self._asked)):
            return True
        if len(self._asked) >= _THREADS or not self._queue:
            return False
        threading.Thread(target=self._work, args=(self._take(),), name="Style RAG inquiry", daemon=True).start()
        return True

    def _take(self) -> K | None:
        key = next(iter(self._queue), None)
        if key is not None:
            del self._queue[key]
            self._asked[key] = time.monotonic()
        return key

    def _work(self, key: K | None) -> None:
        try:
            while key is not None:
                answer = self._answer(key)
                with self._changed:
                    self._answers[key] = answer
                    del self._asked[key]
                    key = self._take()
                    if key is None:
                        self._changed.notify_all()
        finally:  # also when `ask` raised what it should not, which the thread's end reports
            with self._changed:
                if key is not None:
                    self._asked.pop(key, None)
                self._changed.notify_all()

    def _answer(self, key: K) -> V | OSError | ValueError:
        try:
            return self._ask(key)
        except (OSError, ValueError) as error:
            return error
