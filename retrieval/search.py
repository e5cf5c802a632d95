"""Query to ranked references: by meaning, by words, by picture, or by all of these together."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from itertools import islice

import numpy as np
from PIL import Image

from .calibration import score
from .encoder import ClipEncoder
from .filters import matches, parse_filter
from .records import StyleMatch, StyleRecord
from .store import StyleStore

STRATEGIES = ("hybrid", "semantic", "keyword", "image")

# Reciprocal rank fusion, Cormack, Clarke and Buettcher, SIGIR 2009: a document's score is the sum of 1 / (60 + rank).
_FUSION = 60
_POOL = 64  # candidates that fusion and diversity choose among, at least

_STOP_WORDS = frozenset("a an and as at by for from in into is it of on or the to with style picture image".split())


@dataclass(frozen=True)
class StyleQuery:
    """What RetrieveStyle asks. `pinned` ids are returned as they are, in their order, and nothing else is."""

    prompt: str
    strategy: str = "hybrid"
    top_k: int = 1
    min_score: float = 0.0
    diversity: float = 0.0
    filter: str = ""
    image: Image.Image | None = None
    avoid: str = ""
    pinned: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise ValueError(f"strategy '{self.strategy}' does not exist: choose one of {', '.join(STRATEGIES)}.")
        if self.strategy == "image" and self.image is None:
            raise ValueError(
                "strategy image compares pictures, and query_image is not linked: link it or choose another."
            )
        if self.strategy != "image" and not self.prompt.strip() and not self.pinned:
            raise ValueError(f"the prompt is empty, and strategy {self.strategy} searches by words: write a prompt.")


def search(store: StyleStore, encoder: ClipEncoder, query: StyleQuery) -> list[StyleMatch]:
    """Return at most `top_k` matches, best first; none when nothing reaches `min_score` or passes the filter."""
    terms = parse_filter(query.filter)
    records = store.records()
    if not records:
        raise ValueError(
            f"knowledge base '{store.name}' is empty: give StyleKnowledgeBase sources or images with pictures."
        )
    store.require_encoder(encoder.identity)
    return _Search(store, encoder, query, records, terms).run()


class _Search:
    """One search: cosines of the candidates, a ranking a strategy, their fusion, then the choice."""

    def __init__(
        self,
        store: StyleStore,
        encoder: ClipEncoder,
        query: StyleQuery,
        records: dict[str, StyleRecord],
        terms: list[tuple[bool, str, str]],
    ) -> None:
        self._store = store
        self._query = query
        self._records = records
        self._allowed = {id for id, record in records.items() if matches(record, terms)}
        self._by_image = query.strategy == "image"
        origin = store.origin
        self._background = origin.background.get("image" if self._by_image else "text") if origin else None
        self._image_vector: np.ndarray | None = None
        if query.image is not None and query.strategy in ("hybrid", "image"):
            self._image_vector = encoder.encode_images([query.image])[0]
        by_picture = self._image_vector if self._by_image else None
        self._vector = encoder.encode_texts([query.prompt])[0] if by_picture is None else by_picture
        self._avoid = encoder.encode_texts([query.avoid])[0] if query.avoid.strip() else None

    def run(self) -> list[StyleMatch]:
        if self._query.pinned:
            return [self._match(id, {}) for id in self._pinned()]
        rankings = self._rankings()
        ranks = {name: {id: place for place, id in enumerate(order, 1)} for name, order in rankings.items()}
        strategy = self._query.strategy
        fused = _fuse(list(rankings.values()) if strategy == "hybrid" else [rankings[strategy]])
        found = (
            self._match(id, {name: places[id] for name, places in ranks.items() if id in places})
            for id in self._diversify(fused)
        )
        return list(islice((match for match in found if match.score >= self._query.min_score), self._query.top_k))

    def _rankings(self) -> dict[str, list[str]]:
        """Return strategy -> ids, best first, of every strategy that this query can have."""
        if self._by_image:
            return {"image": self._nearest(self._vector)}
        rankings = {"semantic": self._nearest(self._vector), "keyword": self._by_keyword()}
        if self._image_vector is not None:
            rankings["image"] = self._nearest(self._image_vector)
        return rankings

    def _nearest(self, vector: np.ndarray) -> list[str]:
        """Rank by cosine, less the cosine with what is to be avoided. A filter widens the search until enough pass."""
        wanted = min(len(self._allowed), max(_POOL, 4 * self._query.top_k))
        count = wanted
        while True:
            found = [(id, cosine) for id, cosine in self._store.nearest(vector, count) if id in self._allowed]
            if len(found) >= wanted or count >= len(self._records):
                break
            count = min(4 * count, len(self._records))
        if self._avoid is not None and found:
            unwanted = self._store.vectors([id for id, _ in found]) @ self._avoid
            found = [(id, cosine - float(a)) for (id, cosine), a in zip(found, unwanted, strict=True)]
            found.sort(key=lambda pair: (-pair[1], pair[0]))
        return [id for id, _ in found]

    def _by_keyword(self) -> list[str]:
        """Rank by BM25 over name, caption and tags; ids that share no word with the prompt are left out."""
        import bm25s

        logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets itself to debug, and tells of every index
        ids = [id for id in self._records if id in self._allowed]
        texts = [_words(self._records[id].text) for id in ids]
        asked = sorted({word for word in _words(self._query.prompt) if any(word in text for text in texts)})
        if not asked:
            return []
        index = bm25s.BM25()
        index.index(texts, show_progress=False)
        scores = index.get_scores(asked)
        order = sorted(range(len(ids)), key=lambda n: (-scores[n], ids[n]))
        return [ids[n] for n in order if scores[n] > 0][:_POOL]

    def _diversify(self, fused: dict[str, float]) -> list[str]:
        """Order by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998); at 0 the fused order stays."""
        ids = list(fused)[: max(_POOL, self._query.top_k)]
        weight = self._query.diversity
        if not weight or len(ids) < 2:
            return ids
        relevance = np.array([fused[id] for id in ids])
        relevance = (relevance - relevance.min()) / max(float(np.ptp(relevance)), 1e-12)
        vectors = self._store.vectors(ids)
        chosen = [0]
        while len(chosen) < min(len(ids), self._query.top_k):
            nearness = (vectors @ vectors[chosen].T).max(axis=1)
            gain = (1 - weight) * relevance - weight * nearness
            gain[chosen] = -np.inf
            chosen.append(int(gain.argmax()))
        return [ids[n] for n in chosen]

    def _pinned(self) -> list[str]:
        missing = [id for id in self._query.pinned if id not in self._records]
        if missing:
            raise ValueError(
                f"pinned style {missing[0]!r} is not in knowledge base '{self._store.name}': ids are the `id` values "
                "of RetrieveStyle's explanation; add the picture again or remove the line."
            )
        return list(self._query.pinned)

    def _match(self, id: str, ranks: dict[str, int]) -> StyleMatch:
        cosine = float(self._store.vectors([id])[0] @ self._vector)
        text = set(_words(self._records[id].text))
        shared = dict.fromkeys(word for word in _words(self._query.prompt) if word in text)
        return StyleMatch(self._records[id], score(cosine, self._background), cosine, ranks, tuple(shared))


def _fuse(rankings: list[list[str]]) -> dict[str, float]:
    """Return id -> fused score, best first; ties break by id."""
    fused: dict[str, float] = {}
    for order in rankings:
        for place, id in enumerate(order, 1):
            fused[id] = fused.get(id, 0.0) + 1.0 / (_FUSION + place)
    return dict(sorted(fused.items(), key=lambda pair: (-pair[1], pair[0])))


def _words(text: str) -> list[str]:
    """Lower-case words without the ones that say nothing about a style."""
    return [word for word in re.findall(r"[^\W_]+", text.lower()) if word not in _STOP_WORDS]
