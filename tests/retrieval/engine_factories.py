"""How an owner brings a LangChain store: a function that settings.json names as `module:function`."""

from pathlib import Path

import faiss
from langchain_community.docstore.in_memory import InMemoryDocstore
from langchain_community.vectorstores import FAISS
from langchain_community.vectorstores.utils import DistanceStrategy
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from langchain_milvus import Milvus


def make_faiss(embedding: Embeddings, collection: str, folder: Path, dimension: int) -> VectorStore:
    if (folder / "index.faiss").is_file():
        return FAISS.load_local(str(folder), embedding, allow_dangerous_deserialization=True)
    strategy = DistanceStrategy.MAX_INNER_PRODUCT
    index = faiss.IndexFlatIP(dimension)
    return FAISS(embedding, index, InMemoryDocstore(), {}, distance_strategy=strategy)


def make_milvus(embedding: Embeddings, collection: str, folder: Path, file: str) -> VectorStore:
    index = {"index_type": "FLAT", "metric_type": "COSINE"}
    return Milvus(
        embedding, collection_name=collection, connection_args={"uri": file}, index_params=index, auto_id=False
    )
