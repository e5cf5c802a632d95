"""What a studio trusts a knowledge base with: several processes, damaged and old files, other engines."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fakes import ColourEncoder, paint
from style_pack.retrieval.database.database import FILE
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.records import StyleRecord
from style_pack.retrieval.search import StyleQuery, search
from style_pack.retrieval.store.store import StyleStore
from style_pack.retrieval.view.view import View
from writer_process import vector_of

pytestmark = pytest.mark.usefixtures("either_way")


def record(number: int, caption: str = "") -> StyleRecord:
    return StyleRecord(f"{number:064x}", f"n{number}", caption, (), "", 1, 1, {f"{number}.png": [1, number, 0]})


def fill(store: StyleStore, numbers: range) -> None:
    store.add([record(n) for n in numbers], np.stack([vector_of(n) for n in numbers]), "made@1")


def nearest(store: StyleStore, vector: np.ndarray, count: int = 1) -> list[str]:
    with store.reading() as view:
        return [id for id, _ in view.nearest(vector, count, view.passing([]))]


def missing(store: StyleStore) -> list[str]:
    """The ids of stored pictures that their own vectors do not find."""
    ids = store.ids()
    return (
        [id for id, vector in zip(ids, store.vectors(ids), strict=True) if nearest(store, vector) != [id]]
        if ids
        else []
    )


def test_what_is_added_and_removed_is_seen_at_once_and_after_publishing(store: StyleStore) -> None:
    fill(store, range(40))
    store.publish()
    assert missing(store) == []
    fill(store, range(40, 45))
    store.remove([record(7).id])
    assert nearest(store, vector_of(42)) == [record(42).id]
    assert nearest(store, vector_of(7)) != [record(7).id]
    published = StyleStore(store.folder)
    published.publish()
    for opened in (store, published):
        assert len(opened) == 44
        assert missing(opened) == []
        assert nearest(opened, vector_of(7)) != [record(7).id]


def test_a_search_over_snapshot_and_later_rows_is_exact(store: StyleStore) -> None:
    fill(store, range(300))
    store.publish()
    fill(store, range(300, 305))
    store.remove([record(n).id for n in range(3)])
    asked, vectors = vector_of(9999), np.stack([vector_of(n) for n in range(305)])
    order = [int(n) for n in np.argsort(-(vectors @ asked)) if n >= 3]
    assert nearest(store, asked, 20) == [record(n).id for n in order[:20]]


def test_stores_of_one_process_share_what_they_read(store: StyleStore) -> None:
    fill(store, range(40))
    store.publish()
    with store.reading() as one, StyleStore(store.folder).reading() as other:
        assert one.snapshot_keys is other.snapshot_keys
    fill(store, range(40, 60))
    store.publish()
    with store.reading() as one, StyleStore(store.folder).reading() as other:
        assert len(one.snapshot_keys) == len(other.snapshot_keys) == 60


def test_words_and_filters_reach_snapshot_and_later_rows(
    filled: StyleStore, encoder: ColourEncoder, folder: Path
) -> None:
    filled.add([record(1, "a dusk in autumn")], vector_of(1)[None, :3], encoder.identity)
    names = [m.record.name for m in search(filled, encoder, StyleQuery("dusk", "keyword", top_k=5))]
    assert sorted(names) == ["cool/blue", "n1"]
    query = StyleQuery("dusk", "keyword", top_k=5, filter="-tag:cool")
    assert [m.record.name for m in search(filled, encoder, query)] == ["n1"]


def test_another_process_sees_additions_at_its_next_search(store: StyleStore, tmp_path: Path) -> None:
    fill(store, range(10))
    store.publish()
    assert nearest(store, vector_of(3)) == [record(3).id]
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import writer_process as w; w.register_pack()\n"
        "from pathlib import Path; from test_store import fill, StyleStore\n"
        "store = StyleStore(Path(sys.argv[2])); fill(store, range(10, 30)); store.publish(); fill(store, range(30, 32))"
    )
    here = str(Path(__file__).parent)
    subprocess.run([sys.executable, "-c", program, here, str(store.folder)], check=True)
    assert nearest(store, vector_of(20)) == [record(20).id]
    assert nearest(store, vector_of(31)) == [record(31).id]


def test_a_second_writer_waits_and_then_says_so(store: StyleStore) -> None:
    second = StyleStore(store.folder)
    with (
        store.writing(),
        pytest.raises(TimeoutError, match=r"'colours' is being written by another process, for more than 0\.1 seconds"),
        second.writing(wait=0.1),
    ):
        pass
    with second.writing(wait=0.1):
        fill(second, range(3))
    assert len(store) == 3


@pytest.mark.parametrize("content", [b"", b"no database at all" * 1000, 0.4])
def test_a_damaged_database_is_one_sentence(filled: StyleStore, content: bytes | float) -> None:
    filled.publish()
    file = filled.folder / FILE
    for beside in filled.folder.glob(f"{FILE}-*"):
        beside.unlink()
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * content)] if isinstance(content, float) else content)
    if content == b"":
        assert len(StyleStore(filled.folder)) == 0
        return
    with pytest.raises(OSError, match=r"knowledge base 'colours' can't be used, SQLite says .* put a copy back"):
        StyleStore(filled.folder).records()


def test_a_full_disk_is_one_sentence_and_loses_nothing(filled: StyleStore) -> None:
    with filled._database.held():
        pages = filled._database._read("PRAGMA page_count")[0][0]
        filled._database._read(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(OSError, match="SQLite says 'database or disk is full' of .*: the disk is full: free some"):
            fill(filled, range(200))
    assert (len(filled), missing(StyleStore(filled.folder))) == (5, [])


def test_emptying_is_seen_by_who_has_it_open(store: StyleStore) -> None:
    fill(store, range(20))
    store.publish()
    reader = StyleStore(store.folder)
    assert nearest(reader, vector_of(3)) == [record(3).id]
    store.replace_with(store.draft("made@1"))
    assert nearest(reader, vector_of(3)) == []
    fill(store, range(100, 120))
    store.publish()
    assert nearest(reader, vector_of(3)) != [record(3).id]
    assert missing(reader) == []


def test_old_snapshots_are_swept_away(store: StyleStore) -> None:
    for start in range(0, 50, 10):
        fill(store, range(start, start + 10))
        store.publish()
    assert sorted(path.name for path in (store.folder / "index").iterdir()) == ["4", "5"]


def test_one_change_in_a_hundred_waits_for_the_next_snapshot(store: StyleStore) -> None:
    fill(store, range(100))
    store.publish()
    fill(store, range(100, 101))
    store.publish()
    assert [path.name for path in (store.folder / "index").iterdir()] == ["1"]
    assert missing(store) == []


@pytest.mark.parametrize("engine", [{"engine": "qdrant"}, {"engine": "langchain", "in_folder": True}])
def test_another_engine_takes_over_without_embedding(
    filled: StyleStore, encoder: ColourEncoder, folder: Path, engine: dict[str, object]
) -> None:
    embedded = list(encoder.batches)
    before = search(filled, encoder, StyleQuery("red wall", top_k=3))
    if engine["engine"] == "langchain":
        engine = {**engine, "factory": "engine_factories:make_faiss", "options": {"dimension": 3}}
    (filled.folder.parent / "settings.json").write_text(json.dumps({"engines": {"*": engine}}))
    moved = StyleStore(filled.folder)
    ingest(moved, encoder, [folder], "sync")
    assert search(moved, encoder, StyleQuery("red wall", top_k=3)) == before
    paint(folder / "plain" / "white.png", "white")
    ingest(moved, encoder, [folder], "sync")
    again = StyleStore(filled.folder)  # beside the one that is open already
    for opened in (again, moved):
        assert len(search(opened, encoder, StyleQuery("red wall", top_k=9))) == 6
    assert sum(encoder.batches) == sum(embedded) + 1


def test_a_filter_that_much_passes_asks_the_index_and_one_that_little_passes_does_not(
    store: StyleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("style_pack.retrieval.view.view._EXACT", 50)
    fill(store, range(200))
    store.publish()
    with store.reading() as view:
        asked, rows = vector_of(5), np.stack([vector_of(n) for n in range(200)])
        for share in (0.9, 0.3, 0.1):
            allowed = np.arange(200) < share * 200
            order = [int(n) for n in np.argsort(-(rows @ asked)) if allowed[n]]
            assert [id for id, _ in view.nearest(asked, 8, allowed)] == [record(n).id for n in order[:8]]


def test_an_empty_view_finds_nothing() -> None:
    view = View()
    assert view.nearest(vector_of(1), 3, view.passing([])) == []
    assert view.by_words(["red"], 3, view.passing([])) == []
