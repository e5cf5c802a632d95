"""What a knowledge base remembers of its sources: ingest adds, sync drops what it may, undo brings that back."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import ColourEncoder, paint
from places import ROOT
from style_pack.command_line import sync
from style_pack.command_line.__main__ import main
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.pictures.fetch import ListedUrl, read_url_list
from style_pack.retrieval.pictures.reader import open_picture
from style_pack.retrieval.records import Edit
from style_pack.retrieval.store import own_pictures
from style_pack.retrieval.store.own_pictures import keep_picture
from style_pack.retrieval.store.store import StyleStore
from style_pack.retrieval.store.stylepack import export_pack
from style_pack.retrieval.syncing.sync import Dropping
from style_pack.retrieval.syncing.undo import undo

THESE = Dropping(others=False)  # as the node syncs


@pytest.fixture
def other(folder: Path) -> Path:
    for name, colour in {"pink": "pink", "lime": "lime"}.items():
        paint(folder.parent / "other" / f"{name}.png", colour)
    return folder.parent / "other"


def names(store: StyleStore) -> list[str]:
    return sorted(record.name for record in store.records().values())


ALL = ["cool/blue", "cool/teal", "lime", "pink", "plain/grey", "warm/orange", "warm/red"]


def test_a_sync_of_these_sources_drops_only_what_one_of_them_held(
    store: StyleStore, encoder: ColourEncoder, folder: Path, other: Path
) -> None:
    ingest(store, encoder, [folder], "sync", dropping=THESE)
    keep_picture(store, open_picture(paint(folder.parent / "own.png", "navy")), "", [])
    report = ingest(store, encoder, [other], "sync", dropping=THESE)
    assert (report.removed, report.total) == (0, 8)
    (folder / "warm" / "red.png").unlink()
    (other / "pink.png").unlink()
    report = ingest(store, encoder, [other], "sync", dropping=THESE)
    assert (report.removed, report.total) == (1, 7)
    assert "warm/red" in names(store)
    assert ingest(store, encoder, [folder / "warm"], "sync", dropping=THESE).removed == 1  # below what was named
    assert store.said.sources() == sorted([str(folder), str(folder / "warm"), str(other)])


def test_add_and_rebuild_lose_no_other_source(
    filled: StyleStore, encoder: ColourEncoder, folder: Path, other: Path
) -> None:
    assert ingest(filled, encoder, [other], "add").removed == 0
    assert names(filled) == ALL
    (folder / "warm" / "red.png").unlink()
    stranger = ColourEncoder("others@2")
    report = ingest(filled, stranger, [other], "rebuild")
    assert names(filled) == [name for name in ALL if name != "warm/red"]
    assert (report.removed, sum(stranger.batches)) == (1, 6)
    assert report.failed == [{"file": str(folder / "warm" / "red.png"), "reason": "the file is gone"}]
    with pytest.raises(ValueError, match="no run has dropped anything from 'colours'"):
        undo(filled)  # the other encoder's vectors are of no use


def test_a_full_sync_drops_other_sources_when_that_is_agreed_to(
    filled: StyleStore, encoder: ColourEncoder, folder: Path, other: Path
) -> None:
    asked: list[list[str]] = []

    def refuse(records: Any) -> bool:
        asked.append(sorted(record.name for record in records))
        return False

    report = ingest(filled, encoder, [other], "sync", dropping=Dropping(consent=refuse))
    assert asked == [[name for name in ALL if "/" in name]]
    assert (report.added, report.removed, report.total) == (2, 0, 7)
    assert filled.said.sources() == sorted([str(folder), str(other)])
    report = ingest(filled, encoder, [other], "sync")
    assert (report.removed, report.total) == (5, 2)
    assert filled.said.sources() == [str(other)]


def test_undo_brings_records_words_vectors_edits_and_sources_back(
    filled: StyleStore, encoder: ColourEncoder, folder: Path, other: Path
) -> None:
    red = next(id for id, record in filled.records().items() if record.name == "warm/red")
    with filled.saying() as said:
        said.edit(red, Edit("mine", ("brick",)))
    paint(other / "deep" / "wall.png", "red")
    ingest(filled, encoder, [folder, other], "sync")
    ids, before, sources = filled.ids(), filled.records(), filled.said.sources()
    vectors = filled.vectors(ids)
    ingest(filled, encoder, [other], "sync")
    assert filled.records([red])[red].name == "deep/wall"
    assert len(filled) == 3
    assert undo(filled).restored == 4
    assert filled.records() == before
    assert np.array_equal(filled.vectors(ids), vectors)
    assert filled.said.sources() == sources
    assert ingest(filled, encoder, [folder, other], "sync").unchanged == 8
    with pytest.raises(ValueError, match="no run has dropped anything from 'colours', or its files are gone"):
        undo(filled)


def test_undo_names_what_is_gone_and_takes_it_when_it_is_there(
    filled: StyleStore, encoder: ColourEncoder, folder: Path, other: Path
) -> None:
    ingest(filled, encoder, [other], "sync")
    red, grey = folder / "warm" / "red.png", folder / "plain" / "grey.png"
    content = red.read_bytes()
    red.unlink()
    paint(grey, "black")
    os.utime(folder / "cool" / "teal.png")
    done = undo(filled)
    assert (done.restored, done.gone, done.total) == (3, [str(grey), str(red)], 5)
    red.write_bytes(content)
    assert (undo(filled).restored, len(filled)) == (1, 6)


def test_a_run_that_drops_nothing_leaves_the_last_one_to_be_undone(
    filled: StyleStore, encoder: ColourEncoder, folder: Path, other: Path
) -> None:
    ingest(filled, encoder, [other], "sync")
    ingest(filled, encoder, [other], "sync")
    paint(other / "olive.png", "olive")
    ingest(filled, encoder, [other], "add")
    assert undo(filled).restored == 5
    assert len(filled) == 8


def test_a_fetched_picture_that_was_dropped_comes_back_with_its_file(
    store: StyleStore, encoder: ColourEncoder, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        own_pictures, "fetch", lambda url: (paint(folder.parent / "x.png", "pink").read_bytes(), ".png")
    )
    monkeypatch.setattr(own_pictures, "check_url", lambda url: None)
    url = "https://example.org/pink.png"
    ingest(store, encoder, [folder, url], "sync")
    [file] = [path for path in store.said.all() if path.startswith(str(store.folder))]
    assert ingest(store, encoder, [folder], "sync", dropping=THESE).removed == 0  # another source's
    assert ingest(store, encoder, [folder], "sync").removed == 1
    assert not Path(file).exists()
    assert undo(store).restored == 1
    assert json.loads(Path(file).with_suffix(".json").read_text())["source"] == url
    assert open_picture(Path(file)).getpixel((0, 0)) == (255, 192, 203)


def test_a_url_that_leaves_its_list_goes_with_a_sync_of_the_list(
    store: StyleStore, encoder: ColourEncoder, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colours = {"https://a.example/1.png": "pink", "https://a.example/2.png": "navy", "https://a.example/3.png": "lime"}
    monkeypatch.setattr(
        own_pictures, "fetch", lambda url: (paint(folder.parent / "x.png", colours[url]).read_bytes(), ".png")
    )
    monkeypatch.setattr(own_pictures, "check_url", lambda url: None)
    urls, listed = list(colours), tmp_path / "styles.txt"
    listed.write_text("\n".join(urls[:2]))
    assert [type(url) for url in read_url_list(listed)] == [ListedUrl, ListedUrl]
    ingest(store, encoder, [*read_url_list(listed), urls[2]], "sync", dropping=THESE)
    assert store.said.sources() == sorted([str(listed), urls[2]])
    listed.write_text(urls[1])
    report = ingest(store, encoder, [*read_url_list(listed)], "sync", dropping=THESE)
    assert (report.removed, report.total) == (1, 2)


def test_a_new_state_of_a_pack_adds_or_replaces_as_the_update_says(
    filled: StyleStore, encoder: ColourEncoder, folder: Path, tmp_path: Path
) -> None:
    pack, copy = tmp_path / "colours.stylepack", StyleStore(tmp_path / "knowledge base" / "copy")
    export_pack(filled, pack)
    ingest(copy, encoder, [pack], "add")
    (folder / "warm" / "red.json").write_text(json.dumps({"caption": "a barn"}))
    (folder / "cool" / "teal.png").unlink()
    ingest(filled, encoder, [folder], "sync")
    export_pack(filled, pack)
    os.utime(pack, ns=(1, 1))
    report = ingest(copy, encoder, [pack], "add")
    assert (report.removed, report.total) == (0, 5)
    red = next(record for record in copy.records().values() if record.name == "warm/red")
    assert (red.caption, red.other_captions, len(red.files)) == ("a barn", (), 1)
    assert all(Path(record.file).is_file() for record in copy.records().values())
    report = ingest(copy, encoder, [pack], "sync")
    assert (report.removed, names(copy)) == (1, ["cool/blue", "plain/grey", "warm/orange", "warm/red"])
    assert undo(copy).restored == 1


def style_rag(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any, str]:
    capsys.readouterr()
    status = main([*map(str, arguments), "--json"])
    said = capsys.readouterr()
    return status, json.loads(said.out) if said.out else None, said.err


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path) -> list[object]:
    """The end of a command line: the root of a knowledge base that nobody has made yet."""
    monkeypatch.setattr(sync, "open_encoder", lambda *options: ColourEncoder())
    return ["--root", tmp_path / "bases"]


def test_ingest_adds_and_sync_says_what_it_drops(
    capsys: pytest.CaptureFixture[str], mine: list[object], folder: Path, other: Path
) -> None:
    assert style_rag(capsys, "ingest", "mine", folder, *mine)[1]["added"] == 5
    report = style_rag(capsys, "ingest", "mine", other, *mine)[1]
    assert (report["added"], report["removed"], report["total"]) == (2, 0, 7)
    assert style_rag(capsys, "sync", "mine", *mine)[1]["unchanged"] == 7  # of both, which it remembers
    status, _, error = style_rag(capsys, "sync", "mine", other, *mine)
    assert status == 1
    assert "this sync drops 5 pictures from 'mine' (" in error
    assert "): add --yes to do that, or use ingest to only add." in error
    assert len(style_rag(capsys, "list", "mine", *mine)[1]) == 7
    report = style_rag(capsys, "sync", "mine", other, "--yes", *mine)[1]
    assert (report["removed"], report["total"]) == (5, 2)
    assert style_rag(capsys, "undo", "mine", *mine)[1] == {"restored": 5, "gone": [], "total": 7}
    (folder / "warm" / "red.png").unlink()
    assert "this sync drops 1 picture from 'mine' (warm/red)" in style_rag(capsys, "sync", "mine", *mine)[2]
    assert "this sync drops" in style_rag(capsys, "ingest", "mine", folder, "--update", "sync", *mine)[2]
    assert style_rag(capsys, "sync", "mine", "--yes", *mine)[1]["removed"] == 1
    status, _, error = style_rag(capsys, "undo", "mine", *mine)
    assert (status, len(style_rag(capsys, "list", "mine", *mine)[1])) == (0, 6)


def test_a_remembered_source_that_is_gone_drops_nothing(
    capsys: pytest.CaptureFixture[str], mine: list[object], folder: Path, other: Path
) -> None:
    style_rag(capsys, "ingest", "mine", folder, other, *mine)
    other.rename(other.with_name("elsewhere"))
    status, _, error = style_rag(capsys, "sync", "mine", "--yes", *mine)
    assert (status, error) == (1, f"style-rag: source {other} does not exist: correct the path.\n")
    assert len(style_rag(capsys, "list", "mine", *mine)[1]) == 7
    assert "remembers no sources: name them" in style_rag(capsys, "sync", empty(mine), *mine)[2]


def empty(mine: list[object]) -> str:
    assert isinstance(mine[1], Path)
    StyleStore(mine[1] / "empty")
    return "empty"


@pytest.mark.parametrize(("answer", "left"), [("y", 2), ("no", 7)])
def test_on_a_terminal_it_asks(
    folder: Path, other: Path, encoder: ColourEncoder, tmp_path: Path, answer: str, left: int
) -> None:
    store = StyleStore(tmp_path / "bases" / "mine")
    ingest(store, encoder, [folder, other], "sync")
    mine, theirs = pty.openpty()
    program = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests" / "retrieval")!r})
import importlib.util
pack = {str(ROOT)!r}
spec = importlib.util.spec_from_file_location("pack", pack + "/__init__.py", submodule_search_locations=[pack])
sys.modules["pack"] = importlib.util.module_from_spec(spec)
from fakes import ColourEncoder
from pack.command_line import __main__, sync
sync.open_encoder = lambda *options: ColourEncoder()
sys.exit(__main__.main(sys.argv[1:]))
"""
    command = [sys.executable, "-c", program, "sync", "mine", str(other), "--root", str(tmp_path / "bases")]
    os.write(mine, f"{answer}\n".encode())
    done = subprocess.run(command, stdin=theirs, capture_output=True, text=True)
    os.close(mine)
    os.close(theirs)
    assert "this sync drops 5 pictures from 'mine'" in done.stderr
    assert "Go on? [y/N]" in done.stderr
    assert (done.returncode, len(store)) == (int(left == 7), left)
