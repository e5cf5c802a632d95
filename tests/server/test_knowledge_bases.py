"""Knowledge bases as a whole on a running ComfyUI: what is done to their folders by hand, and by the routes."""

import io
import json
import re
import shutil
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from comfyui import ComfyServer
from http_calls import ENCODER, add, call, make_picture, send_form, send_json

FILE = "styles.sqlite"


def root_of(server: ComfyServer) -> Path:
    return server.base / "user" / "__style_rag"


def retrieve(server: ComfyServer, name: str, update: str = "open") -> str:
    """Run a workflow on a knowledge base, and return the caption of the best match."""
    api = {
        "1": {"class_type": "StyleKnowledgeBase", "inputs": {"name": name, "sources": "", "encoder": ENCODER,
              "update": update}},
        "2": {"class_type": "RetrieveStyle", "inputs": {"knowledge_base": ["1", 0], "prompt": "a house", "top_k": 1,
              "strategy": "hybrid", "min_score": 0, "diversity": 0, "filter": ""}},
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 1]}},
    }  # fmt: skip
    return json.loads(server.run(api)["outputs"]["2"]["text"][0])[0]["caption"]


def look(server: ComfyServer, name: str) -> list[str]:
    """Do what the Styles tab does, and return the captions that it shows."""
    answer = call(server, "GET", "knowledge_bases")
    assert answer.status == 200, answer.body
    assert {base["state"] for base in answer.json["knowledge_bases"] if base["name"] == name} <= {"ok"}
    styles = call(server, "GET", f"{quote(name)}/styles")
    assert call(server, "GET", f"{quote(name)}/labels").status == styles.status
    assert call(server, "GET", f"{quote(name)}/search?q=a%20house").status == styles.status
    if styles.status == 404:
        return []
    for style in styles.json["styles"]:
        for kind in ("image", "thumbnail"):
            assert call(server, "GET", f"{quote(name)}/styles/{style['id']}/{kind}").status == 200
    return sorted(style["caption"] for style in styles.json["styles"])


@pytest.mark.parametrize("name", ["风格库", "naïve café (1)", "ภาพวาด"])
def test_a_name_in_any_script_goes_through_every_route(comfy_server: ComfyServer, name: str) -> None:
    apart = unicodedata.normalize("NFD", name)  # as a Mac's keyboard may send it
    add(comfy_server, apart, [2900], "a house", '5" plate')
    assert look(comfy_server, name) == look(comfy_server, apart) == ["a house"]
    assert retrieve(comfy_server, apart) == "a house"
    backup = call(comfy_server, "GET", f"{quote(name)}/backup")
    assert backup.headers["Content-Disposition"] == f"attachment; filename*=UTF-8''{quote(name)}.zip"
    made = send_json(comfy_server, "POST", f"{quote(apart)}/copy", {"name": f"{apart} 二"}).json
    assert made["name"] == f"{name} 二"
    renamed = send_json(comfy_server, "PATCH", quote(made["name"]), {"name": f"{name} 三"}).json
    assert renamed["name"] in {
        base["name"] for base in call(comfy_server, "GET", "knowledge_bases").json["knowledge_bases"]
    }
    for each in (name, renamed["name"]):
        assert call(comfy_server, "DELETE", quote(each)).status == 200


def deleted(here: Path, backup: Path, other: Path) -> list[str]:
    shutil.rmtree(here)
    return []


def moved_away(here: Path, backup: Path, other: Path) -> list[str]:
    here.rename(here.with_name(f"{here.name} away"))
    return []


def moved_away_and_back(here: Path, backup: Path, other: Path) -> list[str]:
    here.rename(here.with_name("elsewhere"))
    here.with_name("elsewhere").rename(here)
    return ["new", "old"]


def restored(here: Path, backup: Path, other: Path) -> list[str]:
    shutil.rmtree(here)
    shutil.copytree(backup, here)
    return ["old"]


def restored_with_new_times(here: Path, backup: Path, other: Path) -> list[str]:
    shutil.rmtree(here)
    shutil.copytree(backup, here, copy_function=shutil.copyfile)
    return ["old"]


def written_over(here: Path, backup: Path, other: Path) -> list[str]:
    shutil.copytree(backup, here, copy_function=shutil.copyfile, dirs_exist_ok=True)
    return ["old"]


