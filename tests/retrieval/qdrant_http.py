"""Qdrant's REST calls on loopback, answered by qdrant-client's own embedded Qdrant.

No Qdrant server can be had from a package registry, so this stands for one: each request's body has to fit the models
that qdrant-client generates from the server's published interface, and everything goes over HTTP as JSON. Whether a
real server would do the same with it is not shown.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pydantic import TypeAdapter
from qdrant_client import QdrantClient, models

KEY = "a key for tests"


class Handler(BaseHTTPRequestHandler):
    qdrant: QdrantClient
    asked: list[tuple[str, str, str | None]]

    def answer(self) -> None:
        path = self.path.partition("?")[0]
        self.asked.append((self.command, path, self.headers["api-key"]))
        if self.headers["api-key"] != KEY:
            return self.send(401, {"status": {"error": "Must provide an API key"}})
        name, _, action = path.removeprefix("/collections/").partition("/")
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        result = self.result(self.command, re.sub(r"[^a-z/]", "", action), name, body)
        self.send(200, {"result": result, "status": "ok", "time": 0.0})

    def result(self, method: str, action: str, name: str, body: bytes) -> Any:
        match method, action:
            case "GET", "exists":
                return {"exists": self.qdrant.collection_exists(name)}
            case "PUT", "":
                asked = models.CreateCollection.model_validate_json(body)
                return self.qdrant.create_collection(name, asked.vectors)
            case "DELETE", "":
                return self.qdrant.delete_collection(name)
            case "PUT", "points":
                self.qdrant.upsert(name, models.PointsList.model_validate_json(body).points)
            case "POST", "points/delete":
                self.qdrant.delete(name, TypeAdapter(models.PointsSelector).validate_json(body))
            case "POST", "points/query/batch":
                asked = models.QueryRequestBatch.model_validate_json(body).searches
                return [json.loads(one.model_dump_json()) for one in self.qdrant.query_batch_points(name, asked)]
            case _:
                raise AssertionError(f"{method} {action} is not among the calls that the engine is known to make")
        return {"operation_id": 1, "status": "completed"}

    do_GET = do_PUT = do_POST = do_DELETE = answer

    def send(self, status: int, answer: Any) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: pytest's output is for its tests."""


@contextmanager
def qdrant_over_http() -> Iterator[tuple[str, list[tuple[str, str, str | None]]]]:
    """Yield the url, and the list of requests so far: method, path, api-key."""
    asked: list[tuple[str, str, str | None]] = []
    qdrant = QdrantClient(location=":memory:", force_disable_check_same_thread=True)
    handler = type("Answering", (Handler,), {"qdrant": qdrant, "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        qdrant.close()
