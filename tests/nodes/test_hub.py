"""Downloads of Hub models, from a small Hub of our own on loopback that speaks the real one's protocol."""

import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from places import ROOT

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "config.json": (ROOT / "models" / "clip-tiny" / "config.json").read_bytes(),
    "model.safetensors": (ROOT / "models" / "clip-tiny" / "model.safetensors").read_bytes(),
    "flax_model.msgpack": b"not wanted",
}


class Hub(BaseHTTPRequestHandler):
    """Answers for any repository, which holds FILES; that of the IP-Adapter holds them in its folder."""

    asked: list[str] = []

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        folder = "models/image_encoder/" if "h94/" in path else ""
        names = [folder + name for name in FILES]
        if "/tree/" in path:
            tree = [{"type": "file", "path": name, "oid": "0", "size": 1} for name in names]
            return self.answer(json.dumps(tree).encode())
        if path.startswith("/api/models/"):
            siblings = [{"rfilename": name} for name in names]
            return self.answer(json.dumps({"id": "x/y", "sha": COMMIT, "siblings": siblings}).encode())
        if "/resolve/" not in path:
            return self.send_error(404)
        Hub.asked.append(path.rpartition("/resolve/")[2].partition("/")[2])
        return self.answer(FILES[path.rpartition("/")[2]])

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: pytest's output is for its tests."""


@pytest.fixture
def hub(comfy_nodes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The pack's module `hub`, with the Hub's address turned to a server of our own."""
    import huggingface_hub.constants

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    template = huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE
    monkeypatch.setattr(
        huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + template[template.index("/{repo_id}") :]
    )
    Hub.asked.clear()
    yield sys.modules[comfy_nodes["CannyFromSketch"].__module__.rpartition(".")[0] + ".host.hub"]
    server.shutdown()


def test_a_chosen_encoder_is_fetched_once_into_comfyuis_folder_and_listed(
    hub: Any, comfy_nodes: dict[str, Any]
) -> None:
    name = "openai/clip-vit-large-patch14"
    assert hub.local_copy("encoder", name) is None
    path = hub.download(hub.HUB["encoder"][name])
    assert sorted(file.name for file in path.iterdir()) == ["config.json", "model.safetensors"]
    assert (path / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert set(Hub.asked) == {"config.json", "model.safetensors"}
    assert hub.local_copy("encoder", name) == path
    assert not list(path.parent.glob("*.partial"))
    Hub.asked.clear()
    assert hub.download(hub.HUB["encoder"][name]) == path
    assert Hub.asked == []
    opened = comfy_nodes["StyleKnowledgeBase"].execute("from hub", "", name, "open").args[0]
    assert opened.encoder.path == path


def test_only_the_wanted_folder_of_a_repository_is_kept(hub: Any) -> None:
    path = hub.download(hub.IMAGE_ENCODER)
    assert path.parts[-3:] == ("h94--IP-Adapter", "models", "image_encoder")
    assert sorted(file.name for file in path.iterdir()) == ["config.json", "model.safetensors"]


def test_without_a_connection_it_says_what_to_do(hub: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import folder_paths
    import huggingface_hub.constants

    monkeypatch.setattr(folder_paths, "get_folder_paths", lambda name: [str(tmp_path)])
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        ConnectionError, match=r"openai/clip-vit-base-patch32 could not be downloaded .* or put its files"
    ):
        hub.download(hub.HUB["encoder"]["openai/clip-vit-base-patch32"])


def test_those_who_ask_for_a_model_at_once_fetch_it_once(hub: Any) -> None:
    model = hub.HUB["caption_encoder"][next(iter(hub.HUB["caption_encoder"]))]
    together = threading.Barrier(4)

    def ask() -> Path:
        together.wait(60)
        return hub.download(model)

    with ThreadPoolExecutor(4) as pool:
        [folder] = {asked.result() for asked in [pool.submit(ask) for _ in range(4)]}
    assert (folder / "config.json").is_file()
    assert Hub.asked.count("config.json") <= 2  # its head, and itself
