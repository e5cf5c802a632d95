"""What was removed by hand: away for as long as its file is what it was."""

from pathlib import Path

from fakes import ColourEncoder, paint
from PIL import Image
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.store.own_pictures import keep_picture
from style_pack.retrieval.store.store import StyleStore
from style_pack.retrieval.store.stylepack import export_pack
from style_pack.retrieval.syncing.dismissed import remove_by_hand, welcome


def names(store: StyleStore) -> list[str]:
    return sorted(record.name.rpartition("/")[2] for record in store.records().values())


def remove(store: StyleStore, name: str) -> list[str]:
    [record] = [record for record in store.records().values() if record.name.endswith(name)]
    remove_by_hand(store, [record.id])
    return list(record.files)


def test_a_sync_leaves_it_out_and_embeds_nothing_for_it(
    filled: StyleStore, encoder: ColourEncoder, folder: Path
) -> None:
    remove(filled, "red")
    embedded = list(encoder.batches)
    for update in ("sync", "add", "sync"):
        ingest(filled, encoder, [folder], update)
        assert names(filled) == ["blue", "grey", "orange", "teal"]
    assert encoder.batches == embedded


def test_it_is_back_when_its_file_or_the_words_beside_it_change(
    filled: StyleStore, encoder: ColourEncoder, folder: Path
) -> None:
    remove(filled, "red")
    remove(filled, "blue")
    paint(folder / "warm" / "red.png", (250, 0, 0), 17)
    (folder / "cool" / "blue.txt").write_text("the sea")
    ingest(filled, encoder, [folder], "sync")
    assert names(filled) == ["blue", "grey", "orange", "red", "teal"]


def test_it_is_back_after_a_rebuild_and_when_it_is_wanted(
    filled: StyleStore, encoder: ColourEncoder, folder: Path
) -> None:
    files = remove(filled, "red")
    welcome(filled, files)
    ingest(filled, encoder, [folder], "sync")
    assert "red" in names(filled)
    remove(filled, "red")
    ingest(filled, encoder, [folder], "rebuild")
    ingest(filled, encoder, [folder], "sync")
    assert "red" in names(filled)


def test_a_picture_of_a_pack_or_of_an_own_one_stays_away_too(
    filled: StyleStore, encoder: ColourEncoder, tmp_path: Path
) -> None:
    pack = tmp_path / "colours.stylepack"
    export_pack(filled, pack)
    other = StyleStore(tmp_path / "knowledge base" / "other")
    green = Image.new("RGB", (16, 16), "green")
    for _ in range(2):
        own = keep_picture(other, green, "", []).stem
        ingest(other, encoder, [pack], "sync")
        if len(other) == 6:
            remove(other, "red")
            remove(other, own)
        assert names(other) == ["blue", "grey", "orange", "teal"]


def test_the_same_pixels_under_two_paths_stay_away_as_one(
    store: StyleStore, encoder: ColourEncoder, folder: Path
) -> None:
    paint(folder / "copy.png", "red")
    ingest(store, encoder, [folder], "sync")
    [twice] = [id for id, record in store.records().items() if len(record.files) == 2]
    remove_by_hand(store, [twice])
    ingest(store, encoder, [folder], "sync")
    assert names(store) == ["blue", "grey", "orange", "teal"]
