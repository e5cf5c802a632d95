"""One contract for every vector engine, and what settings.json may say about them.

With STYLE_RAG_QDRANT_URL in the environment it runs over the Qdrant server there too.
"""

import gc
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from qdrant_http import KEY, qdrant_over_http
from style_pack.retrieval.engines import open_index
from style_pack.retrieval.engines.base import EngineChoice, StyleIndex, read_choice
from style_pack.retrieval.store.store import StyleStore
from test_damage import WAYS, damage, held
from test_store import fill, missing
from writer_process import DIMENSION

Opener = Callable[[], StyleIndex]
SIZE, COUNT = 32, 200
FAISS = {
    "engine": "langchain",
    "factory": "engine_factories:make_faiss",
    "in_folder": True,
    "options": {"dimension": DIMENSION},
}
QDRANT_SERVER = os.environ.get("STYLE_RAG_QDRANT_URL", "")
ENGINES = (
    "chroma",
    "chroma-server",
    "qdrant",
    "qdrant-url",
    "faiss",
    "milvus",
    *["qdrant-server"] * bool(QDRANT_SERVER),
)


@pytest.fixture(scope="module")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chroma_run(tmp_path_factory.mktemp("chroma server")) as url:
        yield url


@contextmanager
def chroma_run(folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = [str(Path(sys.executable).with_name("chroma")), "run", "--path", str(folder)]
    server = subprocess.Popen([*program, "--host", "127.0.0.1", "--port", str(port)], stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert server.poll() is None
            assert time.monotonic() < until, "chroma run does not answer"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def qdrant_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("STYLE_RAG_TEST_KEY", KEY)
    with qdrant_over_http() as (url, _):
        yield url


@pytest.fixture(params=ENGINES)
def choice(request: pytest.FixtureRequest, tmp_path: Path) -> EngineChoice:
    if request.param == "qdrant-url":
        return EngineChoice("qdrant", url=request.getfixturevalue("qdrant_url"), api_key_env="STYLE_RAG_TEST_KEY")
    if request.param == "qdrant-server":
        return EngineChoice("qdrant", url=QDRANT_SERVER)
    if request.param == "chroma-server":
        return EngineChoice("chroma-server", url=request.getfixturevalue("chroma_server"))
    if request.param == "faiss":
        options = {"dimension": SIZE}
        return EngineChoice("langchain", factory="engine_factories:make_faiss", in_folder=True, options=options)
    if request.param == "milvus":
        options = {"file": str(tmp_path / "milvus.db")}
        return EngineChoice("langchain", factory="engine_factories:make_milvus", options=options)
    return EngineChoice(request.param)


@pytest.fixture
def opened(choice: EngineChoice, tmp_path: Path) -> Iterator[StyleIndex]:
    index = open_index(choice, tmp_path / "engine", f"contract_{tmp_path.name}")
    yield index
    index.close()


@pytest.fixture
def vectors() -> np.ndarray:
    rows = np.random.default_rng(0).normal(size=(COUNT, SIZE)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def exact(vectors: np.ndarray, query: np.ndarray, keys: np.ndarray, count: int) -> list[int]:
    return keys[np.argsort(-(vectors @ query))[:count]].tolist()


def test_the_contract(opened: StyleIndex, choice: EngineChoice, vectors: np.ndarray, tmp_path: Path) -> None:
    keys = np.arange(1, COUNT + 1, dtype=np.int64) * 7
    opened.add(keys[:150], vectors[:150])
    opened.add(keys[150:], vectors[150:])
    for query, found in zip(vectors[:5], opened.nearest(vectors[:5], 10), strict=True):
        assert found.dtype == np.int64
        assert found.tolist() == exact(vectors, query, keys, 10)

    opened.remove(keys[:100])
    found = opened.nearest(vectors[:1], 10)[0]
    assert found.tolist() == exact(vectors[100:], vectors[0], keys[100:], 10)

    opened.close()
    again = open_index(choice, tmp_path / "engine", f"contract_{tmp_path.name}")
    assert again.nearest(vectors[150:151], 1)[0].tolist() == [keys[150]]
    again.clear(keys[100:])
    again.add(keys[:1], vectors[:1])
    assert again.nearest(vectors[5:6], 1)[0].tolist() == [keys[0]]
    again.close()


def test_a_knowledge_base_has_its_own_engine_or_the_common_one(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    assert read_choice(file, "ink") == EngineChoice()
    engines = {"ink": {"engine": "qdrant", "url": "http://q:6333"}, "*": {"engine": "qdrant"}}
    file.write_text(json.dumps({"engines": engines}))
    assert read_choice(file, "ink").url == "http://q:6333"
    assert read_choice(file, "other") == EngineChoice("qdrant")
    assert read_choice(file, "ink").identity != read_choice(file, "other").identity


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"engine": "pinecone"}, "engine 'pinecone' does not exist: choose one of chroma, chroma-server, qdrant"),
        ({"engine": "chroma-server"}, "engine chroma-server has no url"),
        ({"engine": "langchain"}, "factory '' names no function: write it as package.module:function"),
        ({"engine": ["qdrant"]}, r"engine is \['qdrant'\]: write a text"),
        ({"engine": "qdrant", "url": None}, "url is None: write a text"),
        ({"in_folder": 1}, "in_folder is 1: write true or false"),
        ({"options": []}, r"options is \[\]: write an object"),
        ({"motor": "qdrant"}, "'motor' is not known; an engine has api_key_env, engine"),
    ],
)
def test_a_wrong_entry_is_named_with_its_file(tmp_path: Path, entry: dict[str, object], sentence: str) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"engines": {"ink": entry}}))
    with pytest.raises(ValueError, match=f"settings.json, engine of knowledge base 'ink': {sentence}"):
        read_choice(file, "ink")


