"""The rules of docs/security.md, each broken on purpose against a real server."""

import io
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from comfyui import ComfyServer
from http_calls import ENCODER, Answer, add, call, make_picture, send_form, send_json
from PIL import Image
from places import ROOT

PICTURE = ("images", "a.png", make_picture(1000))
FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://example.org"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
]


@pytest.fixture(scope="module")
def style(comfy_server: ComfyServer) -> str:
    return add(comfy_server, "guarded", [1001], "as it was")[0]


def state(server: ComfyServer) -> tuple:
    queue = server.get_json("/queue")
    return call(server, "GET", "guarded/styles").json, call(server, "GET", "knowledge_bases").json, queue


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_page_of_another_site_changes_nothing(comfy_server: ComfyServer, style: str, headers: dict) -> None:
    before = state(comfy_server)
    requests: list[Callable[[], Answer]] = [
        lambda: send_form(comfy_server, "guarded/styles", {}, [PICTURE], headers),
        lambda: send_form(comfy_server, "foreign/styles", {"encoder": ENCODER}, [PICTURE], headers),
        lambda: send_json(comfy_server, "PATCH", f"guarded/styles/{style}", {"caption": "changed"}, headers),
        lambda: call(comfy_server, "DELETE", f"guarded/styles/{style}", headers=headers),
        lambda: call(comfy_server, "DELETE", "guarded", headers=headers),
        lambda: send_json(comfy_server, "PATCH", "guarded", {"name": "foreign"}, headers),
        lambda: send_json(comfy_server, "POST", "guarded/copy", {"name": "foreign"}, headers),
        lambda: call(comfy_server, "GET", "guarded/backup", headers=headers),
        lambda: send_form(comfy_server, "generate", {"prompt": "a"}, [("sketch", *PICTURE[1:])], headers),
        lambda: call(comfy_server, "GET", "guarded/search?q=a", headers=headers),
        lambda: call(comfy_server, "GET", f"guarded/styles/{style}/thumbnail", headers=headers),
    ]
    assert [request().status for request in requests] == [403] * len(requests)
    assert state(comfy_server) == before


def test_the_editors_own_page_is_let_in(comfy_server: ComfyServer, style: str) -> None:
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": comfy_server.base_url}
    answer = send_json(comfy_server, "PATCH", f"guarded/styles/{style}", {"caption": "as it was"}, headers)
    assert answer.status == 200
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_a_body_of_another_type_is_refused(comfy_server: ComfyServer, style: str) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        headers = {"Content-Type": kind}
        changed = call(comfy_server, "PATCH", f"guarded/styles/{style}", b'{"caption": "changed"}', headers)
        assert changed.status == 415, kind
        for method, path in (("PATCH", "guarded"), ("POST", "guarded/copy")):
            assert call(comfy_server, method, path, b'{"name": "foreign"}', headers).status == 415, kind
    for path in ("guarded/styles", "generate"):
        answer = call(comfy_server, "POST", path, b"{}", {"Content-Type": "application/json"})
        assert (answer.status, answer.json["error"]) == (
            415,
            "the content type is 'application/json': send multipart/form-data.",
        )


