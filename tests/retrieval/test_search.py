from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from fakes import ColourEncoder
from PIL import Image
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.ranking import fusion
from style_pack.retrieval.ranking.calibration import score, standing
from style_pack.retrieval.ranking.pins import write_pins
from style_pack.retrieval.records import StyleRecord
from style_pack.retrieval.search import StyleQuery, search
from style_pack.retrieval.store.look import ChangedMeanwhile
from style_pack.retrieval.store.store import StyleStore
from style_pack.retrieval.view.postings import Postings, bm25, matched


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


def test_what_was_found_is_pinned_with_its_score_to_the_last_bit(filled: StyleStore, encoder: ColourEncoder) -> None:
    first = search(filled, encoder, StyleQuery("red", top_k=3))
    lines = tuple(write_pins(first).splitlines())
    again = search(filled, encoder, StyleQuery("a blue lake", pinned=lines))
    assert [(m.record, m.score) for m in again] == [(m.record, m.score) for m in first]
    [halved] = search(filled, encoder, StyleQuery("red", pinned=(f"{first[0].record.id} 0.5",)))
    assert halved.score == halved.explain()["score"] == 0.5


def test_a_search_that_found_nothing_is_pinned_as_none(filled: StyleStore, encoder: ColourEncoder) -> None:
    nothing = search(filled, encoder, StyleQuery("red", filter="tag:no-such-tag"))
    assert write_pins(nothing) == "none"
    again = search(filled, encoder, StyleQuery("red", pinned=("none",)))
    assert again == []
    assert again.explain()[0]["reason"] == "pinned is 'none', which stands for a search that found nothing"


@pytest.mark.parametrize("line", ["feed high", "feed 2", "feed nan", "feed 0.5 0.5", "none 0.5"])
def test_a_pinned_line_that_is_not_understood_is_named(filled: StyleStore, encoder: ColourEncoder, line: str) -> None:
    with pytest.raises(ValueError, match=f"pinned line '{line}' is not understood"):
        found(filled, encoder, "red", pinned=(line,))


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


def test_words_count_by_bm25_and_the_square_of_the_share_that_they_cover() -> None:
    values = fusion.by_words(np.array([2.0, 2.0, 4.0, 0.0]), np.array([1.0, 0.5, 0.25, 0.0]))
    assert values.tolist() == [3 * 2 * 1, 3 * 2 / 4, 3 * 4 / 16, 0]


def test_a_fused_order_breaks_ties_by_id_and_a_single_strategy_keeps_its_own() -> None:
    assert list(fusion.ordered(["b", "c", "a"], np.array([1.5, 2.0, 1.50001]))) == ["c", "a", "b"]
    assert fusion.by_rank(["b", "a"]) == {"b": 1 / 6, "a": 1 / 7}


def test_standing_is_counted_in_deviations_of_unrelated_pairs() -> None:
    assert standing(np.array([0.2, 0.3, 0.1]), [0.2, 0.05]).tolist() == pytest.approx([0, 2, -2])
    assert standing(np.array([0.2]), None).tolist() == [0.2]
    assert standing(np.array([0.2]), [0.1, 0.0]).tolist() == [0.2]


def test_a_text_covers_the_weight_of_its_words_and_rare_words_weigh_most(store: StyleStore) -> None:
    names = ["red", "red lake"]
    records = [
        StyleRecord(str(n) * 64, name, "", (), "", 8, 8, {f"/s/{n}.png": [1, 1, 1]}) for n, name in enumerate(names)
    ]
    red, lake, sky = np.log(1 + 0.5 / 2.5), np.log(1 + 1.5 / 1.5), np.log(1 + 2.5 / 0.5)  # in 2, 1 and 0 of 2 texts
    expected = [
        (red * 2.5 / (1 + 1.5 * (0.25 + 0.75 * 1 / 1.5)), red / (red + lake + sky)),
        ((red + lake) * 2.5 / (1 + 1.5 * (0.25 + 0.75 * 2 / 1.5)), (red + lake) / (red + lake + sky)),
    ]
    whole, halves = Postings.build(records), [Postings.build([record]) for record in records]
    words, row = ["lake", "red", "sky"], np.array([0])
    [(scores, shares)] = matched([whole], words, [np.array([0, 1])])
    assert list(zip(scores, shares, strict=True)) == [pytest.approx(pair) for pair in expected]
    assert scores.tolist() == pytest.approx(bm25([whole], words)[0].tolist())
    parts = matched(halves, words, [row, row])
    assert [(score[0], share[0]) for score, share in parts] == [pytest.approx(pair) for pair in expected]
    assert matched([whole], [], [row])[0][1].tolist() == [0]


