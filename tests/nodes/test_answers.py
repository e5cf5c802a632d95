"""What a route answers to each kind of error."""

import asyncio
import errno
import json
import sqlite3
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from test_execute import module

Nodes = dict[str, Any]


def answer(comfy_nodes: Nodes, error: Exception) -> tuple[int, str]:
    async def refuse(request: web.Request) -> web.StreamResponse:
        raise error

    route = module(comfy_nodes, "routes.answers").answering(refuse)
    made = asyncio.run(route(make_mocked_request("GET", "/style_rag/knowledge_bases")))
    return made.status, json.loads(made.body)["error"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a"), 507),
        (OSError("13440 requested and 128 written"), 507),
        (sqlite3.OperationalError("database or disk is full"), 507),
        (OSError(errno.EROFS, "Read-only file system", "a"), 403),
        (sqlite3.OperationalError("attempt to write a readonly database"), 403),
        (PermissionError(13, "Permission denied", "a"), 403),
        (PermissionError("the picture lies outside."), 403),
        (FileNotFoundError(2, "No such file or directory", "a"), 404),
        (FileNotFoundError("it is gone."), 404),
        (FileExistsError(17, "File exists", "a"), 409),
        (sqlite3.DatabaseError("database disk image is malformed"), 409),
        (IsADirectoryError(21, "Is a directory", "a"), 409),
        (OSError(errno.EIO, "Input/output error", "a"), 503),
        (OSError(errno.EMFILE, "Too many open files"), 503),
        (TimeoutError("another writes."), 503),
        (ConnectionError("the server does not answer."), 503),
        (RuntimeError("Chroma says: no"), 503),
        (ImportError("chromadb is not installed."), 503),
        (MemoryError(), 503),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a"), 400),
        (ValueError("tags are too long."), 400),
    ],
    ids=repr,
)
def test_each_error_is_a_sentence_with_a_status(comfy_nodes: Nodes, error: Exception, status: int) -> None:
    given, sentence = answer(comfy_nodes, error)
    assert given == status
    assert len(sentence) > 10 and sentence not in ("2", "13", "17", "21", "28")


def test_a_fault_of_ours_is_left_to_comfyuis_log(comfy_nodes: Nodes) -> None:
    with pytest.raises(KeyError):
        answer(comfy_nodes, KeyError("a"))
