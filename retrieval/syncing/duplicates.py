"""Which stored pictures look almost the same. Reports; removes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from ..store.store import StyleStore
from .sync import Progress

# Cosine of two pictures. With the bundled CLIP on the starter library's 70: one saved again as JPEG of quality 50 has
# at least 0.996 with itself, one of half the size more; of the 2,415 pairs of different pictures 5 reach 0.99.
NEAR_DUPLICATE = 0.99
MAX_PAIRS = 100  # that are reported; a folder of a film's frames would have thousands
_NEIGHBOURS = 4  # of each new picture, itself among them
_PAGE = 100  # pictures between two words of progress


def near_duplicates(store: StyleStore, ids: Sequence[str], on_progress: Progress) -> list[dict[str, str | float]]:
    """Return the pairs of a picture of `ids` and any stored one with a cosine of NEAR_DUPLICATE or more.

    Each pair once, with both names and the cosine, the first MAX_PAIRS in the order of `ids`. One search a picture:
    its time grows with their number and hardly with the knowledge base's. Ids that are stored no longer are left out.
    """
    pairs: dict[tuple[str, str], float] = {}
    for at in range(0, len(ids), _PAGE):
        page = list(store.records(ids[at : at + _PAGE]))
        with store.reading() as view:
            allowed = view.passing(None)
            for id, vector in zip(page, store.vectors(page) if page else (), strict=True):
                near = [(other, cosine) for other, cosine in view.nearest(vector, _NEIGHBOURS, allowed) if other != id]
                pairs |= {
                    (min(id, other), max(id, other)): cosine for other, cosine in near if cosine >= NEAR_DUPLICATE
                }
        if len(pairs) >= MAX_PAIRS:
            break
        on_progress(min(at + _PAGE, len(ids)), len(ids))
    kept = list(pairs.items())[:MAX_PAIRS]
    records = store.records(sorted({id for pair, _ in kept for id in pair}))
    return [
        {"one": records[one].name, "other": records[other].name, "cosine": round(float(cosine), 4)}
        for (one, other), cosine in kept
        if one in records and other in records
    ]