def test_words_decide_where_they_cover_much_of_the_prompt_and_pictures_where_not(
    filled: StyleStore, encoder: ColourEncoder
) -> None:
    lake = search(filled, encoder, StyleQuery("grey lake dusk", top_k=5))
    assert lake[0].record.name == "cool/blue"  # "a blue lake at dusk"
    assert lake[0].ranks == {"semantic": 5, "keyword": 1}
    assert found(filled, encoder, "grey tower bridge castle garden lake")[0] == "plain/grey"


@pytest.mark.parametrize("options", [{}, {"image": Image.new("RGB", (4, 4), "blue")}, {"avoid": "blue"}])
def test_hybrid_adds_standings_and_what_words_cover(filled: StyleStore, encoder: ColourEncoder, options: dict) -> None:
    assert filled.origin is not None
    prompt, background = "red lake dusk", filled.origin.background
    matches = search(filled, encoder, StyleQuery(prompt, top_k=5, **options))
    with filled.reading() as view:
        ids = view.ids(view.passing())
        scores, shares = view.matched(["dusk", "lake", "red"], np.arange(5))
    vectors = filled.vectors(ids)
    unwanted = vectors @ encoder.encode_texts(["blue"])[0] if "avoid" in options else 0
    values = standing(vectors @ encoder.encode_texts([prompt])[0] - unwanted, background["text"])
    if "image" in options:
        values = values + standing(vectors @ encoder.encode_images([options["image"]])[0], background["image"])
    values = values + 3 * scores * shares**2
    by_hand = dict(zip(ids, values, strict=True))
    assert [match.record.id for match in matches] == sorted(by_hand, key=lambda id: (-round(by_hand[id], 4), id))


def test_a_view_says_in_which_row_it_saw_what_it_found(filled: StyleStore, encoder: ColourEncoder) -> None:
    asked, seen = encoder.encode_texts(["red"])[0], {}
    with filled.reading() as view:
        every = view.passing()
        ids = view.ids(every)
        found = view.nearest(asked, 3, every, seen)
        assert seen == {id: ids.index(id) for id, _ in found}
        [lake] = view.by_words(["lake"], 3, every, seen)
        assert seen[lake] == ids.index(lake)
        rows = np.array(sorted(seen.values()))
        assert view.cosines(asked, rows) == pytest.approx(filled.vectors([ids[row] for row in rows]) @ asked, abs=1e-6)


def test_a_match_names_the_runner_up_and_its_margin(filled: StyleStore, encoder: ColourEncoder) -> None:
    for options in ({"strategy": "semantic"}, {"strategy": "hybrid"}, {"strategy": "semantic", "diversity": 0.5}):
        several = search(filled, encoder, StyleQuery("red brick", top_k=4, **options))
        everything = search(filled, encoder, StyleQuery("red brick", top_k=5, **options))
        for place, match in enumerate(several):
            after = everything[place + 1]
            assert match.runner_up is not None
            assert (match.runner_up.id, match.runner_up.score) == (after.record.id, after.score)
            assert match.runner_up.margin == match.score - after.score
        assert everything[4].runner_up is None


