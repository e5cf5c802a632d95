"""Export and import of whole knowledge bases, and packs that were made to harm."""

import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fakes import ColourEncoder, paint
from style_pack.retrieval.database.occurrences import Occurrences
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.pictures.finder import find_pictures
from style_pack.retrieval.pictures.reader import open_picture
from style_pack.retrieval.store.store import StyleStore
from style_pack.retrieval.store.stylepack import export_pack


@pytest.fixture
def pack(filled: StyleStore, tmp_path: Path) -> Path:
    file = tmp_path / "colours.stylepack"
    assert export_pack(filled, file) == 5
    return file


@pytest.fixture
def other(tmp_path: Path) -> StyleStore:
    return StyleStore(tmp_path / "knowledge base" / "other")


def changed(pack: Path, **entries: bytes) -> Path:
    """The same pack with entries replaced or added, under the name they have with `__` for `/`."""
    file = pack.with_name("changed.stylepack")
    new = {name.replace("__", "/"): content for name, content in entries.items()}
    with zipfile.ZipFile(pack) as old, zipfile.ZipFile(file, "w") as archive:
        for entry in old.infolist():
            if entry.filename not in new:
                archive.writestr(entry, old.read(entry))
        for name, content in new.items():
            archive.writestr(name, content)
    return file


def test_a_pack_brings_everything_and_embeds_nothing(
    filled: StyleStore, other: StyleStore, encoder: ColourEncoder, pack: Path
) -> None:
    batches = list(encoder.batches)
    report = ingest(other, encoder, [pack], "sync")
    assert (report.added, report.total, report.embedded_again) == (5, 5, [])
    assert encoder.batches == [*batches, 1, 1, 1, 1]  # the sample that its vectors are compared with
    here, there = filled.records(), other.records()
    assert list(here) == list(there)
    for id, record in here.items():
        copy = there[id]
        assert (copy.name, copy.caption, copy.licence) == (record.name, record.caption, record.licence)
        assert set(copy.tags) == set(record.tags)
        assert Path(copy.file).is_relative_to(other.folder)
    ids = list(here)
    assert np.array_equal(filled.vectors(ids), other.vectors(ids))


