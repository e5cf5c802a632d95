"""Vectors of the pictures' captions and tags by a sentence encoder, for those that have none yet."""

from __future__ import annotations

from collections.abc import Callable

from ..encoders.sentences import SentenceEncoder
from ..records import StyleRecord
from ..store.store import StyleStore

_PAGE = 256  # texts that are encoded and stored together


def encode_captions(
    store: StyleStore, encoder: SentenceEncoder, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> int:
    """Encode the captions that have no vector of this encoder yet, and return how many those were.

    Another encoder's vectors are dropped first: the two are never compared. The pictures' own vectors stay.
    """
    with store.writing():
        ids = store.without_caption_vector(encoder.identity)
        for at in range(0, len(ids), _PAGE):
            records = store.records(ids[at : at + _PAGE])
            vectors = encoder.encode_texts([caption_text(record) for record in records.values()])
            store.add_caption_vectors(list(records), vectors)
            on_progress(at + len(records), len(ids))
    return len(ids)


def caption_text(record: StyleRecord) -> str:
    """Return what is encoded of a picture: captions and tags; its name, which is a path, when it has neither."""
    said = [record.caption, *record.other_captions, ", ".join(record.tags)]
    return ". ".join(filter(None, said)) or record.name
