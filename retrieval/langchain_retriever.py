"""Knowledge bases for LangChain: a prompt to Documents, by the same search as RetrieveStyle. Needs langchain-core."""

from __future__ import annotations

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from PIL import Image
from pydantic import SkipValidation

from .encoders.encoder import StyleEncoder
from .records import StyleMatch
from .search import StyleQuery, search
from .store.store import StyleStore


class StyleRetriever(BaseRetriever):
    """Finds the pictures that fit a prompt best, as `search` does: none when nothing reaches `min_score`.

    The fields that are not named here are those of StyleQuery, checked there at each prompt.
    store: the open knowledge base.
    encoder: the one that made it; `search` raises ValueError for any other.
    image: RGB, whose look is wanted (hybrid and image).
    """

    store: SkipValidation[StyleStore]
    encoder: SkipValidation[StyleEncoder]
    strategy: str = "hybrid"
    top_k: int = 4
    min_score: float = 0.0
    diversity: float = 0.0
    filter: str = ""
    avoid: str = ""
    image: Image.Image | None = None

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        asked = StyleQuery(
            query, self.strategy, self.top_k, self.min_score, self.diversity, self.filter, self.image, self.avoid
        )
        return [to_document(match) for match in search(self.store, self.encoder, asked)]


def to_document(match: StyleMatch) -> Document:
    """Return a match as a Document: the caption, or the name of a picture without one, and as metadata all that
    RetrieveStyle's explanation says: id, name, file, caption, tags, licence, score, cosine, ranks, matched.
    """
    record = match.record
    return Document(id=record.id, page_content=record.caption or record.name, metadata=match.explain())