def test_pictures_of_an_earlier_pack_stay_until_those_of_the_next_are_stored(
    filled: StyleStore, other: StyleStore, encoder: ColourEncoder, pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(other, encoder, [pack], "sync")
    filled.remove(filled.ids(1))
    export_pack(filled, pack)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as ended, pytest.raises(KeyboardInterrupt):
        ended.setattr(Occurrences, "drop", fail)
        ingest(other, encoder, [pack], "sync")
    assert [open_picture(Path(record.file)).size for record in other.records().values()] == [(16, 16)] * 5
    assert ingest(other, encoder, [pack], "sync").total == 4
    assert {Path(record.file).is_file() for record in other.records().values()} == {True}
    assert len(list((other.folder / "packs").iterdir())) == 1


def test_pictures_of_a_flat_folder_get_no_tag_by_being_unpacked(
    store: StyleStore, other: StyleStore, encoder: ColourEncoder, tmp_path: Path
) -> None:
    for colour in ("red", "blue"):
        paint(tmp_path / "flat" / f"{colour}.png", colour)
    ingest(store, encoder, [tmp_path / "flat"], "sync")
    export_pack(store, tmp_path / "flat.stylepack")
    ingest(other, encoder, [tmp_path / "flat.stylepack"], "sync")
    assert [record.tags for record in other.records().values()] == [("flat",), ("flat",)]


def test_the_url_of_a_fetched_picture_travels_from_pack_to_pack(
    filled: StyleStore, other: StyleStore, encoder: ColourEncoder, folder: Path, tmp_path: Path
) -> None:
    said = {"caption": "teal", "source": "https://example.org/teal.png"}
    (folder / "cool" / "teal.json").write_text(json.dumps(said))
    export_pack(filled, tmp_path / "first.stylepack")
    ingest(other, encoder, [tmp_path / "first.stylepack"], "sync")
    export_pack(other, tmp_path / "second.stylepack")
    with zipfile.ZipFile(tmp_path / "second.stylepack") as archive:
        sidecars = {
            name: json.loads(archive.read(name))
            for name in archive.namelist()
            if name.startswith("pictures/") and name.endswith(".json")
        }
    assert sidecars["pictures/cool/teal.json"]["source"] == said["source"]
    assert [name for name, said in sidecars.items() if "source" in said] == ["pictures/cool/teal.json"]


def test_it_stays_when_other_sources_are_synced_and_comes_once(
    other: StyleStore, encoder: ColourEncoder, pack: Path, folder: Path
) -> None:
    ingest(other, encoder, [pack], "sync")
    again = ingest(other, encoder, [pack], "sync")
    assert (again.added, again.unchanged, again.total) == (0, 5, 5)
    synced = ingest(other, encoder, [folder / "warm"], "sync")
    assert (synced.removed, synced.total) == (0, 5)


def test_another_encoder_embeds_the_pictures_again(other: StyleStore, pack: Path) -> None:
    stranger = ColourEncoder("colours@2")
    report = ingest(other, stranger, [pack], "sync")
    assert sum(stranger.batches) == 5
    why = "it was made with encoder colours@1, and colours@2 is chosen"
    assert report.embedded_again == [{"file": str(pack), "reason": why}]


def test_vectors_of_other_pictures_are_not_trusted(other: StyleStore, encoder: ColourEncoder, pack: Path) -> None:
    with zipfile.ZipFile(pack) as archive:
        vectors = np.load(io.BytesIO(archive.read("vectors.npy")))
    report = ingest(other, encoder, [changed(pack, **{"vectors.npy": table(np.roll(vectors, 1, axis=0))})], "sync")
    assert re.fullmatch(r"the vector of its picture \w+\.png is another picture's", report.embedded_again[0]["reason"])
    for record in other.records().values():
        [right] = encoder.encode_images([open_picture(Path(record.file))])
        assert np.allclose(other.vectors([record.id])[0], right)


def test_a_pack_whose_pictures_are_there_is_not_sampled(other: StyleStore, encoder: ColourEncoder, pack: Path) -> None:
    ingest(other, encoder, [pack], "sync")
    batches = list(encoder.batches)
    ingest(other, encoder, [pack], "sync")
    assert encoder.batches == batches


def test_unzipped_it_is_a_folder_of_pictures(pack: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(pack) as archive:
        archive.extractall(tmp_path / "by hand")
    names = [file.name for file in find_pictures([tmp_path / "by hand" / "pictures"])]
    assert names == ["cool/blue", "cool/teal", "plain/grey", "warm/orange", "warm/red"]


def table(vectors: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, vectors, allow_pickle=True)
    return stream.getvalue()


def header(shape: tuple[int, ...]) -> bytes:
    """Of a table that has no rows."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"..__evil.png": b"x"}, "which no style pack may"),
        ({"pictures__..__..__evil.png": b"x"}, "which no style pack may"),
        ({"__etc__evil.png": b"x"}, "which no style pack may"),
        ({"pictures__C:__evil.png": b"x"}, "which no style pack may"),
        ({"pictures__a__nul.png": b"x"}, "which no style pack may"),
        ({"pictures__evil.py": b"x"}, "which no style pack may"),
        ({f"pictures__{'a' * 252}.png": b"x"}, "which no style pack may"),
        ({f"pictures__{'__'.join(['a'] * 1000)}.png": b"x"}, "which no style pack may"),
        ({"pictures__a.png__b.png": b"x", "pictures__a.png": b"x"}, "'pictures/a.png/b.png' inside another file"),
        ({"vectors.npy": header((1,)).replace(b"(1,)", b"(1, ")}, "the pack's vectors can't be read"),
        ({"vectors.npy": header((2**70, 3))}, "the pack's vectors can't be read"),
        ({"pictures__a.json": b" " * 1_000_001}, "'pictures/a.json' of 1,000,001 bytes, more than 1,000,000"),
        ({"vectors.npy": table(np.array([{}] * 5))}, "the pack's vectors can't be read"),
        (
            {"vectors.npy": table(np.zeros((5, 3), np.float32))},
            r"float32 \(5, 3\), not float32 \(5, 3\) of unit length",
        ),
        ({"vectors.npy": table(np.eye(3, dtype=np.float32))}, r"float32 \(3, 3\), not float32 \(5, 3\)"),
        ({"vectors.npy": header((10**12, 192))}, "the pack's vectors can't be read .*Unable to allocate"),
        ({"pack.json": b'{"format": 9}'}, "the pack has format 9, this version reads 1"),
        ({"pack.json": b"{"}, "changed.stylepack is damaged or no style pack"),
        ({"pack.json": b"[" * 100_000}, "changed.stylepack is damaged or no style pack"),
        ({"pack.json": b"[]"}, r"pack\.json is no object with a list of ids"),
        ({"pack.json": b'{"format": 1, "ids": 5}'}, r"pack\.json is no object with a list of ids"),
    ],
)
def test_a_pack_that_breaks_the_rules_leaves_nothing(
    other: StyleStore, encoder: ColourEncoder, pack: Path, entries: dict[str, bytes], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        ingest(other, encoder, [changed(pack, **entries)], "sync")
    assert len(other) == 0
    assert not list((other.folder / "packs").glob("**/*.*"))


def test_a_small_file_that_would_grow_is_refused(other: StyleStore, encoder: ColourEncoder, pack: Path) -> None:
    bomb = pack.with_name("bomb.stylepack")
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pictures/a.png", b"\0" * 20_000_000)
        archive.writestr("pack.json", json.dumps({"format": 1}))
    with pytest.raises(ValueError, match="would grow to 20,000,013 bytes"):
        ingest(other, encoder, [bomb], "sync")


def test_what_is_no_zip_is_damaged(other: StyleStore, encoder: ColourEncoder, tmp_path: Path) -> None:
    file = tmp_path / "x.stylepack"
    file.write_bytes(b"hello")
    with pytest.raises(ValueError, match=r"x\.stylepack is damaged or no style pack"):
        ingest(other, encoder, [file], "sync")


@pytest.mark.parametrize(
    ("signature", "at", "value"),
    [(b"PK\x01\x02", 8, 1), (b"PK\x01\x02", 10, 97)],
    ids=["encrypted", "unknown compression"],
)
def test_a_zip_that_python_does_not_open_is_damaged(
    other: StyleStore, encoder: ColourEncoder, pack: Path, signature: bytes, at: int, value: int
) -> None:
    content = bytearray(pack.read_bytes())
    for found in re.finditer(re.escape(signature), bytes(content)):
        content[found.start() + at] = value
    pack.write_bytes(content)
    with pytest.raises(ValueError, match=r"\.stylepack is damaged or no style pack"):
        ingest(other, encoder, [pack], "sync")


def test_an_entry_that_lies_before_the_file_is_damaged(other: StyleStore, encoder: ColourEncoder, pack: Path) -> None:
    content = bytearray(pack.read_bytes())
    end = content.rfind(b"PK\x05\x06")
    content[end + 16 : end + 20] = (int.from_bytes(content[end + 16 : end + 20], "little") + 999).to_bytes(4, "little")
    pack.write_bytes(content)
    with pytest.raises(ValueError, match=r"\.stylepack is damaged or no style pack"):
        ingest(other, encoder, [pack], "sync")
    assert not list((other.folder / "packs").glob("**/*.*"))


def test_an_entry_without_a_name_is_damaged(other: StyleStore, encoder: ColourEncoder, pack: Path) -> None:
    content = pack.read_bytes()
    at = content.rfind(b"PK\x01\x02")  # the last entry of the directory: its name ends before it begins
    length = int.from_bytes(content[at + 28 : at + 30], "little")
    pack.write_bytes(content[: at + 46] + b"\0" * length + content[at + 46 + length :])
    with pytest.raises(ValueError, match=r"\.stylepack is damaged or no style pack"):
        ingest(other, encoder, [pack], "sync")


def test_a_pack_whose_compressed_data_are_damaged_leaves_nothing(
    other: StyleStore, encoder: ColourEncoder, pack: Path
) -> None:
    content = bytearray(pack.read_bytes())
    at = content.rfind(b"pack.json", 0, content.find(b"PK\x01\x02")) + len("pack.json")
    content[at : at + 8] = b"\xff" * 8
    pack.write_bytes(content)
    with pytest.raises(ValueError, match=r"\.stylepack is damaged or no style pack"):
        ingest(other, encoder, [pack], "sync")
    assert not list((other.folder / "packs").glob("**/*.*"))


def test_an_export_is_whole_or_not_there(filled: StyleStore, folder: Path, tmp_path: Path) -> None:
    (folder / "warm" / "red.png").unlink()
    file = tmp_path / "half.stylepack"
    with pytest.raises(ValueError, match="the picture of style 'warm/red' is gone"):
        export_pack(filled, file)
    assert not list(tmp_path.glob("*half*"))