def replaced_by_another(here: Path, backup: Path, other: Path) -> list[str]:
    shutil.rmtree(here)
    shutil.copytree(other, here)
    return ["other"]


def database_deleted(here: Path, backup: Path, other: Path) -> list[str]:
    (here / FILE).unlink()
    return []


def index_deleted(here: Path, backup: Path, other: Path) -> list[str]:
    shutil.rmtree(here / "index")
    return ["new", "old"]


HANDS = [
    deleted, moved_away, moved_away_and_back, restored, restored_with_new_times, written_over, replaced_by_another,
    database_deleted, index_deleted,
]  # fmt: skip


@pytest.mark.parametrize("hand", HANDS, ids=lambda hand: hand.__name__)
def test_a_folder_that_changes_under_the_server_is_used_as_it_is_then(
    comfy_server: ComfyServer, tmp_path: Path, hand: Callable[[Path, Path, Path], list[str]]
) -> None:
    name, other = f"hand {hand.__name__}", f"other {hand.__name__}"
    here = root_of(comfy_server) / name
    add(comfy_server, name, [2000], "old")
    shutil.copytree(here, tmp_path / "backup")
    add(comfy_server, name, [2001], "new")
    add(comfy_server, other, [2002], "other")
    assert look(comfy_server, name) == ["new", "old"]
    assert retrieve(comfy_server, name) in ("new", "old")

    there = hand(here, tmp_path / "backup", here.with_name(other))
    assert look(comfy_server, name) == there
    for seed in (2003, 2004):
        add(comfy_server, name, [seed], f"later {seed}")
    assert retrieve(comfy_server, name, "sync") in [*there, "new", "old", "later 2003", "later 2004"]
    assert {*there, "later 2003", "later 2004"} <= set(look(comfy_server, name))
    id = call(comfy_server, "GET", f"{quote(name)}/styles").json["styles"][0]["id"]
    assert call(comfy_server, "DELETE", f"{quote(name)}/styles/{id}").status == 200
    assert call(comfy_server, "POST", f"{quote(name)}/styles/{id}/restore").status == 200


def test_one_bad_neighbour_says_so_and_hides_no_other(comfy_server: ComfyServer) -> None:
    root = root_of(comfy_server)
    add(comfy_server, "good neighbour", [2010], "good")
    shutil.copytree(root / "good neighbour", root / "mine: copy")
    for name, content in (
        ("damaged", b"no database at all" * 1000),
        ("cut", (root / "good neighbour" / FILE).read_bytes()[:9000]),
    ):
        (root / name).mkdir()
        (root / name / FILE).write_bytes(content)
    (root / "a folder" / FILE).mkdir(parents=True)
    (root / "a link").mkdir()
    (root / "a link" / FILE).symlink_to(root / "a link" / FILE)
    (root / "nothing in it").mkdir()
    (root / "a file").touch()
    try:
        answer = call(comfy_server, "GET", "knowledge_bases")
        states = {base["name"]: base["state"] for base in answer.json["knowledge_bases"]}
        assert (answer.status, states["good neighbour"]) == (200, "ok")
        assert re.fullmatch(r".*: use 1 to 64 letters, .* Rename its folder in .*__style_rag\.", states["mine: copy"])
        refused = call(comfy_server, "GET", f"{quote('mine: copy')}/styles")
        assert (refused.status, refused.json["error"]) == (400, states["mine: copy"])
        for name in ("damaged", "cut"):
            assert states[name].startswith(f"knowledge base '{name}' can't be used, SQLite says")
            assert states[name].endswith("it is damaged: put a copy back, or delete it and ingest again.")
            for path in ("styles", "labels", "search?q=a", f"styles/{'0' * 64}", "backup"):
                refused = call(comfy_server, "GET" if "0" not in path else "DELETE", f"{name}/{path}")
                assert (refused.status, refused.json["error"]) == (409, states[name]), path
        assert states["a folder"] and states["a link"] and states["a link"] != "ok"
        assert not {"nothing in it", "a file"} & set(states)
        assert call(comfy_server, "DELETE", "damaged").status == 200
        assert not (root / "damaged").exists()
    finally:
        for name in ("mine: copy", "damaged", "cut", "a folder", "a link", "nothing in it"):
            shutil.rmtree(root / name, ignore_errors=True)
        (root / "a file").unlink()


