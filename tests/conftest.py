"""What all tests share: the pack's import name, the order of the rings, and ComfyUI, in this process and as a server.

The pack is imported as `style_pack`. Its folder can have any name and its __init__.py is for ComfyUI's loader alone, so
that the name is made here, without running that file.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from comfy_base import prepare_base
from comfyui import ComfyServer
from front_end import front_end_arguments
from pack_names import PACK_FOLDER, SERVED_FOLDER
from places import ROOT, WAIT_ASLEEP, comfyui_path

TESTS = Path(__file__).parent
RINGS = ("nodes", "server", "browser")
"""Folders of tests in the order in which they run, after all others: those must be able to do without ComfyUI."""

os.environ.update(WAIT_ASLEEP | dict(os.environ))  # before torch is loaded, here and in what tests start

# `python -m pytest` puts the checkout on the path, where its nodes/ would hide ComfyUI's module of that name.
sys.path[:] = [entry for entry in sys.path if Path(entry or os.getcwd()).resolve() != ROOT]


def register_pack() -> None:
    spec = importlib.util.spec_from_file_location(
        "style_pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec is not None
    sys.modules["style_pack"] = importlib.util.module_from_spec(spec)


register_pack()


def ring_of(item: pytest.Item) -> str:
    return item.path.relative_to(TESTS).parts[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if ring_of(item) in RINGS:
            item.add_marker(ring_of(item))
    items.sort(key=lambda item: RINGS.index(ring_of(item)) + 1 if ring_of(item) in RINGS else 0)


def refuse_skip(report: Any) -> None:
    """Makes a skipped test a failed one: what could not run has not been checked."""
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"No test may be skipped, this one was: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    report = yield
    refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    report = yield
    refuse_skip(report)
    return report


@pytest.fixture(scope="session")
def comfy_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """One real ComfyUI on the CPU for the whole run, with the pack and, beside it, the probe of tests/server/probe.

    FRONT_END in the environment chooses another version of its page. Put model files below its `base / "models"`; its
    log is `log_text()`.
    """
    packs = {SERVED_FOLDER: ROOT, "probe": TESTS / "server" / "probe"}
    base = tmp_path_factory.mktemp("comfyui base")
    arguments = ["--preview-method", "auto", *front_end_arguments()]
    with ComfyServer(base, packs=packs, cpu=True, arguments=arguments) as server:
        yield server


@pytest.fixture(scope="session")
def comfy_nodes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Node id to class, from the pack loaded by ComfyUI's own loader in this process. Works on the CPU.

    From then on ComfyUI's modules (folder_paths, comfy, nodes ...) can be imported, with a base directory of their own.
    """
    base = tmp_path_factory.mktemp("nodes base")
    prepare_base(base, {PACK_FOLDER: ROOT})
    loader = import_comfyui(base)
    assert asyncio.run(loader.load_custom_node(str(base / "custom_nodes" / PACK_FOLDER))), (
        "ComfyUI did not load the pack"
    )
    origin = f"custom_nodes.{PACK_FOLDER}"
    nodes = loader.NODE_CLASS_MAPPINGS.items()
    return {name: node for name, node in nodes if getattr(node, "RELATIVE_PYTHON_MODULE", None) == origin}


def import_comfyui(base: Path) -> Any:
    """ComfyUI's module `nodes`. Its arguments are set before it reads them; its `utils` goes before comfy's own."""
    sys.path.insert(0, str(comfyui_path()))
    from comfy.cli_args import args

    args.cpu = True
    args.base_directory = str(base)
    import utils.install_util  # noqa: F401, I001
    import server  # noqa: F401
    import nodes

    return nodes
