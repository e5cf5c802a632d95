"""The bundled sketches reach Load Image as soon as a prompt or the page asks for one, and are in nobody's way."""

from __future__ import annotations

import io
import shutil
import urllib.error
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from comfy_client import PromptRejected
from comfyui import ComfyServer
from http_calls import send_form
from PIL import Image, ImageDraw
from places import ROOT
from style_pack.retrieval.pictures.finder import find_pictures
from test_quickstart import quickstart

SKETCHES = ROOT / "styles" / "sketches"
CANNY = {"mode": "auto", "low_threshold": 50, "high_threshold": 150, "width": 0, "height": 0, "fit": "pad"}


@pytest.fixture
def folder(comfy_server: ComfyServer) -> Iterator[Path]:
    """Where the sketches go, as on a server that nobody has asked for one yet."""
    folder = comfy_server.base / "input" / "style_rag"
    aside = folder.with_name("aside")
    if folder.exists():
        folder.rename(aside)
    yield folder
    if folder.is_dir():
        shutil.rmtree(folder)
    folder.unlink(missing_ok=True)
    if aside.exists():
        aside.rename(folder)


def shown(image: str) -> dict[str, Any]:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": image}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }


def names(folder: Path) -> list[str]:
    """The pictures there."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".nomedia")


def test_a_posted_workflow_finds_its_sketch_on_a_fresh_server(comfy_server: ComfyServer, folder: Path) -> None:
    comfy_server.run(quickstart())
    assert names(folder) == ["house_lineart.png"]
    assert (folder / "house_lineart.png").read_bytes() == (SKETCHES / "house_lineart.png").read_bytes()


@pytest.mark.parametrize("kind", ["", " [input]", " [temp]"])
def test_a_sketch_is_found_by_each_name_that_a_workflow_may_have(
    comfy_server: ComfyServer, folder: Path, kind: str
) -> None:
    shutil.rmtree(comfy_server.base / "temp" / "style_rag", ignore_errors=True)
    comfy_server.run(shown(f"style_rag/car_ink.png{kind}"))
    assert folder.exists() == ("temp" not in kind)


@pytest.mark.parametrize("route", ["/view", "/api/view"])
def test_the_page_is_shown_a_sketch_before_any_workflow_has_run(
    comfy_server: ComfyServer, folder: Path, route: str
) -> None:
    data = comfy_server.request(f"{route}?filename=village_photo.jpg&subfolder=style_rag&type=input")
    assert Image.open(io.BytesIO(data)).size == Image.open(SKETCHES / "village_photo.jpg").size
    assert names(folder) == ["village_photo.jpg"]


def test_an_own_picture_of_that_name_stays(comfy_server: ComfyServer, folder: Path) -> None:
    folder.mkdir()
    Image.new("RGB", (64, 32), "red").save(folder / "car_ink.png")
    own = (folder / "car_ink.png").read_bytes()
    comfy_server.run(shown("style_rag/car_ink.png"))
    assert (folder / "car_ink.png").read_bytes() == own
    assert names(folder) == ["car_ink.png"]


def test_a_knowledge_base_of_the_whole_input_folder_holds_no_sketch(comfy_server: ComfyServer, folder: Path) -> None:
    comfy_server.run(shown("style_rag/car_ink.png"))
    own = comfy_server.base / "input" / "own"
    own.mkdir(exist_ok=True)
    Image.new("RGB", (64, 32), "red").save(own / "red.png")
    found = [Path(file.path).name for file in find_pictures([comfy_server.base / "input"])]
    assert "red.png" in found
    assert "car_ink.png" not in found


@pytest.mark.parametrize("name", ["none.png", "house_lineart.json", "../sketches/car_ink.png", ".hidden.png"])
def test_nothing_else_is_copied(comfy_server: ComfyServer, folder: Path, name: str) -> None:
    with pytest.raises(PromptRejected, match="Invalid image file"):
        comfy_server.run(shown(f"style_rag/{name}"))
    with pytest.raises(urllib.error.HTTPError):
        comfy_server.request(f"/view?filename={name}&subfolder=style_rag&type=input")
    assert not folder.exists()


def test_twenty_at_once_make_one_whole_file(comfy_server: ComfyServer, folder: Path) -> None:
    view = "/view?filename=castle_pencil.png&subfolder=style_rag&type=input"
    with ThreadPoolExecutor(20) as pool:
        answers = set(pool.map(lambda _: comfy_server.request(view), range(20)))
    assert answers == {(SKETCHES / "castle_pencil.png").read_bytes()}
    assert names(folder) == ["castle_pencil.png"]


def test_a_folder_that_cannot_be_written_is_one_line_in_the_log(comfy_server: ComfyServer, folder: Path) -> None:
    folder.write_text("no folder")
    line = "the bundled sketches can't be copied into"
    before = comfy_server.log_text().count(line)
    for _ in range(2):
        with pytest.raises(PromptRejected, match="Invalid image file"):
            comfy_server.run(shown("style_rag/car_ink.png"))
    comfy_server.run(shown("style_rag/car_ink.png [temp]"))
    assert comfy_server.log_text().count(line) == before + 1


def drawings(count: int) -> list[Image.Image]:
    frames = [Image.new("RGB", (128, 96), "white") for _ in range(count)]
    for number, frame in enumerate(frames):
        ImageDraw.Draw(frame).line([(20, 20 + 10 * number), (100, 70)], "black", 5)
    return frames


@pytest.mark.parametrize(("suffix", "said"), [("gif", True), ("webp", True), ("png", True), ("batch", False)])
def test_an_animation_is_one_sketch_and_a_batch_is_many(comfy_server: ComfyServer, suffix: str, said: bool) -> None:
    first, *others = drawings(3)
    name = f"moving {suffix}.{'png' if suffix == 'batch' else suffix}"
    first.save(comfy_server.base / "input" / name, save_all=said, append_images=others if said else [])
    prompt = {
        "1": {"class_type": "LoadImage", "inputs": {"image": name}},
        "2": {"class_type": "RepeatImageBatch", "inputs": {"image": ["1", 0], "amount": 3}},
        "3": {"class_type": "CannyFromSketch", "inputs": CANNY | {"image": ["1" if said else "2", 0]}},
        "4": {"class_type": "PreviewAny", "inputs": {"source": ["3", 1]}},
    }
    [report] = comfy_server.run(prompt)["outputs"]["4"]["text"]
    assert len(report.splitlines()) == (1 if said else 3)
    assert report.count(f"{name} is an animation of 3 pictures: its first is drawn.") == (1 if said else 0)


def test_one_request_tells_of_an_animation_too(comfy_server: ComfyServer) -> None:
    stream = io.BytesIO()
    first, *others = drawings(2)
    first.save(stream, "GIF", save_all=True, append_images=others)
    answer = send_form(comfy_server, "generate", {"prompt": "a house"}, [("sketch", "blob", stream.getvalue())])
    assert answer.json["note"] == "the sketch is an animation of 2 pictures: its first is drawn."
    comfy_server.wait(answer.json["prompt_id"])
