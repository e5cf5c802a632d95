"""`style-rag` on a knowledge base of the bundled pictures: what each command answers, and how it refuses."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from places import ROOT
from style_pack.command_line.__main__ import main
from style_pack.retrieval.store.store import StyleStore

STYLES = ("blueprint", "stained-glass")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of knowledge bases with one in it, `two`, of ten pictures."""
    root = tmp_path_factory.mktemp("knowledge bases")
    assert main(["ingest", "two", *(str(ROOT / "styles" / style) for style in STYLES), "--root", str(root)]) == 0
    return root


def answer(capsys: pytest.CaptureFixture[str], root: Path, *arguments: str) -> Any:
    capsys.readouterr()
    assert main([*arguments, "--root", str(root), "--json"]) == 0
    return json.loads(capsys.readouterr().out)
    assert main(["search", "two", "blueprint", "--root", str(root), "--filter", "tag:none"]) == 0
    assert capsys.readouterr().out == "No match: none of 10 pictures passes the filter tag:none.\n"


def test_a_second_ingest_finds_all_unchanged(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    sources = [str(ROOT / "styles" / style) for style in STYLES]
    report = answer(capsys, root, "ingest", "two", *sources)
    assert (report["added"], report["unchanged"], report["total"]) == (0, 10, 10)


def test_search_finds_the_style_of_the_prompt_and_of_a_picture(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    [best] = answer(capsys, root, "search", "two", "a cathedral window of stained glass", "--top-k", "1")
    assert "stained-glass" in best["tags"]
    image = next((ROOT / "styles" / "blueprint").glob("*.jpg"))
    [same] = answer(capsys, root, "search", "two", "", "--strategy", "image", "--image", str(image), "--top-k", "1")
    assert Path(same["file"]) == image
    assert same["cosine"] == pytest.approx(1.0, abs=1e-3)
    [none] = answer(capsys, root, "search", "two", "glass", "--filter", "tag:blueprint", "--min-score", "1")
    assert (none["match"], none["pictures"], none["passed_filter"]) == (False, 10, 5)


def test_search_takes_what_to_avoid_and_how_different_matches_should_be(
    capsys: pytest.CaptureFixture[str], root: Path
) -> None:
    def styles(*options: str) -> list[str]:
        found = answer(capsys, root, "search", "two", "a blueprint", "--strategy", "semantic", "--top-k", "2", *options)
        return [Path(match["file"]).parent.name for match in found]

    assert styles() == ["blueprint", "blueprint"]
    assert styles("--avoid", "a blueprint, white lines on blue")[0] == "stained-glass"
    assert styles("--diversity", "1") == ["blueprint", "stained-glass"]


def test_list_and_remove_take_the_same_ids(capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "copy")
    listed = answer(capsys, tmp_path / "copy", "list", "two", "--filter", "tag:blueprint")
    assert len(listed) == 5
    gone = listed[0]["id"]
    assert answer(capsys, tmp_path / "copy", "remove", "two", gone[:12]) == {"removed": 1, "total": 9}
    assert gone not in [record["id"] for record in answer(capsys, tmp_path / "copy", "list", "two")]


def test_a_knowledge_base_travels_in_a_file(capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path) -> None:
    file = tmp_path / "two.stylepack"
    assert answer(capsys, root, "export", "two", str(file)) == {"exported": 10, "file": str(file)}
    report = answer(capsys, tmp_path / "elsewhere", "import", "copy", str(file))
    assert (report["added"], report["total"]) == (10, 10)
    listed = answer(capsys, root, "list", "two"), answer(capsys, tmp_path / "elsewhere", "list", "copy")
    assert [one["id"] for one in listed[0]] == [one["id"] for one in listed[1]]


def test_stats_say_what_made_it(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    stats = answer(capsys, root, "stats", "two")
    assert (stats["name"], stats["total"], stats["dimension"]) == ("two", 10, 192)
    assert stats["encoder"].startswith("bundled/clip-tiny@")


def test_without_json_a_person_can_read_it(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    capsys.readouterr()
    assert main(["search", "two", "blueprint", "--root", str(root), "--top-k", "1"]) == 0
    assert re.fullmatch(r"1  \d\.\d{3}  \w+  .*blueprint.*\.jpg\n", capsys.readouterr().out)


def test_it_waits_for_another_writer_as_long_as_it_is_told(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    capsys.readouterr()
    with StyleStore(root / "two").writing():
        assert main(["ingest", "two", str(ROOT / "styles" / "blueprint"), "--root", str(root), "--wait", "0.2"]) == 1
    assert "'two' is being written by another process, for more than 0.2 seconds" in capsys.readouterr().err


def test_a_knowledge_base_that_is_still_empty_says_so(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path
) -> None:
    StyleStore(tmp_path / "bases" / "none")
    assert answer(capsys, tmp_path / "bases", "list", "none") == []
    assert answer(capsys, tmp_path / "bases", "stats", "none")["total"] == 0
    for arguments in (["search", "none", "x"], ["export", "none", str(tmp_path / "none.stylepack")]):
        assert main([*arguments, "--root", str(tmp_path / "bases")]) == 1
        assert "knowledge base 'none' is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["stats", "three"], "there is no knowledge base 'three' in .* (there: two)"),
        (["ingest", "two", "/no/such/folder"], "source /no/such/folder does not exist: correct the path."),
        (["ingest", "two", "ftp://host/a.png"], "source ftp://host/a.png begins with ftp://"),
        (["ingest", "two", "http://127.0.0.1/a.png"], "the host 127.0.0.1 has the address 127.0.0.1, which is not"),
        (["search", "two", "x", "--encoder", "/no/model"], "encoder /no/model does not exist"),
        (
            ["ingest", "../two", "styles"],
            "name '../two' can't name a knowledge base, '/' is in it: use 1 to 64 letters",
        ),
        (["stats", "two/three"], "name 'two/three' can't name a knowledge base"),
        (["stats", ""], "name '' can't name a knowledge base"),
        (["stats", "settings.json"], "name 'settings.json' can't name a knowledge base, it is reserved"),
        (["search", "two", "", "--strategy", "image"], "strategy image compares pictures: give one with --image"),
        (["search", "two", "x", "--image", "/no.png"], "picture /no.png does not exist: correct the path of --image."),
        (["search", "two", "x", "--image", __file__], "test_command_line.py can't be used: it is not a picture"),
        (["export", "two", "/no/two.stylepack"], "folder /no does not exist: make it, or name another file."),
        (["search", "two", ""], "the prompt is empty"),
        (["search", "two", "x", "--top-k", "0"], "top_k is 0: ask for 1 match or more."),
        (["search", "two", "x", "--min-score", "7"], "min_score is 7: give a number from 0 to 1."),
        (["search", "two", "x", "--diversity", "-0.1"], "diversity is -0.1: give a number from 0 to 1."),
        (["search", "two", "x", "--filter", "blue"], "filter 'blue', character 1: 'blue' is not understood"),
        (["export", "two", "two.zip"], "two.zip does not end in .stylepack"),
        (["import", "two", "two.zip"], "two.zip is no .stylepack"),
        (["remove", "two", "zzz"], "0 pictures have an id that begins with 'zzz'"),
    ],
)
def test_a_mistake_is_one_sentence(
    capsys: pytest.CaptureFixture[str], root: Path, arguments: list[str], sentence: str
) -> None:
    capsys.readouterr()
    assert main([*arguments, "--root", str(root)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    for part in sentence.split(" .* "):
        assert part in error


@pytest.mark.parametrize(("given", "policy"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_that_wait_sleep_unless_the_environment_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, policy: str
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    assert main(["list", "none", "--root", str(tmp_path)]) == 1
    assert os.environ["OMP_WAIT_POLICY"] == policy