def test_a_match_says_which_words_and_tags_matched(filled: StyleStore, encoder: ColourEncoder) -> None:
    [match] = search(filled, encoder, StyleQuery("a warm photo of red brick"))
    assert match.record.name == "warm/red"
    assert match.matched == ("warm", "photo", "red", "brick")
    assert match.matched_tags == ("warm", "brick", "photo")
    shown = match.explain()
    assert shown["match"] is True
    assert shown["ranks"] == {"semantic": 1, "keyword": 1}
    assert set(shown["runner_up"]) == {"id", "name", "score", "margin"}


def test_no_match_says_why(filled: StyleStore, encoder: ColourEncoder) -> None:
    def explained(prompt: str, **options: object) -> dict:
        [only] = search(filled, encoder, StyleQuery(prompt, **options)).explain()
        assert only["match"] is False
        return only

    filtered = explained("red", filter="tag:nothing")
    assert filtered["reason"] == "none of 5 pictures passes the filter tag:nothing"
    assert (filtered["pictures"], filtered["passed_filter"], filtered["best"]) == (5, 0, None)

    unknown = explained("zebra", strategy="keyword", filter="-tag:warm")
    assert unknown["reason"] == (
        "no word of the prompt stands in a name, caption or tag (3 of 5 pictures pass the filter)"
    )
    best, *_ = search(filled, encoder, StyleQuery("red green", "semantic"))
    below = explained("red green", strategy="semantic", min_score=1)
    assert below["best"] == {"id": best.record.id, "name": best.record.name, "score": round(best.score, 4)}
    assert below["reason"] == f"the best found scores {best.score:.4f}, below min_score 1 (of 5 pictures)"


def test_what_is_shown_as_reaching_min_score_reaches_it(filled: StyleStore, encoder: ColourEncoder) -> None:
    for strategy in ("hybrid", "semantic", "keyword"):
        for shown in search(filled, encoder, StyleQuery("red lake", strategy, top_k=5)).explain():
            asked = StyleQuery("red lake", strategy, top_k=5, min_score=shown["score"])
            reached = search(filled, encoder, asked)
            assert shown["id"] in [match.record.id for match in reached]
            assert all(round(match.score, 4) >= shown["score"] for match in reached)


def test_diversity_chooses_among_what_reaches_min_score(filled: StyleStore, encoder: ColourEncoder) -> None:
    scores = [match.score for match in search(filled, encoder, StyleQuery("red", "semantic", top_k=5))]
    query = StyleQuery("red", "semantic", top_k=2, min_score=scores[1] - 1e-3, diversity=0.9)
    assert [match.record.name for match in search(filled, encoder, query)] == ["warm/red", "warm/orange"]


class Disturbed(StyleStore):
    """One in which another writer removes a style each time after it was found and before its vector is read."""

    times = 1

    def vectors(self, ids: Sequence[str]) -> np.ndarray:
        if self.times:
            self.times -= 1
            StyleStore(self.folder).remove([ids[0]])
        return super().vectors(ids)


@pytest.mark.parametrize("options", [{}, {"min_score": 0.1}, {"diversity": 0.5}, {"avoid": "green"}])
def test_a_style_that_is_removed_during_a_search_is_looked_past(
    filled: StyleStore, encoder: ColourEncoder, options: dict[str, Any]
) -> None:
    disturbed = Disturbed(filled.folder)
    query = StyleQuery("red", "semantic", top_k=2, **options)
    first = search(filled, encoder, query)[0].record.name
    assert first not in [match.record.name for match in search(disturbed, encoder, query)]
    assert len(filled) == 4


def test_a_search_that_is_always_disturbed_says_so(filled: StyleStore, encoder: ColourEncoder) -> None:
    disturbed = Disturbed(filled.folder)
    always = {"side_effect": ChangedMeanwhile("colours")}
    with (
        patch.object(disturbed, "vectors", **always),
        pytest.raises(TimeoutError, match="knowledge base 'colours' is changed again and again"),
    ):
        search(disturbed, encoder, StyleQuery("red"))
