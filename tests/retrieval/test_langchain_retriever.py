"""StyleRetriever as LangChain calls it, on a knowledge base whose vectors can be worked out by hand."""

import pytest
from fakes import ColourEncoder
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from PIL import Image
from style_pack.retrieval.langchain_retriever import StyleRetriever
from style_pack.retrieval.search import StyleQuery, search
from style_pack.retrieval.store.store import StyleStore


def test_documents_are_the_matches_of_search(filled: StyleStore, encoder: ColourEncoder) -> None:
    documents = StyleRetriever(store=filled, encoder=encoder, top_k=3).invoke("red brick")
    matches = search(filled, encoder, StyleQuery("red brick", top_k=3))
    assert [document.id for document in documents] == [match.record.id for match in matches]
    assert [document.metadata for document in documents] == [match.explain() for match in matches]
    best = documents[0]
    assert best.page_content == "a red wall"
    assert best.metadata["name"] == "warm/red"
    assert best.metadata["file"].endswith("red.png")
    assert best.metadata["tags"] == ["warm", "brick", "photo"]
    assert best.metadata["licence"] == "CC0-1.0"
    assert best.metadata["ranks"] == {"semantic": 1, "keyword": 1}
    assert best.metadata["cosine"] == pytest.approx(1.0, abs=1e-2)
    assert 0.5 < best.metadata["score"] <= 1


def test_a_picture_without_caption_is_called_by_its_name(filled: StyleStore, encoder: ColourEncoder) -> None:
    [document] = StyleRetriever(store=filled, encoder=encoder, top_k=1, strategy="semantic").invoke("grey")
    assert document.page_content == "plain/grey"


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"filter": "tag:cool", "strategy": "semantic"}, ["cool/teal", "cool/blue"]),
        ({"min_score": 1.0}, []),
        ({"strategy": "image", "image": Image.new("RGB", (8, 8), "blue"), "top_k": 1}, ["cool/blue"]),
        ({"strategy": "semantic", "avoid": "green", "top_k": 1}, ["cool/blue"]),
    ],
)
def test_its_fields_are_those_of_the_query(
    filled: StyleStore, encoder: ColourEncoder, options: dict, names: list[str]
) -> None:
    found = StyleRetriever(store=filled, encoder=encoder, **options).invoke("blue green")
    assert [document.metadata["name"] for document in found] == names


def test_what_is_wrong_is_said_at_the_prompt(filled: StyleStore, encoder: ColourEncoder) -> None:
    with pytest.raises(ValueError, match="the prompt is empty"):
        StyleRetriever(store=filled, encoder=encoder).invoke(" ")
    with pytest.raises(ValueError, match="was made with encoder colours@1"):
        StyleRetriever(store=filled, encoder=ColourEncoder("others@2")).invoke("red")


def first_name(found: list[Document]) -> str:
    return found[0].metadata["name"]


def test_it_joins_other_runnables_and_many_prompts_at_once(filled: StyleStore, encoder: ColourEncoder) -> None:
    retriever = StyleRetriever(store=filled, encoder=encoder, top_k=1, strategy="semantic")
    chain = RunnablePassthrough() | retriever | RunnableLambda(first_name)
    assert chain.batch(["red", "blue", "grey"] * 4) == ["warm/red", "cool/blue", "plain/grey"] * 4
