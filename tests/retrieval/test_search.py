from pathlib import Path

import numpy as np
import pytest
from fakes import ColourEncoder
from PIL import Image
from style_pack.retrieval.calibration import score
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.search import StyleQuery, _fuse, search
from style_pack.retrieval.store import StyleStore


def found(store: StyleStore, encoder: ColourEncoder, prompt: str, **options: object) -> list[str]:
    return [match.record.name for match in search(store, encoder, StyleQuery(prompt, **options))]


def test_semantic_ranks_by_cosine(filled: StyleStore, encoder: ColourEncoder) -> None:
    query = StyleQuery("blue green", "semantic", top_k=5)
    matches = search(filled, encoder, query)
    assert [match.record.name for match in matches][:2] == ["cool/teal", "plain/grey"]
    vector = encoder.encode_texts(["blue green"])[0]
    for match in matches:
        picture = encoder.encode_images([Image.open(match.record.file).convert("RGB")])[0]
        assert match.cosine == pytest.approx(float(vector @ picture), abs=1e-5)
    assert [match.cosine for match in matches] == sorted((match.cosine for match in matches), reverse=True)


def test_keyword_ranks_by_words_and_says_which(filled: StyleStore, encoder: ColourEncoder) -> None:
    matches = search(filled, encoder, StyleQuery("a lake at dusk", "keyword", top_k=5))
    assert [(match.record.name, match.matched) for match in matches] == [("cool/blue", ("lake", "dusk"))]


def test_hybrid_joins_both_rankings(filled: StyleStore, encoder: ColourEncoder) -> None:
    best = search(filled, encoder, StyleQuery("red brick", "hybrid"))[0]
    assert best.record.name == "warm/red"
    assert best.ranks == {"semantic": 1, "keyword": 1}


def test_image_compares_pictures(filled: StyleStore, encoder: ColourEncoder) -> None:
    orange = Image.new("RGB", (4, 4), (250, 130, 0))
    assert found(filled, encoder, "", strategy="image", image=orange, top_k=2) == ["warm/orange", "warm/red"]


@pytest.mark.parametrize(
    ("filter", "names"),
    [
        ("tag:cool", {"cool/blue", "cool/teal"}),
        ("-tag:cool -tag:warm", {"plain/grey"}),
        ("license:cc0", {"warm/red"}),
        ("folder:warm name:orange", {"warm/orange"}),
        ("(name:teal OR folder:plain) size:16 date:>=2024", {"cool/teal", "plain/grey"}),
        ("tag:nothing", set()),
    ],
)
def test_a_filter_is_never_broken(filled: StyleStore, encoder: ColourEncoder, filter: str, names: set[str]) -> None:
    for strategy in ("hybrid", "semantic"):
        assert set(found(filled, encoder, "red", strategy=strategy, filter=filter, top_k=5)) == names


def test_avoid_pushes_its_like_down(filled: StyleStore, encoder: ColourEncoder) -> None:
    assert found(filled, encoder, "red blue grey", strategy="semantic")[0] == "plain/grey"
    assert found(filled, encoder, "red blue grey", strategy="semantic", avoid="grey green")[0] in (
        "warm/red",
        "cool/blue",
    )


def test_diversity_brings_unlike_pictures(filled: StyleStore, encoder: ColourEncoder) -> None:
    alike = found(filled, encoder, "red", strategy="semantic", top_k=2)
    unlike = found(filled, encoder, "red", strategy="semantic", top_k=2, diversity=0.9)
    assert alike == ["warm/red", "warm/orange"]
    assert unlike[0] == "warm/red"
    assert unlike[1].startswith("cool/")


def test_min_score_abstains(filled: StyleStore, encoder: ColourEncoder) -> None:
    scores = [m.score for m in search(filled, encoder, StyleQuery("red", "semantic", top_k=5))]
    between = (scores[0] + scores[1]) / 2
    assert len(found(filled, encoder, "red", strategy="semantic", top_k=5, min_score=between)) == 1
    assert found(filled, encoder, "zebra", strategy="keyword", min_score=0.5) == []


def test_pinned_ids_and_nothing_else_are_returned_in_their_order(filled: StyleStore, encoder: ColourEncoder) -> None:
    ids = {record.name: id for id, record in filled.records().items()}
    pinned = (ids["plain/grey"], ids["cool/blue"])
    assert found(filled, encoder, "red", pinned=pinned) == ["plain/grey", "cool/blue"]
    with pytest.raises(ValueError, match="pinned style 'feed' is not in knowledge base 'colours'"):
        found(filled, encoder, "red", pinned=("feed",))


def test_ties_break_by_id(store: StyleStore, encoder: ColourEncoder, tmp_path: Path) -> None:
    for size in (8, 9, 10):
        Image.new("RGB", (size, size), "red").save(tmp_path / f"{size}.png")
    ingest(store, encoder, [tmp_path / f"{size}.png" for size in (8, 9, 10)], "sync")
    ids = [match.record.id for match in search(store, encoder, StyleQuery("red", "semantic", top_k=3))]
    assert ids == sorted(ids)


def test_searching_twice_gives_the_same(filled: StyleStore, encoder: ColourEncoder) -> None:
    query = StyleQuery("a red wall and a blue lake", "hybrid", top_k=4, diversity=0.3)
    assert search(filled, encoder, query) == search(filled, encoder, query)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"prompt": " "}, "the prompt is empty"),
        ({"prompt": "x", "strategy": "magic"}, "strategy 'magic' does not exist"),
        ({"prompt": "x", "strategy": "image"}, "query_image is not linked"),
        ({"prompt": "x", "filter": "ukiyo"}, "filter 'ukiyo', character 1: 'ukiyo' is not understood"),
    ],
)
def test_a_query_that_cannot_be_answered_says_why(
    filled: StyleStore, encoder: ColourEncoder, options: dict, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        search(filled, encoder, StyleQuery(**options))


def test_an_empty_knowledge_base_says_so(store: StyleStore, encoder: ColourEncoder) -> None:
    with pytest.raises(ValueError, match="knowledge base 'colours' is empty"):
        search(store, encoder, StyleQuery("red"))


def test_score_is_the_share_of_unrelated_pairs_below() -> None:
    assert score(0.2, [0.2, 0.05]) == pytest.approx(0.5)
    assert score(0.2 + 1.6449 * 0.05, [0.2, 0.05]) == pytest.approx(0.95, abs=1e-4)
    assert score(0.0, None) == 0.5


def test_the_background_is_measured_on_pairs_that_do_not_belong_together(
    filled: StyleStore, encoder: ColourEncoder
) -> None:
    assert filled.origin is not None
    records = list(filled.records().values())
    words = encoder.encode_texts([record.caption or record.text for record in records])
    pictures = filled.vectors([record.id for record in records])
    cosines = [
        words[a] @ pictures[b]
        for a, first in enumerate(records)
        for b, second in enumerate(records)
        if not set(first.tags) & set(second.tags)
    ]
    assert filled.origin.background["text"] == pytest.approx([np.mean(cosines), np.std(cosines)], abs=1e-5)


def test_hybrid_sums_weighted_reciprocal_ranks() -> None:
    fused = _fuse({"semantic": ["a", "b", "c"], "keyword": ["c", "b"], "image": ["b"]})
    assert fused == pytest.approx({"b": 1 / 7 + 0.25 / 7 + 1 / 6, "a": 1 / 6, "c": 1 / 8 + 0.25 / 6}, abs=1e-12)
    assert list(fused) == ["b", "a", "c"]