@pytest.mark.parametrize("text", ["", "[]", '{"engines": 3}', '{"engines": {"*": []}}', "[" * 100_000, "\xff"])
def test_settings_that_are_none_are_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "settings.json"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match="settings.json, engine of knowledge base 'ink'"):
        read_choice(file, "ink")


def test_a_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    choice = EngineChoice("qdrant", url="http://q", api_key_env="STYLE_RAG_TEST_KEY")
    with pytest.raises(ValueError, match=r"STYLE_RAG_TEST_KEY, which settings\.json names .* is not set"):
        _ = choice.api_key
    monkeypatch.setenv("STYLE_RAG_TEST_KEY", "secret")
    assert choice.api_key == "secret"


def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="engine qdrant needs .* run `python -m pip install qdrant-client`"):
        open_index(EngineChoice("qdrant"), tmp_path, "styles")


@pytest.mark.parametrize("engine", ["chroma-server", "qdrant"])
def test_a_server_that_does_not_answer_is_named(tmp_path: Path, engine: str) -> None:
    with pytest.raises(ConnectionError, match=r"server http://127\.0\.0\.1:9 of settings\.json does not answer"):
        open_index(EngineChoice(engine, url="http://127.0.0.1:9"), tmp_path, "styles")


@pytest.mark.filterwarnings("ignore:Api key is used")
@pytest.mark.parametrize("engine", ["chroma-server", "qdrant"])
def test_a_server_that_ends_while_it_is_in_use_is_named(
    tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STYLE_RAG_TEST_KEY", KEY)
    row, key = np.eye(1, 4, dtype=np.float32), np.array([3])
    with ExitStack() as running:
        url = (
            running.enter_context(qdrant_over_http())[0]
            if engine == "qdrant"
            else running.enter_context(chroma_run(tmp_path / "server"))
        )
        choice = EngineChoice(engine, url=url, api_key_env="STYLE_RAG_TEST_KEY" if engine == "qdrant" else "")
        index = open_index(choice, tmp_path / "engine", "ink")
        index.add(key, row)
    for ask in (lambda: index.nearest(row, 1), lambda: index.add(key, row), lambda: index.remove(key)):
        with pytest.raises(ConnectionError, match=rf"server {url} of settings\.json does not answer: start it"):
            ask()


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_qdrant_by_url_is_asked_there_alone_and_with_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STYLE_RAG_TEST_KEY", KEY)
    with qdrant_over_http() as (url, asked):
        index = open_index(EngineChoice("qdrant", url=url, api_key_env="STYLE_RAG_TEST_KEY"), tmp_path / "e", "ink")
        index.add(np.array([3]), np.eye(1, 4, dtype=np.float32))
        assert index.nearest(np.eye(1, 4, dtype=np.float32), 1)[0].tolist() == [3]
        index.close()
    calls = [("GET", "/exists"), ("PUT", ""), ("PUT", "/points"), ("POST", "/points/query/batch")]
    assert asked == [(method, f"/collections/ink{path}", KEY) for method, path in calls]
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("engine", [{"engine": "qdrant"}, FAISS], ids=["qdrant", "faiss"])
def test_another_engine_in_a_folder_heals_too(store: StyleStore, engine: dict[str, object], way: str) -> None:
    (store.folder.parent / "settings.json").write_text(json.dumps({"engines": {"*": engine}}))
    fill(store, range(40))
    StyleStore(store.folder).publish()
    gc.collect()  # embedded Qdrant closes with its last user
    files = [path for path in (store.folder / "index" / "1" / "engine").rglob("[!.]*") if path.is_file()]
    assert files
    for file in files:
        whole = file.read_bytes()
        damage(file, way)
        opened = StyleStore(store.folder)
        assert (held(opened), missing(opened)) == (0, []), file.name
        file.write_bytes(whole)
    damage(files[0], way)
    opened = StyleStore(store.folder)
    opened.publish()
    assert (held(opened), missing(opened)) == (40, [])
