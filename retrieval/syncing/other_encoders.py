"""What encoders other than a knowledge base's own make of its pictures and captions, of those that have none yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..encoders.sentences import SentenceEncoder
from ..pictures.reader import content_id, open_picture
from ..records import StyleRecord
from ..store.store import StyleStore

_PAGE = 256  # texts that are encoded and stored together
_ENCODED = 16  # encodings that are put to disk together


@dataclass(frozen=True)
class OtherEncoder:
    """An image encoder that is not a knowledge base's own.

    id: tells its encodings from others', letters and dashes.
    encode: n RGB pictures to an array of n rows.
    """

    id: str
    encode: Callable[[Sequence[Image.Image]], np.ndarray]


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


def keep_encodings(
    store: StyleStore,
    encoder: str,
    encode: Callable[[Sequence[Image.Image]], np.ndarray],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Store how another image encoder sees each picture that it has not seen yet, and return how many those were.

    One whose file is gone, or shows another picture since the last sync, is left out. encoder: the id of what encodes.
    encode: n RGB pictures to an array of n rows.
    """
    missing = [record for record in store.records().values() if store.encodings.read(encoder, record.id) is None]
    kept, made = 0, dict[str, np.ndarray]()
    for done, record in enumerate(missing, 1):
        if image := open_shown(record):
            made[record.id] = encode([image])[0]
            kept += 1
        if len(made) == _ENCODED or done == len(missing):
            store.encodings.keep(encoder, made)
            made.clear()
        on_progress(done, len(missing))
    return kept


def open_shown(record: StyleRecord) -> Image.Image | None:
    """Return the picture of the first file that still shows it; None where none does."""
    for path in record.files:
        with suppress(ValueError):
            image = open_picture(Path(path))
            if content_id(image) == record.id:
                return image
    return None
