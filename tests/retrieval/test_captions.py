"""Captions as a further ranking: what is encoded, when again, and what it finds that the tiny CLIP can't."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes import ColourEncoder
from style_pack.retrieval.encoders.encoder import StyleEncoder
from style_pack.retrieval.encoders.sentences import SentenceEncoder
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.search import StyleQuery, search
from style_pack.retrieval.store.store import StyleStore
from style_pack.retrieval.syncing.other_encoders import caption_text, encode_captions
from style_pack.retrieval.view.captions import CaptionTable
from test_sentences import FOLDER

ROOT = Path(__file__).parents[2]
# Words that the miniature CLIP never learned, each with the style that it names.
UNFAMILIAR = {
    "tarnished machinery": "industrial-rust",
    "renoir": "impasto",
    "bitmap icon of an rpg hero": "pixel-art",
    "builder's layout with dimensions": "blueprint",
}


class Topics:
    """A text is which of a few topics it speaks of. Counts what it encodes."""

    def __init__(self, identity: str = "topics@1") -> None:
        self.identity = identity
        self.encoded: list[str] = []

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        self.encoded += texts
        topics = (("lake", "sea", "water"), ("wall", "brick", "house"), ("warm",), ("cool",), ("plain",))
        rows = [[sum(text.count(word) for word in topic) + 1e-3 for topic in topics] for text in texts]
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class ColoursInWords(ColourEncoder):
    def share_unfamiliar(self, words: Sequence[str]) -> float:
        return sum(word not in ("red", "green", "blue", "grey") for word in words) / max(len(words), 1)


def first_by_caption(store: StyleStore, prompt: str, captions: Topics) -> str:
    found = search(store, ColoursInWords(), StyleQuery(prompt, top_k=5), captions)
    return next(match.record.name for match in found if match.ranks["caption"] == 1)


def names(store: StyleStore, prompt: str, captions: Topics | None, **options: object) -> list[str]:
    found = search(store, ColoursInWords(), StyleQuery(prompt, top_k=5, **options), captions)
    return [match.record.name for match in found]


def test_captions_find_what_the_encoder_has_no_word_for(filled: StyleStore) -> None:
    topics = Topics()
    assert encode_captions(filled, topics) == 5
    matches = {m.record.name: m for m in search(filled, ColoursInWords(), StyleQuery("sea", top_k=5), topics)}
    assert matches["cool/blue"].ranks["caption"] == 1  # "a blue lake at dusk"
    assert filled.origin is not None
    mean, deviation = filled.origin.background["text"]
    texts = topics.encode_texts([caption_text(match.record) for match in matches.values()])
    captions = texts @ topics.encode_texts(["sea"])[0]
    captions = (captions - captions.mean()) / captions.std()
    pictures = [(match.cosine - mean) / deviation for match in matches.values()]
    values = np.array(pictures) + 6 * captions
    assert values.tolist() == sorted(values.tolist(), reverse=True)
    without = search(filled, ColoursInWords(), StyleQuery("sea", top_k=5))
    assert all("caption" not in match.ranks for match in without)
    assert list(matches).index("cool/blue") < [match.record.name for match in without].index("cool/blue")
    assert "cool/blue" not in names(filled, "sea", topics, filter="-name:blue")
    assert names(filled, "red", topics)[0] == "warm/red"  # a word it knows: pictures decide


def test_a_caption_stands_out_by_deviations_of_all_captions() -> None:
    table = CaptionTable(("made", 0))
    assert table.standing(np.array([1, 0], np.float32), np.array([4])).tolist() == [0]
    rows = np.array([[1, 0], [0, 1], [0, 1], [0, 1]], dtype="<f4")
    table.extend([(number, 10 + number, row.tobytes()) for number, row in enumerate(rows)])
    found = table.standing(np.array([1, 0], np.float32), np.array([5, 10, 12]))  # cosines 1, 0, 0, 0
    assert found.tolist() == pytest.approx([0, 0.75 / np.sqrt(3 / 16), -0.25 / np.sqrt(3 / 16)])
    assert table.standing(np.array([0, 0], np.float32), np.array([10])).tolist() == [0]


def test_only_what_is_new_or_described_anew_is_encoded(
    filled: StyleStore, encoder: ColourEncoder, folder: Path
) -> None:
    topics = Topics()
    encode_captions(filled, topics)
    assert sorted(topics.encoded) == sorted(map(caption_text, filled.records().values()))
    topics.encoded.clear()
    assert encode_captions(filled, topics) == 0
    (folder / "cool" / "teal.txt").write_text("a house of brick, with a wall of brick around it")
    ingest(filled, encoder, [folder], "sync")
    assert encode_captions(filled, topics) == 1
    assert topics.encoded == ["a house of brick, with a wall of brick around it. cool"]
    assert first_by_caption(filled, "a cool house of brick", topics) == "cool/teal"
    (folder / "cool" / "teal.png").unlink()
    ingest(filled, encoder, [folder], "sync")
    assert "cool/teal" not in names(filled, "wall house", topics)


def test_vectors_of_two_caption_encoders_are_never_compared(filled: StyleStore) -> None:
    first, second = Topics("topics@1"), Topics("others@2")
    with pytest.raises(
        ValueError, match="captions of knowledge base 'colours' were encoded with no caption encoder, and topics@1 is"
    ):
        names(filled, "sea", first)
    encode_captions(filled, first)
    pictures = filled.vectors(filled.ids())
    assert encode_captions(filled, second) == 5
    with pytest.raises(ValueError, match="'colours' were encoded with others@2, and topics@1 is chosen"):
        names(filled, "sea", first)
    assert first_by_caption(filled, "sea", second) == "cool/blue"
    assert np.array_equal(filled.vectors(filled.ids()), pictures)
    assert first_by_caption(StyleStore(filled.folder), "sea", second) == "cool/blue"


def test_the_starter_library_is_found_by_words_that_the_tiny_clip_never_saw(tmp_path: Path) -> None:
    model = ROOT / "models" / "clip-tiny"
    clip, sentences = StyleEncoder("bundled/clip-tiny", model, model), SentenceEncoder("MiniLM", FOLDER)
    store = StyleStore(tmp_path / "starter")
    ingest(store, clip, [ROOT / "styles"], "sync")
    encode_captions(store, sentences)

    def found(captions: SentenceEncoder | None) -> list[bool]:
        best = [search(store, clip, StyleQuery(words), captions)[0] for words in UNFAMILIAR]
        return [style in match.record.tags for match, style in zip(best, UNFAMILIAR.values(), strict=True)]

    assert found(sentences) == [True] * len(UNFAMILIAR)
    assert found(None) == [False] * len(UNFAMILIAR)
