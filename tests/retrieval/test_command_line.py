"""`style-rag` on a knowledge base of the bundled pictures: what each command answers, and how it refuses."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
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


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_any_name_is_printed_on_any_console(tmp_path: Path, encoding: str) -> None:
    source = tmp_path / "港町"
    source.mkdir()
    shutil.copy(next((ROOT / "styles" / "noir").glob("*.jpg")), source / "浮世絵 🎨.jpg")
    script = (
        "from pack import import_pack; import_pack(); from style_pack.command_line.__main__ import main; exit(main())"
    )
    setting = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}

    def run(*arguments: str) -> bytes:
        call = [sys.executable, "-c", script, *arguments, "--root", str(tmp_path)]
        done = subprocess.run(call, capture_output=True, env=setting, cwd=ROOT / "benchmarks", timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("ingest", "all", str(source))
    [record] = json.loads(run("list", "all", "--json").decode(encoding))
    assert record["name"] == "浮世絵 🎨"
    shown = run("list", "all").decode(encoding)
    assert ("浮世絵 🎨" if encoding == "utf-8" else "\\u6d6e\\u4e16\\u7d75") in shown


def test_what_can_not_begin_leaves_no_empty_knowledge_base(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    root, picture = tmp_path / "root", str(ROOT / "styles" / "noir")
    (broken := tmp_path / "broken.png").write_bytes(b"no picture")
    for arguments, sentence in (
        (["ingest", "new", picture, "--device", "cuda:7"], "device cuda:7 can't be used here"),
        (["ingest", "new", picture, "--device", "toaster"], "device toaster can't be used here"),
        (["ingest", "new", str(broken)], "none of the sources' 1 pictures could be read"),
        (["import", "new", str(tmp_path / "gone.stylepack")], "gone.stylepack"),
    ):
        capsys.readouterr()
        assert main([*arguments, "--root", str(root)]) == 1
        error = capsys.readouterr().err
        assert sentence in error
        assert error.count("\n") == 1
        assert not (root / "new").exists()


def test_a_pack_of_another_encoder_is_not_embedded_unasked(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path
) -> None:
    pack = tmp_path / "two.stylepack"
    answer(capsys, root, "export", "two", str(pack))
    about: dict[str, Any] = {}
    with zipfile.ZipFile(pack) as old, zipfile.ZipFile(tmp_path / "foreign.stylepack", "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename == "pack.json":
                about = json.loads(content)
                content = json.dumps(about | {"encoder": "openai/clip-vit-base-patch32@0123456789abcdef"}).encode()
            new.writestr(entry, content)
    foreign, there = str(tmp_path / "foreign.stylepack"), ["--root", str(tmp_path / "there")]
    assert main(["import", "new", foreign, *there]) == 1
    error = capsys.readouterr().err
    assert "was made with encoder openai/clip-vit-base-patch32, which is not in" in error
    assert not (tmp_path / "there" / "new").exists()
    assert main(["import", "new", foreign, *there, "--encoder", "bundled/clip-tiny", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["added"], len(report["embedded_again"])) == (10, 1)
    assert main(["import", "same", str(pack), *there, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["embedded_again"] == []
