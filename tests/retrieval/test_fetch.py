"""Pictures by URL, from a server on loopback that only these tests may reach; and the rule that keeps others off."""

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fakes import ColourEncoder
from PIL import Image
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.pictures import fetch as fetch_module
from style_pack.retrieval.pictures.fetch import check_url, fetch, is_public, read_url_list, resolve
from style_pack.retrieval.store.store import StyleStore


def picture(colour: str, format: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(content, format)
    return content.getvalue()


class Site(BaseHTTPRequestHandler):
    """Answers by path; `asked` counts."""

    asked: list[str]

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        self.asked.append(self.path)
        status, headers, body = ANSWERS.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(ConnectionError):
            for at in range(0, len(body), 1 if self.path == "/slow" else len(body) or 1):
                self.wfile.write(body[at : at + 1] if self.path == "/slow" else body)
                time.sleep(0.05 * (self.path == "/slow"))


ANSWERS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "/castle%20gate.jpg": (200, {"Content-Type": "text/html"}, picture("red")),
    "/photo": (200, {"Content-Type": "image/png"}, picture("blue", "JPEG")),
    "/moved": (302, {"Location": "/photo"}, b""),
    "/round": (302, {"Location": "/round"}, b""),
    "/inside": (302, {"Location": "http://10.1.2.3/secret.png"}, b""),
    "/file": (302, {"Location": "file:///etc/passwd"}, b""),
    "/page": (200, {"Content-Type": "image/png"}, b"<html>no picture</html>"),
    "/large": (200, {"Content-Length": "60000000"}, b""),
    "/cut": (200, {"Content-Length": "500"}, picture("red")),
    "/damaged": (200, {}, picture("red")[:-30]),
    "/slow": (200, {}, picture("red")),
}


@pytest.fixture
def site() -> Iterator[str]:
    Site.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def loopback_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """This test's server is on loopback, which nobody may reach otherwise."""
    monkeypatch.setattr(fetch_module.fetch, "__defaults__", (allowed, resolve))


def allowed(address: str) -> bool:
    return address == "127.0.0.1"


def always(*addresses: str) -> Callable[[str, int], list[str]]:
    """A resolver that gives the same answer to every name."""
    return lambda host, port: list(addresses)


def test_a_picture_is_what_its_bytes_are_whatever_the_server_calls_it(site: str) -> None:
    assert fetch(f"{site}/castle%20gate.jpg", allowed) == (picture("red"), ".png")
    assert fetch(f"{site}/photo", allowed) == (picture("blue", "JPEG"), ".jpg")
    assert fetch(f"{site}/moved", allowed) == (picture("blue", "JPEG"), ".jpg")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/nothing", "the server answered 404 Not Found"),
        ("/round", "it was redirected more than 5 times"),
        ("/inside", "the host 10.1.2.3 has the address 10.1.2.3, which is not public"),
        ("/file", "source file:///etc/passwd begins with file://: only http:// and https:// are fetched"),
        ("/page", "what the server sent is no picture that can be read"),
        ("/large", "it is larger than the 50,000,000 bytes allowed"),
        ("/cut", "the server closed the line"),
    ],
)
def test_what_breaks_a_rule_is_named(site: str, path: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace(".", r"\.")):
        fetch(site + path, allowed)


def test_a_server_that_dawdles_is_left(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_module, "MAX_SECONDS", 0.5)
    started = time.monotonic()
    with pytest.raises(ValueError, match=r"it took longer than 0\.5 seconds"):
        fetch(f"{site}/slow", allowed)
    assert time.monotonic() - started < 2.5  # the server needs 4


