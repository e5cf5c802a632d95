"""What one process has seen of a knowledge base, and how that is brought up to what is committed by now."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from ..view.captions import CaptionTable
from ..view.view import View
from .origin import same_weights
from .snapshot import Storage, open_view, pages_after

T = TypeVar("T")

_REMEMBERED = 64  # changes: who has seen none of them looks at everything anew
_LOOKS = 20  # each takes milliseconds; a writer that puts its changes to disk has not so many in that time


class Look:
    """What one process searches, one thread at a time.

    What was seen is of no more use when another state lies at the same place. That is another file, another folder of
    the snapshot, or, where a copy was written over the very same file, changes among which the last that was seen is
    not.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._database = storage.database
        self._view = View()
        self._captions = CaptionTable(())
        self._published: Sequence[object] = ()  # which snapshot the view is of
        self._key, self._removal = 0, 0  # and how far it has come since
        self._seen = ""  # the name of the last change that is in it

    def view(self) -> View:
        """Return the view, brought up to what is committed; all of it comes from one state of the database."""
        with self._database.transaction(write=False):
            meta = self._database.meta()
            published = [meta.get(name) for name in ("snapshot", "through", "engine", "emptied")]
            published += [self._database.opened, self._storage.file(meta)]
            if self._has_other_past(meta):
                self.close()
            if published != self._published:
                self._view.close()
                self._view = open_view(self._storage, meta)
                self._published = published
                self._key, self._removal, self._seen = self._view.last_key, 0, ""
            if self._seen != _changes(meta)[-1]:
                for rows in pages_after(self._database, self._key):
                    self._view.extend(rows)
                    self._key = rows[-1][0]
                for removal, key in self._database.removed_after(self._removal):
                    self._view.forget(key)
                    self._removal = removal
                self._seen = _changes(meta)[-1]
        return self._view

    def captions(self, encoder: str) -> CaptionTable:
        """Return the caption vectors that are stored now. Raises ValueError unless this sentence encoder made them."""
        with self._database.transaction(write=False):
            meta = self._database.meta()
            made = meta.get("caption_encoder", "")
            if not same_weights(made, encoder):
                raise ValueError(
                    f"the captions of knowledge base '{self._storage.folder.name}' were encoded with "
                    f"{made or 'no caption encoder'}, and {encoder} is chosen: choose the same, or run a sync with "
                    "the new one."
                )
            since = (made, meta["captions_since"], self._database.opened)
            if self._captions.made != since or self._has_other_past(meta):
                self._captions = CaptionTable(since)
            if rows := self._database.captions_after(self._captions.last):
                self._captions.extend(rows)
            return self._captions

    def close(self) -> None:
        """Forget everything, and close what was opened for it."""
        self._view.close()
        self._view, self._captions = View(), CaptionTable(())
        self._published, self._seen = (), ""

    def _has_other_past(self, meta: dict[str, Any]) -> bool:
        return bool(self._seen) and self._seen not in _changes(meta)


def with_another(meta: dict[str, Any]) -> list[str]:
    """Return the names of the last changes and one for the next, which it has in no other copy."""
    return [*_changes(meta), uuid.uuid4().hex[:8]][-_REMEMBERED:]


def _changes(meta: dict[str, Any]) -> list[str]:
    return meta.get("changes") or [str(meta.get("revision", 0))]


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
