import errno
import os
import shutil
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from fakes import ColourEncoder, paint
from PIL import Image
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.pictures import finder, read_ahead
from style_pack.retrieval.search import StyleQuery, search
from style_pack.retrieval.store.own_pictures import keep_picture
from style_pack.retrieval.store.store import StyleStore
from style_pack.retrieval.syncing.duplicates import MAX_PAIRS
from style_pack.retrieval.syncing.other_encoders import keep_encodings


def counts(store: StyleStore, encoder: ColourEncoder, sources: list[Path], update: str = "sync") -> dict[str, int]:
    report = asdict(ingest(store, encoder, sources, update))
    return {key: report[key] for key in ("added", "updated", "removed", "unchanged", "total")} | {
        "failed": len(report["failed"])
    }


def test_a_folder_is_embedded_in_batches_once(store: StyleStore, encoder: ColourEncoder, folder: Path) -> None:
    first = counts(store, encoder, [folder])
    assert first == {"added": 5, "updated": 0, "removed": 0, "unchanged": 0, "total": 5, "failed": 0}
    assert encoder.batches == [3, 2]
    again = counts(store, encoder, [folder])
    assert again == {"added": 0, "updated": 0, "removed": 0, "unchanged": 5, "total": 5, "failed": 0}
    assert encoder.batches == [3, 2]


def test_new_changed_and_vanished_files_are_synced(filled: StyleStore, encoder: ColourEncoder, folder: Path) -> None:
    paint(folder / "plain" / "white.png", "white")
    paint(folder / "cool" / "teal.png", (0, 100, 100))
    (folder / "warm" / "orange.png").unlink()
    synced = counts(filled, encoder, [folder])
    assert synced == {"added": 1, "updated": 1, "removed": 1, "unchanged": 3, "total": 5, "failed": 0}
    assert sorted(record.name for record in filled.records().values()) == [
        "cool/blue",
        "cool/teal",
        "plain/grey",
        "plain/white",
        "warm/red",
    ]


def test_add_drops_nothing(filled: StyleStore, encoder: ColourEncoder, folder: Path) -> None:
    (folder / "warm" / "orange.png").unlink()
    assert counts(filled, encoder, [folder], "add")["total"] == 5


def test_a_renamed_file_is_not_embedded_again(filled: StyleStore, encoder: ColourEncoder, folder: Path) -> None:
    embedded = list(encoder.batches)
    (folder / "warm" / "orange.png").rename(folder / "warm" / "amber.png")
    assert counts(filled, encoder, [folder])["total"] == 5
    assert encoder.batches == embedded
    renamed = next(r for r in filled.records().values() if r.name == "warm/amber")
    assert list(renamed.files) == [str(folder / "warm" / "amber.png")]


def test_one_picture_under_two_names_is_stored_once_with_both(
    filled: StyleStore, encoder: ColourEncoder, folder: Path
) -> None:
    paint(folder / "warm" / "scarlet.png", "red")
    assert counts(filled, encoder, [folder])["total"] == 5
    both = next(r for r in filled.records().values() if len(r.files) == 2)
    assert {Path(path).name for path in both.files} == {"red.png", "scarlet.png"}
    (folder / "warm" / "scarlet.png").unlink()
    assert counts(filled, encoder, [folder])["total"] == 5


def test_a_new_caption_is_taken_without_embedding(filled: StyleStore, encoder: ColourEncoder, folder: Path) -> None:
    embedded = list(encoder.batches)
    (folder / "cool" / "blue.txt").write_text("a blue sky")
    assert counts(filled, encoder, [folder])["updated"] == 1
    assert encoder.batches == embedded
    assert "a blue sky" in {record.caption for record in filled.records().values()}


