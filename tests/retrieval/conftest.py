"""A folder of plain colours and a knowledge base of them."""

import json
from pathlib import Path

import pytest
from fakes import ColourEncoder, paint
from style_pack.retrieval.engines import open_index
from style_pack.retrieval.engines.base import EngineChoice, StyleIndex
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.store import snapshot
from style_pack.retrieval.store.store import StyleStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three styles: warm (red, orange), cool (blue, teal), plain (grey), with captions beside two."""
    root = tmp_path / "styles"
    for name, colour in {
        "warm/red": "red",
        "warm/orange": (255, 140, 0),
        "cool/blue": "blue",
        "cool/teal": (0, 128, 128),
    }.items():
        paint(root / f"{name}.png", colour)
    paint(root / "plain" / "grey.png", (128, 128, 128))
    described = {"caption": "a red wall", "tags": ["Brick", "photo"], "license": "CC0-1.0"}
    (root / "warm" / "red.json").write_text(json.dumps(described))
    (root / "cool" / "blue.txt").write_text("a blue lake at dusk")
    return root


@pytest.fixture
def encoder() -> ColourEncoder:
    return ColourEncoder()


@pytest.fixture
def store(tmp_path: Path) -> StyleStore:
    return StyleStore(tmp_path / "knowledge base" / "colours")


@pytest.fixture(params=[False, True], ids=["here", "apart"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether Chroma runs apart, as in ComfyUI, whoever opens a knowledge base: one process serves all tests."""

    def open_either_way(choice: EngineChoice, folder: Path, collection: str, own_process: bool = False) -> StyleIndex:
        return open_index(choice, folder, collection, request.param)

    monkeypatch.setattr(snapshot, "open_index", open_either_way)
    return request.param


@pytest.fixture
def filled(store: StyleStore, encoder: ColourEncoder, folder: Path) -> StyleStore:
    ingest(store, encoder, [folder], "sync")
    return store
