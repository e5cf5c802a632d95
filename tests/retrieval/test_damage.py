"""Indexes that are gone, cut or full of garbage: no result changes, no process ends, and they are made again.

All of it with Chroma in this process, as on the command line, and apart, as in ComfyUI.
"""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fakes import ColourEncoder
from style_pack.retrieval.engines import open_index
from style_pack.retrieval.engines.base import DamagedIndex, EngineChoice
from style_pack.retrieval.engines.chroma import ChromaIndex
from style_pack.retrieval.engines.own_process import ProcessIndex
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.search import StyleQuery, search
from style_pack.retrieval.store.store import StyleStore
from test_store import fill, missing, nearest
from writer_process import vector_of

pytestmark = pytest.mark.usefixtures("either_way")

MANY = 1200  # rows: Chroma saves a graph from 1000 on, and has fewer in its SQLite file alone
SEGMENT = "keys ids vectors starts rows counts lengths numbers names name_ends".split()
WAYS: dict[str, Callable[[bytes], bytes | None]] = {
    "gone": lambda content: None,
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "zeros": lambda content: bytes(len(content)),
    "garbage": lambda content: random.Random(0).randbytes(len(content)),
    "garbage in it": lambda content: content[: len(content) // 2] + b"#" * 9 + content[len(content) // 2 + 9 :],
}


def damage(path: Path, way: str) -> None:
    content = WAYS[way](path.read_bytes())
    path.unlink()  # what has the old one open keeps it
    if content is not None:
        path.write_bytes(content)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = StyleStore(tmp_path_factory.mktemp("many") / "colours")
    fill(store, range(MANY))
    store.publish()
    return store.folder


def missing_of_some(store: StyleStore) -> list[str]:
    return [id for id in store.ids()[::100] if nearest(store, store.vectors([id])[0]) != [id]]


def held(store: StyleStore) -> int:
    """How many rows the index has of those that are stored."""
    with store.reading() as view:
        return len(view.snapshot_keys)


def test_what_a_damaged_index_misses_is_found_and_repaired(store: StyleStore) -> None:
    fill(store, range(40))
    store.publish()
    shutil.rmtree(store.folder / "index" / "1" / "engine")
    opened = StyleStore(store.folder)
    assert missing(opened) == []
    opened.publish()
    with opened.reading() as view:
        assert view.changes == 0
    assert missing(opened) == []


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_file_of_a_snapshot_changes_no_result(filled: StyleStore, encoder: ColourEncoder, way: str) -> None:
    queries = [
        StyleQuery("red brick", filter="tag:brick"),
        StyleQuery("dusk lake", "keyword", top_k=5),
        StyleQuery("blue", top_k=5, filter="width:>8 -name:warm"),
    ]
    before = [search(filled, encoder, query) for query in queries]
    [number] = (filled.folder / "index").iterdir()
    files = [*(f"{name}.npy" for name in SEGMENT), "values.json", "sums.json", "engine.json", "engine/chroma.sqlite3"]
    for file in files:
        whole = (number / file).read_bytes()
        damage(number / file, way)
        again = StyleStore(filled.folder)
        assert [search(again, encoder, query) for query in queries] == before, file
        assert missing(again) == [], file
        assert held(again) == 0, f"{file} was not seen to be damaged"
        with again.reading() as view:
            view.close()
        (number / file).write_bytes(whole)


@pytest.mark.parametrize(
    "file", ["", "keys.npy", "vectors.npy", "postings", "engine/chroma.sqlite3", "sums.json", "values.json"]
)
@pytest.mark.parametrize("cut", [False, True])
def test_an_index_whose_files_are_gone_or_cut_is_made_anew(
    filled: StyleStore, encoder: ColourEncoder, folder: Path, file: str, cut: bool
) -> None:
    [snapshot] = (filled.folder / "index").iterdir()
    for path in snapshot.glob("**/*.*" if file == "" else {"postings": "counts.npy"}.get(file, file)):
        if cut and path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        elif path.is_file():
            path.unlink()
    again = StyleStore(filled.folder)
    assert missing(again) == []
    assert [m.record.name for m in search(again, encoder, StyleQuery("red brick", filter="tag:brick"))] == ["warm/red"]
    ingest(again, encoder, [folder], "sync")
    with StyleStore(filled.folder).reading() as view:
        assert len(view.snapshot_keys) == 5


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_graph_is_not_opened_and_changes_no_result(many: Path, tmp_path: Path, way: str) -> None:
    copy = Path(shutil.copytree(many, tmp_path / "colours"))
    [graph] = (found.parent for found in copy.glob("index/1/engine/*/index_metadata.pickle"))
    for file in sorted(path for path in graph.iterdir() if path.stat().st_size):
        whole = file.read_bytes()
        damage(file, way)
        store = StyleStore(copy)
        assert held(store) == 0, file.name
        assert missing_of_some(store) == [], file.name
        file.write_bytes(whole)
    store = StyleStore(copy)
    assert held(store) == MANY
    damage(graph / "data_level0.bin", way)
    fill(store, range(MANY, MANY + 40))
    store.publish()  # goes on from the damaged one, which it opened when that was whole
    assert (held(store), missing_of_some(store)) == (MANY + 40, [])


def test_files_that_are_cut_under_an_open_knowledge_base_end_nothing(many: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(many, tmp_path / "colours"))
    store = StyleStore(copy)
    assert held(store) == MANY
    before = nearest(store, vector_of(-1 % MANY), 20)
    for path in (copy / "index").rglob("*.*"):
        if path.is_file():
            os.truncate(path, 0)
    assert nearest(store, vector_of(-1 % MANY), 20) == before
    assert missing_of_some(store) == []
    assert missing_of_some(StyleStore(copy)) == []


def test_a_row_that_the_index_never_finds_is_looked_at_itself(
    store: StyleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for engine in (ChromaIndex, ProcessIndex):
        monkeypatch.setattr(engine, "add", without_row_5(engine.add))
    fill(store, range(40))
    store.publish()
    assert missing(StyleStore(store.folder)) == []


def without_row_5(add: Callable[..., None]) -> Callable[..., None]:
    return lambda index, keys, rows: add(index, keys[keys != 5], rows[keys != 5])


def test_a_folder_that_could_not_be_opened_can_be_once_it_is_whole(tmp_path: Path, either_way: bool) -> None:
    place = EngineChoice(), tmp_path / "engine", "colours", either_way
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "chroma.sqlite3").write_bytes(b"no database" * 999)
    for _ in range(2):
        with pytest.raises(DamagedIndex, match="Chroma can't open it"):
            open_index(*place)
    (tmp_path / "engine" / "chroma.sqlite3").unlink()
    index = open_index(*place)
    index.add(np.array([7]), vector_of(7)[None])
    assert index.nearest(vector_of(7)[None], 1)[0].tolist() == [7]
    index.close()
