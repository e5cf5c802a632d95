import os
from dataclasses import asdict
from pathlib import Path

import pytest
from fakes import ColourEncoder, paint
from PIL import Image
from style_pack.retrieval.ingest import ingest, keep_encodings, keep_picture
from style_pack.retrieval.store import StyleStore


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
    kept = filled.encoding("other", records["warm/red"].id)
    assert kept is not None
    assert kept.tolist() == encoder.encode_images([Image.new("RGB", (16, 16), "red")])[0].tolist()
    assert filled.encoding("another", records["warm/red"].id) is None
    (folder / "warm" / "red.png").unlink()
    counts(filled, encoder, [folder])
    assert filled.encoding("other", records["warm/red"].id) is None


def test_a_background_that_an_interrupt_left_out_is_measured_at_the_next_run(
    filled: StyleStore, encoder: ColourEncoder, folder: Path
) -> None:
    assert filled.origin is not None
    measured = filled.origin.background
    filled.set_background({})
    counts(filled, encoder, [folder])
    assert filled.origin.background == measured != {}
