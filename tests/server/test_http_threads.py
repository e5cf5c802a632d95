"""What waits for what among the HTTP routes."""

from __future__ import annotations

import select
import socket

from comfyui import HOST, ComfyServer
from http_calls import add, call

SEARCHES = 100


def ask(server: ComfyServer, path: str) -> socket.socket:
    """A connection on which something has been asked for; its answer can be read once it is there."""
    connection = socket.create_connection((HOST, server.port), timeout=120)
    connection.sendall(f"GET /style_rag/{path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    return connection


def test_a_thumbnail_does_not_wait_for_searches(comfy_server: ComfyServer) -> None:
    [id] = add(comfy_server, "searched", [1200])
    assert call(comfy_server, "GET", "searched/search?q=harbour").status == 200  # the encoder is loaded
    searches = [ask(comfy_server, f"searched/search?q=harbour+{number}") for number in range(SEARCHES)]
    assert call(comfy_server, "GET", f"searched/styles/{id}/thumbnail").status == 200
    answered, _, _ = select.select(searches, [], [], 0)
    for search in searches:
        search.close()
    assert len(answered) < SEARCHES
