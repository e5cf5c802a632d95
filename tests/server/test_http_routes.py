"""The routes below /style_rag/ on a real server: what they answer, change, bring back, and keep out of the way of."""

import io
import json
import re
import threading
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from comfyui import ComfyServer
from http_calls import ENCODER, add, call, make_picture, send_form, send_json
from PIL import Image
from places import ROOT

CAPTIONS = ["a harbour as a blueprint", "a house in ink", "a cat in stained glass"]


@pytest.fixture(scope="module")
def base(comfy_server: ComfyServer) -> str:
    """A knowledge base of three pictures, made over HTTP; its name has a space."""
    name = "http test"
    for seed, caption in enumerate(CAPTIONS, 1):
        add(comfy_server, name, [seed], caption, "First, second")
    return quote(name)


def listed(server: ComfyServer, base: str, **query: str) -> list[dict]:
    words = "&".join(f"{name}={quote(value)}" for name, value in query.items())
    return call(server, "GET", f"{base}/styles?{words}").json["styles"]


def test_a_new_knowledge_base_is_listed_with_its_encoder(comfy_server: ComfyServer, base: str) -> None:
    answer = call(comfy_server, "GET", "knowledge_bases").json
    [found] = [entry for entry in answer["knowledge_bases"] if entry["name"] == "http test"]
    assert (found["total"], found["encoder"]) == (3, ENCODER)
    assert ENCODER in answer["encoders"]


def test_styles_are_paged_newest_first_and_filtered(comfy_server: ComfyServer, base: str) -> None:
    everything = listed(comfy_server, base)
    assert [style["caption"] for style in everything] == CAPTIONS[::-1]
    assert {tag for style in everything for tag in style["tags"]} >= {"first", "second"}
    page = call(comfy_server, "GET", f"{base}/styles?offset=1&limit=1").json
    assert (page["total"], page["offset"], page["styles"]) == (3, 1, everything[1:2])
    assert listed(comfy_server, base, filter="tag:first") == everything
    assert listed(comfy_server, base, filter="-tag:first") == []


def test_labels_count_the_styles_that_have_them(comfy_server: ComfyServer, base: str) -> None:
    found = call(comfy_server, "GET", f"{base}/labels").json
    assert (found["tags"]["first"], found["tags"]["second"], found["licences"]) == (3, 3, {})


def test_a_search_gives_what_the_node_gives(comfy_server: ComfyServer, base: str) -> None:
    prompt = "a house and a tree as a blueprint"
    api = {
        "1": {"class_type": "StyleKnowledgeBase", "inputs": {"name": "http test", "sources": "", "encoder": ENCODER,
              "update": "open"}},
        "2": {"class_type": "RetrieveStyle", "inputs": {"knowledge_base": ["1", 0], "prompt": prompt, "top_k": 3,
              "strategy": "hybrid", "min_score": 0, "diversity": 0, "filter": ""}},
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 1]}},
    }  # fmt: skip
    of_node = json.loads(comfy_server.run(api)["outputs"]["2"]["text"][0])
    of_route = call(comfy_server, "GET", f"{base}/search?q={quote(prompt)}&top_k=3").json["matches"]
    assert [match["id"] for match in of_route] == [match["id"] for match in of_node]
    assert of_route == of_node
    ranks = {match["caption"]: match["ranks"] for match in of_route}
    assert {caption: set(ranked) for caption, ranked in ranks.items()} == {
        "a harbour as a blueprint": {"semantic", "keyword"},
        "a house in ink": {"semantic", "keyword"},
        "a cat in stained glass": {"semantic"},
    }


def test_a_picture_comes_back_as_it_was_sent(comfy_server: ComfyServer, base: str) -> None:
    style = listed(comfy_server, base)[-1]
    answer = call(comfy_server, "GET", f"{base}/styles/{style['id']}/image")
    assert answer.headers["Content-Type"] == "image/png"
    sent = Image.open(io.BytesIO(make_picture(1)))
    assert Image.open(io.BytesIO(answer.body)).convert("RGB").tobytes() == sent.tobytes()


