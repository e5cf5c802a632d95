"""Requests of any method to a running ComfyUI, and the multipart forms and pictures that they bring."""

from __future__ import annotations

import http.client
import io
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from comfyui import ComfyServer
from PIL import Image, ImageDraw

ENCODER = "bundled/clip-tiny"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(
    server: ComfyServer, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """One request; path: below /style_rag, already quoted."""
    connection = http.client.HTTPConnection(urlsplit(server.base_url).netloc, timeout=120)
    try:
        connection.request(method, f"/style_rag/{path}", body, dict(headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def send_form(
    server: ComfyServer,
    path: str,
    texts: Mapping[str, str],
    files: Sequence[tuple[str, str, bytes]],
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """POST a multipart form; files: (field, file name, bytes) each."""
    line = uuid.uuid4().hex
    parts = [(f'name="{field}"', text.encode()) for field, text in texts.items()]
    parts += [(f'name="{field}"; filename="{name}"', data) for field, name, data in files]
    body = b"".join(
        f"--{line}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + data + b"\r\n" for head, data in parts
    )
    kind = {"Content-Type": f"multipart/form-data; boundary={line}"}
    return call(server, "POST", path, body + f"--{line}--\r\n".encode(), {**kind, **(headers or {})})


def send_json(
    server: ComfyServer, method: str, path: str, value: Any, headers: Mapping[str, str] | None = None
) -> Answer:
    kind = {"Content-Type": "application/json"}
    return call(server, method, path, json.dumps(value).encode(), {**kind, **(headers or {})})


def make_picture(seed: int, size: tuple[int, int] = (96, 64), format: str = "PNG") -> bytes:
    """A picture that no other seed below 4096 has."""
    picture = Image.new("RGB", size, ((seed % 16) * 15, (seed // 16 % 16) * 15, (seed // 256 % 16) * 15))
    ImageDraw.Draw(picture).ellipse((4, 4, size[0] // 2, size[1] // 2), "white", "black")
    stream = io.BytesIO()
    picture.save(stream, format)
    return stream.getvalue()


def add(server: ComfyServer, name: str, seeds: Sequence[int], captions: str = "", tags: str = "") -> list[str]:
    """Add pictures of some seeds to a knowledge base and return their ids."""
    files = [("images", f"{seed}.png", make_picture(seed)) for seed in seeds]
    answer = send_form(server, f"{quote(name)}/styles", {"captions": captions, "tags": tags, "encoder": ENCODER}, files)
    assert answer.status == 200, answer.body
    assert not answer.json["failed"]
    return [*answer.json["added"], *answer.json["unchanged"]]
