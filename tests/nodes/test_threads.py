"""How the HTTP routes search: on one processor, and only for those who still wait."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from multidict import MultiDict
from test_execute import module

Nodes = dict[str, Any]


def test_a_thread_that_computes_alone_leaves_the_others_their_processors(comfy_nodes: Nodes) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        alone = ThreadPoolExecutor(1, initializer=module(comfy_nodes, "threads").compute_alone)
        later = ThreadPoolExecutor(1)
        counts = [pool.submit(torch.get_num_threads).result() for pool in (alone, later, alone)]
        assert (counts, torch.get_num_threads()) == ([1, 3, 1], 3)
    finally:
        torch.set_num_threads(before)


def test_a_search_whose_asker_has_hung_up_is_not_made(comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    routes, made = module(comfy_nodes, "routes"), []
    monkeypatch.setattr(routes.gallery, "search_styles", lambda name, query: made.append(name) or {"matches": []})
    for transport in (None, SimpleNamespace(is_closing=lambda: True), SimpleNamespace(is_closing=lambda: False)):
        request = SimpleNamespace(query=MultiDict(q="dusk"), match_info={"kb": "asked"}, transport=transport)
        asyncio.run(routes.search(request))
    assert made == ["asked"]