def test_a_thumbnail_is_small_and_asked_for_once(comfy_server: ComfyServer) -> None:
    large = make_picture(7, (800, 400), "TIFF")
    added = send_form(comfy_server, "large/styles", {"encoder": ENCODER}, [("images", "large.tif", large)]).json
    path = f"large/styles/{added['added'][0]}/thumbnail"
    answer = call(comfy_server, "GET", path)
    assert Image.open(io.BytesIO(answer.body)).size == (256, 128)
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    again = call(comfy_server, "GET", path, headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", answer.headers["ETag"])
    other = call(comfy_server, "GET", path, headers={"If-None-Match": '"other"'})
    assert (other.status, other.body) == (200, answer.body)


def test_what_cannot_be_read_is_named_and_the_rest_added(comfy_server: ComfyServer, base: str) -> None:
    files = [("images", "broken.png", b"no picture"), ("images", "good.png", make_picture(40))]
    answer = send_form(comfy_server, "mixed/styles", {"encoder": ENCODER, "captions": "one\ntwo"}, files).json
    assert answer["failed"] == [{"file": "broken.png", "reason": "it is not a picture that can be read"}]
    assert (len(answer["added"]), answer["total"]) == (1, 1)
    assert listed(comfy_server, "mixed")[0]["caption"] == "two"


def test_a_picture_that_is_there_keeps_its_words(comfy_server: ComfyServer, base: str) -> None:
    before = listed(comfy_server, base)
    files = [("images", "again.png", make_picture(1))]
    answer = send_form(comfy_server, f"{base}/styles", {"captions": "another"}, files).json
    assert (answer["added"], answer["unchanged"]) == ([], [before[-1]["id"]])
    assert listed(comfy_server, base) == before


def test_a_caption_and_tags_are_edited_and_found(comfy_server: ComfyServer) -> None:
    [id] = add(comfy_server, "edited", [10], "before")
    changed = send_json(
        comfy_server, "PATCH", f"edited/styles/{id}", {"caption": "a Zeppelin ", "tags": ["Sky", "sky"]}
    )
    assert (changed.json["caption"], changed.json["tags"]) == ("a Zeppelin", ["sky"])
    assert listed(comfy_server, "edited", filter="tag:sky") == [changed.json]
    [match] = call(comfy_server, "GET", "edited/search?q=zeppelin&strategy=keyword").json["matches"]
    assert match["matched"] == ["zeppelin"]
    add(comfy_server, "edited", [11])  # an ingest, which reads what lies beside the pictures
    assert listed(comfy_server, "edited")[-1]["caption"] == "a Zeppelin"


def test_a_removed_style_comes_back_as_it_was(comfy_server: ComfyServer) -> None:
    ids = add(comfy_server, "removed", [20, 21], "one\ntwo")
    [before] = [style for style in listed(comfy_server, "removed") if style["id"] == ids[0]]
    found = call(comfy_server, "GET", "removed/search?q=one&top_k=2").json
    gone = call(comfy_server, "DELETE", f"removed/styles/{ids[0]}")
    assert gone.json == {"id": ids[0], "file_stays": False, "total": 1}
    assert [style["id"] for style in listed(comfy_server, "removed")] == [ids[1]]
    assert call(comfy_server, "GET", f"removed/styles/{ids[0]}/thumbnail").status == 404
    add(comfy_server, "removed", [22])
    assert ids[0] not in [style["id"] for style in listed(comfy_server, "removed")]

    back = call(comfy_server, "POST", f"removed/styles/{ids[0]}/restore").json
    assert back == before
    third = add(comfy_server, "removed", [22])[0]
    call(comfy_server, "DELETE", f"removed/styles/{third}")
    assert call(comfy_server, "GET", f"removed/styles/{ids[0]}/image").status == 200
    again = call(comfy_server, "GET", "removed/search?q=one&top_k=2").json
    assert [match["cosine"] for match in again["matches"]] == [match["cosine"] for match in found["matches"]]


def test_a_picture_of_a_source_folder_is_never_deleted(comfy_server: ComfyServer) -> None:
    folder = comfy_server.base / "input" / "sources"
    folder.mkdir()
    file = folder / "mine.png"
    file.write_bytes(make_picture(30))
    api = {"1": {"class_type": "StyleKnowledgeBase", "inputs": {"name": "of a folder", "sources": "sources",
           "encoder": ENCODER, "update": "sync"}},
           "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 1]}}}  # fmt: skip
    comfy_server.run(api)
    [style] = listed(comfy_server, "of%20a%20folder")
    edited = send_json(comfy_server, "PATCH", f"of%20a%20folder/styles/{style['id']}", {"caption": "words"})
    assert edited.json["caption"] == "words"
    gone = call(comfy_server, "DELETE", f"of%20a%20folder/styles/{style['id']}")
    assert gone.json["file_stays"]
    assert sorted(path.name for path in folder.iterdir()) == ["mine.png"]
    assert file.read_bytes() == make_picture(30)
    assert call(comfy_server, "POST", f"of%20a%20folder/styles/{style['id']}/restore").json == edited.json


def test_a_picture_that_changed_on_disk_is_not_shown_for_another(comfy_server: ComfyServer) -> None:
    [id] = add(comfy_server, "changed", [50])
    [style] = listed(comfy_server, "changed")
    Path(style["file"]).write_bytes(make_picture(51, (97, 64)))
    answer = call(comfy_server, "GET", f"changed/styles/{id}/image")
    assert answer.status == 404
    assert "is gone or was changed" in answer.json["error"]


def test_a_sketch_and_a_prompt_become_a_picture(comfy_server: ComfyServer) -> None:
    sketch = (ROOT / "styles" / "sketches" / "house_lineart.png").read_bytes()
    texts, files = {"prompt": "a house as a blueprint", "seed": "5"}, [("sketch", "house.png", sketch)]
    waited = send_form(comfy_server, "generate?wait=1", texts, files)
    assert (waited.status, waited.headers["Content-Type"]) == (200, "image/png"), waited.body
    image = Image.open(io.BytesIO(waited.body))
    assert image.size == (256, 256)
    info = json.loads(image.info["style_rag"])
    assert info["settings"]["seed"] == 5
    assert "blueprint" in json.dumps(info)

    queued = send_form(comfy_server, "generate", texts, files)
    assert queued.status == 202
    entry = comfy_server.wait(queued.json["prompt_id"])
    [saved] = [saved for output in entry["outputs"].values() for saved in output.get("images", [])
               if saved["type"] == "output"]  # fmt: skip
    assert comfy_server.get_image(saved) == waited.body


@pytest.mark.parametrize(
    ("texts", "files", "sentence"),
    [
        ({"prompt": "a house"}, [], "send one picture as sketch, and a prompt."),
        ({}, [("sketch", "a.png", make_picture(1))], "send one picture as sketch, and a prompt."),
        ({"prompt": "a"}, [("sketch", "a.png", b"text")], "it is not a picture that can be read"),
        ({"prompt": "a", "seed": "-1"}, [("sketch", "a.png", make_picture(1))], "seed is '-1': give a whole number"),
        ({"prompt": "a", "workflow": "../x"}, [("sketch", "a.png", make_picture(1))], "workflow '../x' does not exist"),
    ],
)
def test_generate_refuses_in_a_sentence(comfy_server: ComfyServer, texts: dict, files: list, sentence: str) -> None:
    before = comfy_server.get_json("/queue")
    answer = send_form(comfy_server, "generate", texts, files)
    assert answer.status == 400
    assert answer.json["error"].startswith(sentence)
    assert comfy_server.get_json("/queue") == before


def test_openapi_names_every_route_and_the_packs_version(comfy_server: ComfyServer) -> None:
    document = call(comfy_server, "GET", "openapi.json").json
    assert f'version = "{document["info"]["version"]}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = {(method.upper(), path[1:]) for path, item in document["paths"].items() for method in item}
    source = (ROOT / "nodes" / "routes" / "routes.py").read_text(encoding="utf-8")
    routes = re.findall(r'\("([A-Z]+)", "(\S+)", \w+\),\n', source)
    assert len(routes) == 16
    assert {route for route in named if route[0] != "PARAMETERS"} == set(routes)


def test_searches_during_an_ingest_hold_up_no_other_route(comfy_server: ComfyServer) -> None:
    """A search every 50 ms. What any route waits for is the event loop: the probe tells how late that was, at most.

    It leaves out the time that other programs took from the machine and in which ComfyUI collects the garbage of the
    workflows of earlier tests, see tests/server/probe, and the first ingest and search of a server, which import what
    they need.
    """
    add(comfy_server, "busy", range(100, 190))
    assert len(call(comfy_server, "GET", "busy/search?q=a+harbour&top_k=4").json["matches"]) == 4
    delays: list[float] = []
    for first in (200, 300, 400):  # what a route of ours holds up, it holds up each time; a busy machine does so once
        delays.append(delay_during_an_ingest(comfy_server, range(first, first + 90)))
        if delays[-1] <= 0.1:
            break
    assert 0 < delays[-1] <= 0.1, delays


def delay_during_an_ingest(server: ComfyServer, pictures: range) -> float:
    """Return the worst delay of the event loop in seconds, while pictures are added and searched."""
    ended, searched = threading.Event(), []

    def search() -> None:
        while not ended.is_set():
            start = time.perf_counter()
            searched.append(call(server, "GET", "busy/search?q=a+harbour&top_k=4").status)
            time.sleep(max(0.0, 0.05 - (time.perf_counter() - start)))

    searching = threading.Thread(target=search)
    server.get_json("/probe/delay")
    searching.start()
    add(server, "busy", pictures)
    worst = server.get_json("/probe/delay")
    ended.set()
    searching.join()
    assert len(searched) >= 5
    assert set(searched) == {200}
    return worst