def test_a_bad_file_is_named_and_the_rest_is_stored(store: StyleStore, encoder: ColourEncoder, folder: Path) -> None:
    bad = folder / "warm" / "bad.png"
    bad.write_bytes(b"not a picture")
    report = ingest(store, encoder, [folder], "sync")
    assert report.total == 5
    assert report.failed == [{"file": str(bad), "reason": "it is not a picture that can be read"}]


def test_a_folder_that_cannot_be_listed_is_named_and_its_pictures_stay(
    filled: StyleStore, encoder: ColourEncoder, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, folder / "cool")
    paint(folder / "warm" / "pink.png", "pink")
    (folder / "plain" / "grey.png").unlink()
    report = ingest(filled, encoder, [folder], "sync")
    assert report.failed == [{"file": str(folder / "cool"), "reason": "it can't be read: Permission denied"}]
    assert (report.added, report.removed, report.total) == (1, 1, 5)
    assert {Path(path).parent.name for path in filled.said.all()} == {"cool", "warm"}


def test_a_folder_that_vanishes_while_it_is_walked_is_named_and_its_pictures_go(
    filled: StyleStore, encoder: ColourEncoder, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_folder = os.scandir

    def vanish(path: Any) -> Any:
        if path == folder / "cool":
            shutil.rmtree(path)
        return list_folder(path)

    monkeypatch.setattr(finder.os, "scandir", vanish)
    report = ingest(filled, encoder, [folder], "sync")
    assert report.failed == [{"file": str(folder / "cool"), "reason": "the file is gone"}]
    assert (report.removed, report.total) == (2, 3)


def test_a_source_of_which_nothing_can_be_looked_at_says_so(
    filled: StyleStore, encoder: ColourEncoder, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, folder)
    with pytest.raises(ValueError, match=r"none of the sources' 1 pictures could be read .*Permission denied"):
        ingest(filled, encoder, [folder], "sync")
    assert len(filled) == 5


def forbid(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As for someone who may not list the folder; root, who may, can run the tests."""
    list_folder = os.scandir

    def listing(path: Any) -> Any:
        if path == folder:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return list_folder(path)

    monkeypatch.setattr(finder.os, "scandir", listing)


def test_a_missing_source_drops_nothing(filled: StyleStore, encoder: ColourEncoder, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ingest(filled, encoder, [tmp_path / "unplugged"], "sync")
    assert len(filled) == 5


def test_another_encoder_is_refused_until_rebuild(filled: StyleStore, folder: Path) -> None:
    other = ColourEncoder("others@2")
    with pytest.raises(
        ValueError, match=r"made with encoder colours@1 \(3 numbers a picture\), and others@2 is chosen"
    ):
        ingest(filled, other, [folder], "sync")
    with pytest.raises(ValueError, match="set update to rebuild"):
        ingest(filled, other, [], "open")
    assert counts(filled, other, [folder], "rebuild")["total"] == 5
    assert filled.origin and filled.origin.encoder == "others@2"


def test_an_interrupt_keeps_what_is_stored_and_the_next_run_goes_on(
    store: StyleStore, encoder: ColourEncoder, folder: Path
) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(store, encoder, [folder], "sync", interrupt)
    assert len(store) == 3
    assert counts(store, encoder, [folder])["added"] == 2
    assert sum(encoder.batches) == 5


def test_a_picture_without_a_file_is_kept_by_the_knowledge_base(
    filled: StyleStore, encoder: ColourEncoder, folder: Path
) -> None:
    path = keep_picture(filled, Image.new("RGB", (8, 8), "green"), "a green field", ["nature"])
    assert counts(filled, encoder, [folder])["added"] == 1
    assert counts(filled, encoder, [folder]) == counts(filled, encoder, [folder])
    kept = next(r for r in filled.records().values() if r.file == str(path))
    assert (kept.caption, "nature" in kept.tags) == ("a green field", True)


def test_a_picture_that_could_not_be_written_whole_is_written_at_the_next_run(
    store: StyleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = Image.new("RGB", (8, 8), "green")

    def half(image: Image.Image, stream: IO[bytes], format: str) -> None:
        stream.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Image.Image, "save", half)
        keep_picture(store, picture, "", [])
    assert list((store.folder / "pictures").iterdir()) == []
    assert Image.open(keep_picture(store, picture, "", [])).getpixel((0, 0)) == (0, 128, 0)


def test_a_rebuild_keeps_what_is_known_of_pictures_that_cannot_be_read(
    filled: StyleStore, encoder: ColourEncoder, folder: Path
) -> None:
    before = {record.name: (id, record.caption) for id, record in filled.records().items()}
    (folder / "warm" / "red.png").write_bytes(b"")  # as a power cut leaves what was not synced
    (folder / "cool" / "blue.json").write_bytes(b"")
    report = ingest(filled, encoder, [folder], "rebuild")
    assert {Path(failure["file"]).name for failure in report.failed} == {"red.png", "blue.png"}
    assert {record.name: (id, record.caption) for id, record in filled.records().items()} == before
    assert [m.record.name for m in search(filled, encoder, StyleQuery("red", "semantic"))] == ["warm/red"]

    other = ColourEncoder("other@2")
    report = ingest(filled, other, [folder], "rebuild")
    del before["warm/red"]  # nothing is left that another encoder could look at
    assert {record.name: (id, record.caption) for id, record in filled.records().items()} == before
    assert {Path(failure["file"]).name for failure in report.failed} == {"red.png", "blue.png"}


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", bytes(100)])
def test_a_picture_that_lost_its_bytes_is_named_and_no_other_suffers(
    filled: StyleStore, encoder: ColourEncoder, folder: Path, content: bytes
) -> None:
    kept = [keep_picture(filled, Image.new("RGB", (8, 8), colour), colour, []) for colour in ("green", "navy")]
    assert ingest(filled, encoder, [folder], "sync").total == 7
    kept[0].write_bytes(content)
    for update in ("sync", "add", "rebuild", "sync"):
        report = ingest(StyleStore(filled.folder), encoder, [folder], update)
        assert ([failure["file"] for failure in report.failed], report.total) == ([str(kept[0])], 7)
    assert len(search(filled, encoder, StyleQuery("green", "semantic", top_k=7))) == 7
    keep_picture(filled, Image.new("RGB", (8, 8), "green"), "green", [])
    assert ingest(filled, encoder, [folder], "sync").failed == []
    assert [record.name for record in filled.records().values() if Path(record.file) == kept[0]] == [kept[0].stem]


@pytest.mark.parametrize("content", [b"", b"half", bytes(200), None])
def test_an_encoding_that_is_not_whole_is_made_again(filled: StyleStore, content: bytes | None) -> None:
    other = ColourEncoder("other")
    keep_encodings(filled, "other", other.encode_images)
    id = filled.ids()[0]
    whole = filled.encodings.read("other", id)
    assert whole is not None
    file = filled.folder / "encodings" / "other" / f"{id}.npy"
    good = file.read_bytes()
    file.write_bytes(good[:-14] + b"####" + good[-10:] if content is None else content)
    assert filled.encodings.read("other", id) is None
    assert keep_encodings(filled, "other", other.encode_images) == 1
    assert np.array_equal(filled.encodings.read("other", id), whole)


def test_a_touched_file_is_read_but_not_embedded(filled: StyleStore, encoder: ColourEncoder, folder: Path) -> None:
    embedded = list(encoder.batches)
    os.utime(folder / "warm" / "red.png", ns=(1, 1))
    assert counts(filled, encoder, [folder])["updated"] == 1
    assert encoder.batches == embedded


def test_the_same_weights_under_another_name_are_the_same_encoder(
    filled: StyleStore, encoder: ColourEncoder, folder: Path
) -> None:
    assert counts(filled, ColourEncoder("another name@1"), [folder])["unchanged"] == 5


def test_sources_of_which_nothing_can_be_read_are_an_error(
    store: StyleStore, encoder: ColourEncoder, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_text("not a picture")
    with pytest.raises(
        ValueError, match=r"none of the sources' 1 pictures could be read .*bad\.png: it is not a picture"
    ):
        ingest(store, encoder, [tmp_path / "bad.png"], "sync")


def test_another_encoders_view_is_stored_once_and_goes_with_the_picture(
    filled: StyleStore, encoder: ColourEncoder, folder: Path
) -> None:
    other = ColourEncoder()
    assert keep_encodings(filled, "other", other.encode_images) == 5
    assert keep_encodings(filled, "other", other.encode_images) == 0
    records = {record.name: record for record in filled.records().values()}
    kept = filled.encodings.read("other", records["warm/red"].id)
    assert kept is not None
    assert kept.tolist() == encoder.encode_images([Image.new("RGB", (16, 16), "red")])[0].tolist()
    assert filled.encodings.read("another", records["warm/red"].id) is None
    (folder / "warm" / "red.png").unlink()
    counts(filled, encoder, [folder])
    assert filled.encodings.read("other", records["warm/red"].id) is None


def test_a_file_that_is_gone_or_shows_another_picture_gives_no_encoding(filled: StyleStore, folder: Path) -> None:
    paint(folder / "warm" / "red.png", "green")
    (folder / "cool" / "blue.png").unlink()
    assert keep_encodings(filled, "other", ColourEncoder().encode_images) == 3
    without = [record.name for id, record in filled.records().items() if filled.encodings.read("other", id) is None]
    assert sorted(without) == ["cool/blue", "warm/red"]


def test_a_background_that_an_interrupt_left_out_is_measured_at_the_next_run(
    filled: StyleStore, encoder: ColourEncoder, folder: Path
) -> None:
    assert filled.origin is not None
    measured = filled.origin.background
    filled.set_background({})
    counts(filled, encoder, [folder])
    assert filled.origin.background == measured != {}


def test_pictures_that_look_almost_the_same_are_reported_once_and_only_when_new(
    filled: StyleStore, encoder: ColourEncoder, folder: Path
) -> None:
    paint(folder / "warm" / "scarlet.png", (250, 4, 0))
    paint(folder / "plain" / "white.png", "white", size=20)  # the same direction as grey
    report = ingest(filled, encoder, [folder], "sync")
    found = {frozenset((str(p["one"]), str(p["other"]))): p["cosine"] for p in report.near_duplicates}
    assert set(found) == {frozenset(("warm/scarlet", "warm/red")), frozenset(("plain/white", "plain/grey"))}
    red, scarlet = encoder.encode_images([Image.new("RGB", (1, 1), c) for c in ("red", (250, 4, 0))])
    assert found[frozenset(("warm/scarlet", "warm/red"))] == pytest.approx(float(red @ scarlet), abs=1e-4)
    assert ingest(filled, encoder, [folder], "sync").near_duplicates == []


def test_the_pairs_that_are_reported_are_bounded(store: StyleStore, encoder: ColourEncoder, tmp_path: Path) -> None:
    for n in range(120):
        paint(tmp_path / "film" / f"{n:03}.png", (255, n, n))
    assert len(ingest(store, encoder, [tmp_path / "film"], "sync").near_duplicates) == MAX_PAIRS


def test_reading_ahead_keeps_the_order_and_names_what_is_bad(
    store: StyleStore, encoder: ColourEncoder, tmp_path: Path
) -> None:
    for n in range(40):
        paint(tmp_path / "s" / f"{n:02}.png", (6 * n, 0, 90), size=400 if n % 7 == 0 else 4)
    for n in (5, 17):
        (tmp_path / "s" / f"{n:02}.png").write_bytes(b"no picture")
    seen: list[int] = []
    report = ingest(store, encoder, [tmp_path / "s"], "sync", lambda done, total: seen.append(done))
    assert seen[:40] == list(range(1, 41))
    assert [Path(failed["file"]).name for failed in report.failed] == ["05.png", "17.png"]
    ids, records = store.ids(), store.records()
    by_name = {records[id].name: vector for id, vector in zip(ids, store.vectors(ids), strict=True)}
    assert len(by_name) == 38
    for name, vector in by_name.items():
        expected = encoder.encode_images([Image.new("RGB", (1, 1), (6 * int(name), 0, 90))])[0]
        assert np.allclose(vector, expected, atol=1e-6)


def test_what_waits_to_be_embedded_is_bounded_by_its_pixels(
    store: StyleStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for three of these pictures ahead of an encoder that looks how many are decoded while it works."""
    monkeypatch.setattr(read_ahead, "_PIXELS", 3 * 16 * 16)
    for n in range(24):
        paint(tmp_path / "s" / f"{n:02}.png", (9 * n, 255 - 9 * n, 40 * (n % 6)))
    opened, most = [0], []
    open_picture = read_ahead.open_picture

    def counted(*arguments: object) -> Image.Image:
        image = open_picture(*arguments)
        opened[0] += 1
        return image

    monkeypatch.setattr(read_ahead, "open_picture", counted)

    class Slow(ColourEncoder):
        def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
            threading.Event().wait(0.05)
            most.append(opened[0] - sum(self.batches) - len(images))
            return super().encode_images(images)

    assert ingest(store, Slow(), [tmp_path / "s"], "sync").total == 24
    assert 3 <= max(most) <= 4  # and the one whose turn is next


def test_an_interrupt_leaves_no_thread_behind(store: StyleStore, encoder: ColourEncoder, folder: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(store, encoder, [folder], "sync", interrupt)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("style-rag-read")]


def test_a_rebuild_replaces_all_at_its_end_and_an_interrupted_one_goes_on(
    filled: StyleStore, folder: Path, encoder: ColourEncoder
) -> None:
    before, other = filled.records(), ColourEncoder("others@2")
    paint(folder / "plain" / "white.png", "white")

    def interrupt(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(filled, other, [folder], "rebuild", interrupt)
    assert filled.records() == before
    assert filled.origin and filled.origin.encoder == "colours@1"
    assert counts(filled, encoder, [folder], "open")["total"] == 5
    report = counts(filled, other, [folder], "rebuild")
    assert (report["added"], report["unchanged"], report["total"]) == (3, 3, 6)
    assert other.batches == [3, 3]
    assert filled.origin.encoder == "others@2"
    assert not (filled.folder / "rebuild").exists()


def test_a_rebuild_with_a_third_encoder_begins_anew(filled: StyleStore, folder: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(filled, ColourEncoder("others@2"), [folder], "rebuild", interrupt)
    third = ColourEncoder("third@3")
    assert counts(filled, third, [folder], "rebuild")["added"] == 5
    assert sum(third.batches) == 5


def test_a_rebuild_of_which_nothing_can_be_read_leaves_all_as_it_was(
    filled: StyleStore, encoder: ColourEncoder, folder: Path, tmp_path: Path
) -> None:
    before = filled.records()
    (tmp_path / "bad.png").write_text("not a picture")
    with pytest.raises(ValueError, match=r"none of the sources' 1 pictures could be read"):
        ingest(filled, encoder, [tmp_path / "bad.png"], "rebuild")
    assert filled.records() == before


def test_making_the_index_tells_how_far_it_is_and_can_be_interrupted(
    store: StyleStore, encoder: ColourEncoder, folder: Path
) -> None:
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        if total == 10:  # five to put in, five to check
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(store, encoder, [folder], "sync", progress)
    assert seen == [*((n, 5) for n in range(1, 6)), (5, 10)]
    assert not [name for name in store._database.meta() if name == "through"]  # nothing is published
    assert counts(store, encoder, [folder])["unchanged"] == 5
    assert store._database.meta()["through"] == 5