@pytest.mark.parametrize(
    "name",
    [
        "..",
        ".",
        "a/b",
        "..%2f..",
        "a%5cb",
        "c:",
        "con",
        "NUL.txt",
        "settings.json",
        " a",
        "a" * 65,
        "a.",
        "-a",
        "COM¹",
        "a%00",
        "a%0ab",
        "a%e2%80%aeb",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(comfy_server: ComfyServer, name: str) -> None:
    path = f"{name if '%' in name else quote(name, safe='/')}/styles"
    root = comfy_server.base / "user" / "__style_rag"
    before = sorted(path.name for path in root.iterdir())
    assert call(comfy_server, "GET", path).status in (400, 404, 405)
    assert send_form(comfy_server, path, {"encoder": ENCODER}, [PICTURE]).status in (400, 404, 405)
    assert sorted(path.name for path in root.iterdir()) == before


@pytest.mark.parametrize("id", ["..", "..%2f..%2fstyles.sqlite", "0" * 63, "G" * 64, "0" * 64 + "%0a"])
def test_an_id_that_is_none_is_refused(comfy_server: ComfyServer, style: str, id: str) -> None:
    for part in ("image", "thumbnail"):
        assert call(comfy_server, "GET", f"guarded/styles/{id}/{part}").status in (400, 404)


@pytest.mark.parametrize(
    ("seed", "name"),
    list(enumerate(["../../evil.png", "..\\evil.png", "/evil.png", "C:\\evil.png", "con.png"], 1100)),
)
def test_an_uploaded_name_leads_nowhere(comfy_server: ComfyServer, style: str, seed: int, name: str) -> None:
    [id] = send_form(comfy_server, "guarded/styles", {}, [("images", name, make_picture(seed))]).json["added"]
    [added] = [style for style in call(comfy_server, "GET", "guarded/styles").json["styles"] if style["id"] == id]
    folder = comfy_server.base / "user" / "__style_rag" / "guarded" / "pictures"
    assert added["file"] == str(folder / f"{id[:16]}.png")
    assert not [*comfy_server.base.rglob("evil*"), *comfy_server.base.rglob("con.png")]


@pytest.mark.parametrize(("seed", "name"), [(881, "blob"), (882, ""), (883, "image.bin"), (884, "a.PNG.download")])
def test_an_upload_is_judged_by_its_content(comfy_server: ComfyServer, style: str, seed: int, name: str) -> None:
    answer = send_form(comfy_server, "guarded/styles", {}, [("images", name, make_picture(seed))])
    assert len(answer.json["added"]) == 1, answer.body


def header_of(width: int, height: int) -> bytes:
    """A PNG that says how large it is and has no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(20_000, 10_000), (60_000, 60_000)])
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(
    comfy_server: ComfyServer, style: str, width: int, height: int
) -> None:
    answer = send_form(comfy_server, "guarded/styles", {}, [("images", "bomb.png", header_of(width, height))])
    [failed] = answer.json["failed"]
    assert "100,000,000" in failed["reason"]
    assert not answer.json["added"]


@pytest.mark.parametrize(
    ("status", "texts", "files", "sentence"),
    [
        (413, {}, [("images", "a.png", b"\0" * 50_000_001)], "'a.png' is larger than the 50,000,000 bytes"),
        (413, {}, [("images", f"{n}.png", b"x") for n in range(101)], "there are more than 100 pictures"),
        (413, {"tags": "x" * 1_000_001}, [PICTURE], "field 'tags' is larger than the 1,000,000 bytes"),
        (400, {"captions": "x" * 2001}, [PICTURE], "a caption has 2,001 characters: at most 2,000"),
        (400, {"captions": "one\ntwo"}, [PICTURE], "there are 2 captions for 1 images"),
        (400, {"tags": "x" * 65}, [PICTURE], "tag 'xxx"),
        (400, {"tags": ",".join(map(str, range(65)))}, [PICTURE], "there are 65 tags: at most 64"),
        (400, {}, [("images", "page.html", b"<html>")], "'page.html' is no picture file"),
        (400, {}, [("images", "blob", b"<html>")], "'blob' is no picture file that can be read: send one of .avif,"),
        (400, {"other": "x"}, [PICTURE], "field 'other' is not expected: send images, captions, tags, encoder."),
        (409, {"encoder": "../../etc"}, [PICTURE], "encoder '../../etc' is not on this server"),
    ],
    ids=["bytes", "count", "field", "caption", "captions", "tag", "tags", "name", "blob", "unknown", "encoder"],
)
def test_what_is_too_much_is_refused_by_name_of_the_limit(
    comfy_server: ComfyServer, style: str, status: int, texts: dict, files: list, sentence: str
) -> None:
    before = state(comfy_server)
    answer = send_form(comfy_server, "guarded/styles", texts, files)
    assert answer.status == status, answer.body
    assert answer.json["error"].startswith(sentence)
    assert state(comfy_server) == before


def test_a_body_of_json_is_refused_at_its_limit_before_it_is_parsed(comfy_server: ComfyServer, style: str) -> None:
    answer = send_json(comfy_server, "PATCH", f"guarded/styles/{style}", {"caption": "x" * 1_000_000})
    assert (answer.status, answer.json["error"]) == (
        413,
        "the body is larger than the 1,000,000 bytes allowed: send less.",
    )


@pytest.mark.parametrize("header", ["X-Big: " + "y" * 200_000, "\r\n".join(f"X-{n}: y" for n in range(5000))])
def test_a_part_with_too_large_a_header_is_a_sentence(comfy_server: ComfyServer, style: str, header: str) -> None:
    part = f'--XX\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n{header}\r\n\r\nx\r\n--XX--\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=XX"}
    answer = call(comfy_server, "POST", "guarded/styles", part.encode(), kind)
    assert answer.status == 400
    assert re.fullmatch(r"the form is damaged \((?!400)\w.{8,90}\): send multipart/form-data\.", answer.json["error"])


def test_nothing_is_left_of_a_refused_upload(comfy_server: ComfyServer, style: str) -> None:
    files = [PICTURE, ("images", "page.html", b"<html>")]
    assert send_form(comfy_server, "guarded/styles", {}, files).status == 400
    assert send_form(comfy_server, "never%20made/styles", {}, [PICTURE]).status == 404
    assert not [*(comfy_server.base / "temp").glob("style_rag_*")]
    assert not (comfy_server.base / "user" / "__style_rag" / "never made").exists()


def test_a_page_named_as_a_picture_is_no_picture(comfy_server: ComfyServer, style: str) -> None:
    page = b"<html><script>alert(1)</script></html>"
    [failed] = send_form(comfy_server, "guarded/styles", {}, [("images", "page.png", page)]).json["failed"]
    assert failed == {"file": "page.png", "reason": "it is not a picture that can be read"}
    stream = io.BytesIO()
    Image.new("RGB", (9, 9), "teal").save(stream, "GIF", comment=page)
    files = [("images", "page.gif", stream.getvalue())]
    [id] = send_form(comfy_server, "guarded/styles", {}, files).json["added"]
    answer = call(comfy_server, "GET", f"guarded/styles/{id}/image")
    assert (answer.headers["Content-Type"], answer.headers["X-Content-Type-Options"]) == ("image/png", "nosniff")
    assert page not in answer.body


def test_markup_in_words_stays_text(comfy_server: ComfyServer, style: str) -> None:
    words = {"caption": "<img src=x onerror=alert(1)>", "tags": ["<script>"]}
    answer = send_json(comfy_server, "PATCH", f"guarded/styles/{style}", words)
    assert answer.headers["Content-Type"].startswith("application/json")
    assert (answer.json["caption"], answer.json["tags"]) == (words["caption"], words["tags"])


def test_every_rule_of_the_page_names_a_test_that_exists() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"`(?:tests/)?([\w/]*test_\w+(?:\.py)?)`", page)
    assert len(named) >= 12
    for name in named:
        exists = [*(ROOT / "tests").rglob(Path(name).name)] if name.endswith(".py") else f"def {name}(" in sources
        assert exists, name