def test_bytes_that_no_one_announced_are_counted(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_module, "MAX_BYTES", 50)
    with pytest.raises(ValueError, match="it is larger than the 50 bytes allowed"):
        fetch(f"{site}/photo", allowed)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "100.100.100.200", "168.63.129.16", "192.0.0.192", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "::1", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "fe80::1",
        "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "2002:7f00:1::",
        "2001:0:7f00:1::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    ],
)  # fmt: skip
def test_no_address_of_ours_is_connected_to(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(ValueError, match="which is not public"):
        fetch("http://pictures.example/a.png", look_up=always(address))


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses_are(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["2130706433", "0177.0.0.1", "0x7f.1", "127.1", "[::1]", "[::ffff:7f00:1]"])
def test_a_host_written_in_another_way_is_what_the_system_makes_of_it(host: str) -> None:
    with pytest.raises(ValueError, match="which is not public"):
        fetch(f"http://{host}/a.png")


def test_one_address_that_is_not_public_is_enough_to_refuse_a_name() -> None:
    with pytest.raises(ValueError, match=r"has the address 10\.0\.0\.1, which is not public"):
        fetch("http://pictures.example/a.png", look_up=always("8.8.8.8", "10.0.0.1"))


def test_the_connection_goes_to_the_address_that_was_looked_at(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that would resolve to something else the second time is asked for once and never again."""
    port = int(site.rpartition(":")[2])
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    connected: list[object] = []
    connect = socket.create_connection

    def watched(address: tuple[str, int], timeout: float) -> socket.socket:
        connected.append(address)
        return connect(address, timeout)

    monkeypatch.setattr(socket, "create_connection", watched)
    content, _ = fetch(f"http://rebinding.example:{port}/photo", allowed, lambda host, port: next(answers))
    assert content == picture("blue", "JPEG")
    assert connected == [("127.0.0.1", port)]


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("ftp://host/a.png", "source ftp://host/a.png begins with ftp://"),
        ("http:///a.png", "source http:///a.png names no host"),
        ("http://host:99999/a.png", "is not a URL"),
        ("http://host/a\r\nb.png", "has blanks"),
        ("http://me:secret@host/a.png", r"source http://…@host has a user name"),
    ],
)
def test_a_url_that_can_not_be_fetched_is_refused_before_any_look_up(url: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as refusal:
        check_url(url)
    assert "secret" not in str(refusal.value)


@pytest.mark.usefixtures("loopback_allowed")
def test_fetched_pictures_are_kept_with_their_url_and_not_fetched_again(
    store: StyleStore, encoder: ColourEncoder, site: str
) -> None:
    urls = [f"{site}/castle%20gate.jpg", f"{site}/photo", f"{site}/nothing", f"{site}/damaged"]
    report = ingest(store, encoder, urls, "sync")
    assert (report.added, report.total) == (2, 2)
    assert [failed["file"] for failed in report.failed] == urls[2:]
    assert report.failed[0]["reason"] == "the server answered 404 Not Found"
    assert report.failed[1]["reason"].startswith("it is damaged")
    records = {Path(record.file).suffix: record for record in store.records().values()}
    assert records[".png"].name.split("/")[1].startswith("castle gate-")
    assert records[".png"].tags == ("127.0.0.1_" + site.rpartition(":")[2],)
    assert json.loads(Path(records[".jpg"].file).with_suffix(".json").read_text())["source"] == urls[1]
    asked = len(Site.asked)
    assert ingest(store, encoder, urls[:2], "sync").unchanged == 2
    assert len(Site.asked) == asked
    report = ingest(store, encoder, urls[:2], "rebuild")
    assert (report.added, len(Site.asked)) == (2, asked + 2)


@pytest.mark.usefixtures("loopback_allowed")
def test_sync_drops_what_is_named_no_longer_and_a_dead_server_costs_nothing(
    store: StyleStore, encoder: ColourEncoder, site: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = [f"{site}/castle%20gate.jpg", f"{site}/photo"]
    assert ingest(store, encoder, [folder, *urls], "sync").total == 6  # red is in the folder, too
    (folder / "warm" / "red.png").unlink()
    assert ingest(store, encoder, [folder, urls[1]], "add").removed == 0
    kept = list((store.folder / "pictures").rglob("*.png"))
    assert len(kept) == 1
    report = ingest(store, encoder, [folder, urls[1]], "sync")
    assert (report.removed, report.total) == (1, 5)
    assert not kept[0].exists()
    monkeypatch.setattr(fetch_module.fetch, "__defaults__", (is_public, resolve))
    report = ingest(store, encoder, [folder, urls[1]], "rebuild")
    assert (len(report.failed), report.total) == (1, 5)


@pytest.mark.usefixtures("loopback_allowed")
def test_urls_of_which_none_can_be_fetched_drop_nothing(filled: StyleStore, encoder: ColourEncoder, site: str) -> None:
    for update in ("sync", "rebuild"):
        with pytest.raises(ValueError, match="none of the sources' 1 pictures could be read .*404 Not Found"):
            ingest(filled, encoder, [f"{site}/nothing"], update)
        assert len(filled) == 5


def test_a_list_of_urls_is_a_text_file(tmp_path: Path) -> None:
    file = tmp_path / "styles.txt"
    file.write_text("# harbours\nhttps://a.example/1.png\n\n  https://b.example/2.png \n")
    assert read_url_list(file) == ["https://a.example/1.png", "https://b.example/2.png"]
    file.write_text("a castle on a hill")
    with pytest.raises(ValueError, match=r"styles\.txt is no list of URLs: line 1 is none"):
        read_url_list(file)
