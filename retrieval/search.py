"""Query to ranked references: by meaning, by words, by picture, or by all of these together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .encoders.encoder import StyleEncoder
from .encoders.sentences import SentenceEncoder
from .ranking import fusion
from .ranking.calibration import score, standing
from .ranking.pins import NONE, read_pins, require_known, with_pinned_scores
from .records import STRATEGIES, NoMatch, StyleMatch, StyleMatches, with_runner_up
from .store.look import ChangedMeanwhile, again
from .store.store import StyleStore
from .view.captions import CaptionTable
from .view.filters import Filter, parse_filter
from .view.view import Seen, View
from .view.words import asked_words, matching_words, words_of, written_words
from .wording import left_out, wording

_POOL = 64  # candidates that fusion and diversity choose among, at least

Ranks = dict[str, dict[str, int]]  # strategy -> id -> rank from 1


@dataclass(frozen=True)
class StyleQuery:
    """What RetrieveStyle asks. Raises ValueError in one sentence for what can't be asked.

    prompt: words. Their weights, `embedding:name` and `<lora:name:1>` are not read, see `wording`.
    strategy: one of STRATEGIES.
    top_k: how many matches at most.
    min_score: 0..1, below which nothing is returned.
    diversity: 0..1; 0 = the best, higher = matches that differ more from one another.
    filter: what must hold of a picture, see `parse_filter`; empty = nothing.
    image: RGB, whose look is wanted.
    avoid: words for what the style must not be.
    pinned: lines, see `pins`, that are returned as they are, in order, and nothing else is.
    """

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
        parse_filter(self.filter)
        if self.strategy not in STRATEGIES:
            raise ValueError(f"strategy '{self.strategy}' does not exist: choose one of {', '.join(STRATEGIES)}.")
        if self.top_k < 1:
            raise ValueError(f"top_k is {self.top_k}: ask for 1 match or more.")
        for name, value in (("min_score", self.min_score), ("diversity", self.diversity)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value:g}: give a number from 0 to 1.")
        if self.strategy == "image" and self.image is None:
            raise ValueError(
                "strategy image compares pictures, and query_image is not linked: link it or choose another."
            )
        if self.strategy != "image" and not wording(self.prompt).strip() and not self.pinned:
            but = f" but for {', '.join(left_out(self.prompt))}" if left_out(self.prompt) else ""
            raise ValueError(
                f"the prompt is empty{but}, and strategy {self.strategy} searches by words: write a prompt."
            )


def search(
    store: StyleStore, encoder: StyleEncoder, query: StyleQuery, captions: SentenceEncoder | None = None
) -> StyleMatches:
    """Return at most `top_k` matches, best first; none, and why, if nothing reaches `min_score` or passes a filter.

    captions: the sentence encoder that `encode_captions` was given; then captions are a further ranking of hybrid.
    """
    wanted = parse_filter(query.filter)
    origin = store.origin
    if not origin or not store.ids(limit=1):
        raise ValueError(
            f"knowledge base '{store.name}' is empty: give StyleKnowledgeBase sources or images with pictures."
        )
    store.require_encoder(encoder.identity)
    encoder.check_strategy(query.strategy)
    vectors = _Vectors(store, encoder, query, captions)

    def look() -> StyleMatches:
        with store.reading() as view:
            return _Search(store, view, query, vectors, wanted, origin.background).run()

    matches = again(look)
    matches.left_out = left_out(query.prompt)
    return matches


class _Vectors:
    """The query's words and picture as unit vectors, and what the one of the sentence encoder is compared with."""

    def __init__(
        self, store: StyleStore, encoder: StyleEncoder, query: StyleQuery, captions: SentenceEncoder | None
    ) -> None:
        self.image: np.ndarray | None = None
        if query.image is not None and query.strategy in ("hybrid", "image"):
            self.image = encoder.encode_images([query.image])[0]
        by_picture = self.image if query.strategy == "image" else None
        prompt, avoid = wording(query.prompt), wording(query.avoid)
        self.asked = encoder.encode_texts([prompt])[0] if by_picture is None else by_picture
        self.avoid = encoder.encode_texts([avoid])[0] if avoid.strip() else None
        self.captions: CaptionTable | None = None
        self.caption_weight = fusion.CAPTION
        if captions and query.strategy == "hybrid" and not query.pinned:
            self.captions = store.captions(captions.identity)
            self.sentence = captions.encode_texts([prompt])[0]
            if encoder.share_unfamiliar(written_words(prompt)) >= fusion.UNFAMILIAR:
                self.caption_weight = fusion.CAPTION_FIRST


