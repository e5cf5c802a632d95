"""How many processors searches and small models take, and what waiting threads do."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from comfyui import server_environment
from multidict import MultiDict
from test_execute import SAMPLER, SIZE, module, painting

Nodes = dict[str, Any]


def test_a_thread_that_computes_alone_leaves_the_others_their_processors(comfy_nodes: Nodes) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        alone = ThreadPoolExecutor(1, initializer=module(comfy_nodes, "host.threads").compute_alone)
        later = ThreadPoolExecutor(1)
        counts = [pool.submit(torch.get_num_threads).result() for pool in (alone, later, alone)]
        assert (counts, torch.get_num_threads()) == ([1, 3, 1], 3)
    finally:
        torch.set_num_threads(before)


def test_a_search_whose_asker_has_hung_up_is_not_made(comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    routes, made = module(comfy_nodes, "routes.routes"), []
    monkeypatch.setattr(routes.gallery, "search_styles", lambda name, query: made.append(name) or {"matches": []})
    for transport in (None, SimpleNamespace(is_closing=lambda: True), SimpleNamespace(is_closing=lambda: False)):
        request = SimpleNamespace(query=MultiDict(q="dusk"), match_info={"kb": "asked"}, transport=transport)
        asyncio.run(routes.search(request))
    assert made == ["asked"]


def threads_while_painting(nodes: Nodes, parameters: int, fails: bool = False) -> tuple[int, int, int]:
    """How many threads compute within, on a thread that begins meanwhile, and afterwards; of 3."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        model = torch.nn.Linear(parameters, 1, bias=False, device="meta")
        failing = pytest.raises(ArithmeticError) if fails else nullcontext()
        with failing, module(nodes, "host.threads").suited_to(model):
            within = torch.get_num_threads()
            with ThreadPoolExecutor(1) as pool:
                beside = pool.submit(torch.get_num_threads).result()
            if fails:
                raise ArithmeticError
        return within, beside, torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def test_small_models_compute_on_one_thread_and_those_of_sd_15_on_all(comfy_nodes: Nodes) -> None:
    assert threads_while_painting(comfy_nodes, 3_600_000) == (1, 3, 3)
    assert threads_while_painting(comfy_nodes, 1_221_000_000) == (3, 3, 3)


def test_a_run_that_ends_in_an_error_gives_the_threads_back(comfy_nodes: Nodes) -> None:
    assert threads_while_painting(comfy_nodes, 3_600_000, fails=True) == (1, 3, 3)


def test_the_sampler_paints_with_the_bundled_models_on_one_thread(
    comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module(comfy_nodes, "provenance"), "write", lambda *told: None)
    own = painting(comfy_nodes)
    seen, generate = [], own.generate
    monkeypatch.setattr(own, "generate", lambda *given: seen.append(torch.get_num_threads()) or generate(*given))
    chosen = ("bundled/sd-tiny", "bundled/controlnet-canny-tiny", "bundled/ip-adapter-tiny", "auto")
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        pipeline = comfy_nodes["LoadStylePipeline"].execute(*chosen).args[0]
        comfy_nodes["ControlNetIPAdapterSampler"].execute(pipeline, **SAMPLER | SIZE | {"steps": 1})
        assert (seen, torch.get_num_threads()) == ([1], 3)
    finally:
        torch.set_num_threads(before)


def test_what_starts_comfyui_here_has_waiting_threads_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests, of which this is one, the demo and `make serve`."""
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    assert server_environment({})["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert server_environment({})["OMP_WAIT_POLICY"] == "ACTIVE"