def test_a_knowledge_base_is_copied_renamed_and_deleted(comfy_server: ComfyServer) -> None:
    add(comfy_server, "whole", [2020, 2021], "one\ntwo")
    assert retrieve(comfy_server, "whole") in ("one", "two")
    copied = send_json(comfy_server, "POST", "whole/copy", {"name": "its copy"})
    assert (copied.status, copied.json["name"], copied.json["total"], copied.json["state"]) == (
        200,
        "its copy",
        2,
        "ok",
    )
    renamed = send_json(comfy_server, "PATCH", "whole", {"name": "renamed whole"})
    assert (renamed.status, renamed.json["name"], renamed.json["total"]) == (200, "renamed whole", 2)
    assert call(comfy_server, "GET", "whole/styles").status == 404
    for name in ("its copy", "renamed whole"):
        assert look(comfy_server, name) == ["one", "two"]
        assert retrieve(comfy_server, name) in ("one", "two")
        gone = call(comfy_server, "DELETE", quote(name))
        assert (gone.status, gone.json) == (200, {"name": name})
        assert call(comfy_server, "DELETE", quote(name)).status == 404
        assert not (root_of(comfy_server) / name).exists()
    listed = call(comfy_server, "GET", "knowledge_bases").json["knowledge_bases"]
    assert not {"whole", "its copy", "renamed whole"} & {base["name"] for base in listed}


def test_what_a_copy_or_another_name_may_be(comfy_server: ComfyServer) -> None:
    add(comfy_server, "taken", [2030])
    add(comfy_server, "named", [2031])
    for method, path in (("PATCH", "named"), ("POST", "named/copy")):
        assert send_json(comfy_server, method, path, {"name": "taken"}).status == 409
        assert send_json(comfy_server, method, path, {"name": "../out"}).status == 400
        assert send_json(comfy_server, method, path, {"name": 7}).status == 400
        assert send_json(comfy_server, method, path, {"name": "a", "more": 1}).status == 400
        assert call(comfy_server, method, path, b"{}", {"Content-Type": "text/plain"}).status == 415
        assert send_json(comfy_server, method, path.replace("named", "no such"[:2]), {"name": "b"}).status == 404
    assert look(comfy_server, "named") == [""]


def test_a_backup_comes_as_one_file(comfy_server: ComfyServer) -> None:
    add(comfy_server, "kept safe", [2040], "safe")
    answer = call(comfy_server, "GET", f"{quote('kept safe')}/backup")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/zip")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="kept safe.zip"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    names = zipfile.ZipFile(io.BytesIO(answer.body)).namelist()
    assert FILE in names and any(name.startswith("pictures/") and name.endswith(".png") for name in names)
    assert call(comfy_server, "GET", "nothing/backup").status == 404
    assert list((comfy_server.base / "temp").glob("style_rag_*")) == []


def test_a_note_that_was_damaged_is_one_sentence(comfy_server: ComfyServer) -> None:
    [id] = add(comfy_server, "noted", [2050])
    assert call(comfy_server, "DELETE", f"noted/styles/{id}").status == 200
    for content in ("", "{}", "[]", '{"record": {"tags": []}}'):
        (root_of(comfy_server) / "noted" / "deleted" / id / "style.json").write_text(content)
        answer = call(comfy_server, "POST", f"noted/styles/{id}/restore")
        assert (answer.status, "is damaged: add its picture again" in answer.json["error"]) == (409, True)


def test_a_removed_style_comes_back_after_its_folder_moved(comfy_server: ComfyServer) -> None:
    [id, _] = add(comfy_server, "was here", [2060, 2061], "one\ntwo")
    assert call(comfy_server, "DELETE", f"{quote('was here')}/styles/{id}").status == 200
    (root_of(comfy_server) / "was here").rename(root_of(comfy_server) / "is there")
    assert call(comfy_server, "POST", f"{quote('is there')}/styles/{id}/restore").status == 200
    assert look(comfy_server, "is there") == ["one", "two"]
    assert send_form(comfy_server, f"{quote('is there')}/styles", {}, [("images", "a.png", make_picture(2060))]).json[
        "unchanged"
    ] == [id]