class _Search:
    """One search: a ranking a strategy among what passes the filter, their fusion, then the choice."""

    def __init__(
        self,
        store: StyleStore,
        view: View,
        query: StyleQuery,
        vectors: _Vectors,
        wanted: Filter | None,
        background: dict[str, list[float]],
    ) -> None:
        self._store = store
        self._view = view
        self._query = query
        self._vectors = vectors
        self._allowed = view.passing(wanted)
        self._by_image = query.strategy == "image"
        self._backgrounds = background
        self._background = background.get("image" if self._by_image else "text")
        self._prompt = wording(query.prompt)
        self._words = asked_words(self._prompt)
        self._seen: Seen = {}  # what the rankings found

    def run(self) -> StyleMatches:
        if self._query.pinned:
            return self._pinned()
        rankings = self._rankings()
        ranks = {name: {id: place for place, id in enumerate(order, 1)} for name, order in rankings.items()}
        strategy = self._query.strategy
        fused = self._fused() if strategy == "hybrid" else fusion.by_rank(rankings[strategy])
        reaching, below = self._reaching(list(fused)[: max(_POOL, self._query.top_k + 1)])
        if not reaching:
            return StyleMatches(nothing=self._nothing(below, ranks))
        order = self._diversify(reaching, fused) + below
        count = min(self._query.top_k, len(reaching))
        matches = self._matches(order[: count + 1], ranks)
        return StyleMatches(map(with_runner_up, matches[:count], [*matches[1:], None]))

    def _pinned(self) -> StyleMatches:
        pins = read_pins(self._query.pinned)
        if not pins:
            reason = f"pinned is '{NONE}', which stands for a search that found nothing"
            return StyleMatches(nothing=NoMatch(reason, int(self._view.passing().sum()), 0))
        ids = [pin.id for pin in pins]
        require_known(ids, self._store.records(ids), self._store.name)
        return StyleMatches(with_pinned_scores(self._matches(ids, {}), pins))

    def _reaching(self, ids: list[str]) -> tuple[list[str], list[str]]:
        """Part ids, each part in order, into those whose score, as it is shown, reaches `min_score`, and the others."""
        if not ids or self._query.min_score <= 0:
            return ids, []
        cosines = self._store.vectors(ids) @ self._vectors.asked
        good = {id for id, c in zip(ids, cosines, strict=True) if round(self._score(c), 4) >= self._query.min_score}
        return [id for id in ids if id in good], [id for id in ids if id not in good]

    def _nothing(self, ranked: list[str], ranks: Ranks) -> NoMatch:
        """Say why nothing is returned. ranked: what did not reach `min_score`."""
        pictures, passed = int(self._view.passing().sum()), int(self._allowed.sum())
        filtered = self._query.filter.strip()
        searched = f"{passed} of {pictures} pictures pass the filter" if filtered else f"of {pictures} pictures"
        if not passed:
            return NoMatch(f"none of {pictures} pictures passes the filter {filtered}", pictures, passed)
        if not ranked:
            reason = f"no word of the prompt stands in a name, caption or tag ({searched})"
            return NoMatch(reason, pictures, passed)
        best = max(self._matches(ranked, ranks), key=lambda match: match.score)
        reason = f"the best found scores {best.score:.4f}, below min_score {self._query.min_score:g} ({searched})"
        return NoMatch(reason, pictures, passed, best)

    def _rankings(self) -> dict[str, list[str]]:
        """Return strategy -> ids, best first, of every strategy that this query can have."""
        vectors, allowed, seen = self._vectors, self._allowed, self._seen
        if self._by_image:
            return {"image": self._nearest(vectors.asked)}
        rankings = {
            "semantic": self._nearest(vectors.asked),
            "keyword": self._view.by_words(self._words, _POOL, allowed, seen),
        }
        if vectors.image is not None:
            rankings["image"] = self._nearest(vectors.image)
        if vectors.captions is not None:
            rankings["caption"] = self._view.by_caption(vectors.sentence, vectors.captions, _POOL, allowed, seen)
        return rankings

    def _fused(self) -> dict[str, float]:
        """Return id -> how far it stands out in all that hybrid compares, best first, of what some ranking has."""
        seen = sorted(self._seen.items(), key=lambda pair: pair[1])
        rows = np.array([row for _, row in seen], dtype=np.int64)
        vectors = self._vectors
        unwanted = 0.0 if vectors.avoid is None else self._view.cosines(vectors.avoid, rows)
        values = standing(self._view.cosines(vectors.asked, rows) - unwanted, self._background)
        values = values + fusion.by_words(*self._view.matched(self._words, rows))
        if vectors.image is not None:
            cosines = self._view.cosines(vectors.image, rows) - unwanted
            values += standing(cosines, self._backgrounds.get("image"))
        if vectors.captions is not None:
            values += vectors.caption_weight * vectors.captions.standing(vectors.sentence, self._view.keys(rows))
        return fusion.ordered([id for id, _ in seen], values)

    def _nearest(self, vector: np.ndarray) -> list[str]:
        """Rank by cosine, less the cosine with what is to be avoided."""
        chosen_as_ranked = self._query.strategy in ("semantic", "image") and not self._query.diversity
        alone = chosen_as_ranked and self._vectors.avoid is None
        count = self._query.top_k + 1 if alone else max(_POOL, 4 * self._query.top_k)
        cosines = self._view.nearest(vector, count, self._allowed, self._seen)
        if self._vectors.avoid is not None and cosines:
            unwanted = self._store.vectors([id for id, _ in cosines]) @ self._vectors.avoid
            cosines = [(id, cosine - float(a)) for (id, cosine), a in zip(cosines, unwanted, strict=True)]
            cosines.sort(key=lambda pair: (-pair[1], pair[0]))
        return [id for id, _ in cosines]

    def _diversify(self, ids: list[str], fused: dict[str, float]) -> list[str]:
        """Order by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998); at 0 the fused order stays."""
        weight = self._query.diversity
        if not weight or len(ids) < 2:
            return ids
        relevance = np.array([fused[id] for id in ids])
        relevance = (relevance - relevance.min()) / max(float(np.ptp(relevance)), 1e-12)
        vectors = self._store.vectors(ids)
        chosen = [0]
        while len(chosen) < min(len(ids), self._query.top_k + 1):
            nearness = (vectors @ vectors[chosen].T).max(axis=1)
            gain = (1 - weight) * relevance - weight * nearness
            gain[chosen] = -np.inf
            chosen.append(int(gain.argmax()))
        return [ids[n] for n in chosen]

    def _matches(self, ids: Sequence[str], ranks: Ranks) -> list[StyleMatch]:
        records = self._store.records(ids)
        if len(records) < len(set(ids)):
            raise ChangedMeanwhile(self._store.name)
        asked = set(words_of(self._prompt))
        matches = []
        for id, vector in zip(ids, self._store.vectors(ids), strict=True):
            cosine = float(vector @ self._vectors.asked)
            places = {name: order[id] for name, order in ranks.items() if id in order}
            words = tuple(matching_words(self._prompt, records[id].text))
            tags = tuple(tag for tag in records[id].tags if (parts := words_of(tag)) and asked.issuperset(parts))
            matches.append(StyleMatch(records[id], self._score(cosine), cosine, places, words, tags))
        return matches

    def _score(self, cosine: float) -> float:
        return score(cosine, self._background)
