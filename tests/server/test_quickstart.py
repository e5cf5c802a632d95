"""The bundled quickstart over HTTP: pictures, repeatability, progress, previews, interrupt, and odd pictures."""

import asyncio
import copy
import io
import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import numpy as np
import pytest
from comfyui import ComfyServer
from PIL import Image
from places import ROOT

Json = dict[str, Any]
QUICKSTART = json.loads((ROOT / "workflows" / "api" / "quickstart.json").read_text(encoding="utf-8"))


def quickstart(**changes: Json) -> Json:
    """The workflow with inputs of some node classes changed, a few steps, and no preview nodes."""
    api = copy.deepcopy(QUICKSTART)
    for node in api.values():
        if node["class_type"] == "ControlNetIPAdapterSampler":
            node["inputs"]["steps"] = 4
        node["inputs"].update(changes.get(node["class_type"], {}))
    return api


def node_id(class_type: str) -> str:
    return next(id for id, node in QUICKSTART.items() if node["class_type"] == class_type)


def picture(server: ComfyServer, entry: Json) -> bytes:
    return server.get_image(entry["outputs"][node_id("SaveImage")]["images"][0])


@pytest.fixture(scope="module")
def first(comfy_server: ComfyServer) -> Iterator[Json]:
    yield comfy_server.run(quickstart())


def test_the_quickstart_gives_a_picture_and_says_why(comfy_server: ComfyServer, first: Json) -> None:
    image = Image.open(io.BytesIO(picture(comfy_server, first)))
    assert image.size == (256, 256)
    assert np.asarray(image).std() > 5
    matches = json.loads(first["outputs"][node_id("RetrieveStyle")]["text"][0])
    assert len(matches) == 1
    assert set(matches[0]) >= {"id", "name", "file", "tags", "licence", "score", "cosine", "ranks", "matched"}
    assert 0 <= matches[0]["score"] <= 1
    sheet = comfy_server.get_image(first["outputs"][node_id("RetrieveStyle")]["images"][0])
    assert Image.open(io.BytesIO(sheet)).width >= 200


def test_the_same_prompt_again_runs_nothing(comfy_server: ComfyServer, first: Json) -> None:
    again = comfy_server.run(quickstart())
    cached = next(data["nodes"] for kind, data in again["status"]["messages"] if kind == "execution_cached")
    assert set(cached) == set(QUICKSTART)


def test_the_same_seed_gives_the_same_picture_byte_for_byte(comfy_server: ComfyServer, first: Json) -> None:
    comfy_server.free()
    again = comfy_server.run(quickstart())
    ran = next(data["nodes"] for kind, data in again["status"]["messages"] if kind == "execution_cached")
    assert not ran
    assert picture(comfy_server, again) == picture(comfy_server, first)
    other = comfy_server.run(quickstart(ControlNetIPAdapterSampler={"seed": 2}))
    assert picture(comfy_server, other) != picture(comfy_server, first)


def test_the_png_carries_what_decided_the_picture(comfy_server: ComfyServer) -> None:
    prompt_id = comfy_server.post_prompt(quickstart(ControlNetIPAdapterSampler={"seed": 3}), workflow={"nodes": []})
    image = Image.open(io.BytesIO(picture(comfy_server, comfy_server.wait(prompt_id))))
    info = json.loads(image.info["style_rag"])
    assert info["settings"]["seed"] == 3
    assert info["settings"]["num_inference_steps"] == 4
    assert len(info["references"][0]["id"]) == 64
    assert {part: model["file"] for part, model in info["models"].items()} == {
        "base_model": "sd-tiny",
        "controlnet": "controlnet-canny-tiny",
        "ip_adapter": "ip-adapter_tiny.safetensors",
        "image_encoder": "image_encoder",
    }


def test_a_reference_that_is_not_good_enough_is_not_forced(comfy_server: ComfyServer) -> None:
    """With the filter nothing matches: the sampler paints without a style, and what is wired to the image does not
    run."""
    entry = comfy_server.run(quickstart(RetrieveStyle={"filter": "tag:no-such-tag"}))
    [explained] = json.loads(entry["outputs"][node_id("RetrieveStyle")]["text"][0])
    assert (explained["match"], explained["passed_filter"]) == (False, 0)
    assert "passes the filter tag:no-such-tag" in explained["reason"]
    assert Image.open(io.BytesIO(picture(comfy_server, entry))).size == (256, 256)


def test_a_linked_pipeline_stores_its_view_of_each_picture_and_changes_none(comfy_server: ComfyServer) -> None:
    api = quickstart(ControlNetIPAdapterSampler={"seed": 21})
    plain = picture(comfy_server, comfy_server.run(api))
    api[node_id("StyleKnowledgeBase")]["inputs"]["pipeline"] = [node_id("LoadStylePipeline"), 0]
    linked = picture(comfy_server, comfy_server.run(api))
    stored = list((comfy_server.base / "user" / "__style_rag" / "starter" / "encodings").glob("*/*.npy"))
    assert len(stored) == comfy_server.get_json("/style_rag/starter/styles")["total"]
    ours, theirs = (np.asarray(Image.open(io.BytesIO(made))).astype(int) for made in (linked, plain))
    assert np.array_equal(ours, theirs)


def test_int8_weights_paint_nearly_the_same_picture(comfy_server: ComfyServer, first: Json) -> None:
    made = Image.open(
        io.BytesIO(picture(comfy_server, comfy_server.run(quickstart(LoadStylePipeline={"precision": "int8"}))))
    )
    assert json.loads(made.info["style_rag"])["weights"] == "int8"
    ours, theirs = (
        np.asarray(image).astype(int) for image in (made, Image.open(io.BytesIO(picture(comfy_server, first))))
    )
    assert 0 < np.abs(ours - theirs).mean() < 2


def watch(server: ComfyServer, api: Json, on_message: Any = None) -> tuple[list[Json], int]:
    """Run a workflow as a client of the websocket; return its messages and the number of preview pictures."""

    async def run() -> tuple[list[Json], int]:
        messages: list[Json] = []
        previews = 0
        url = f"{server.base_url}/ws?clientId=watcher"
        async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as socket:
            prompt_id = await asyncio.to_thread(server.post_prompt, api, None, "watcher")
            async for message in socket:
                if message.type == aiohttp.WSMsgType.BINARY:
                    previews += 1
                    continue
                body = json.loads(message.data)
                if body["data"].get("prompt_id") not in (None, prompt_id):
                    continue
                messages.append(body)
                if on_message:
                    await asyncio.to_thread(on_message, body)
                if body["type"] in ("execution_success", "execution_error", "execution_interrupted"):
                    break
        return messages, previews

    return asyncio.run(asyncio.wait_for(run(), 300))


def sampler_progress(messages: list[Json]) -> list[int]:
    return [
        m["data"]["value"]
        for m in messages
        if m["type"] == "progress" and m["data"]["node"] == node_id("ControlNetIPAdapterSampler")
    ]


def test_each_step_shows_progress_and_a_preview(comfy_server: ComfyServer, first: Json) -> None:
    messages, previews = watch(comfy_server, quickstart(ControlNetIPAdapterSampler={"seed": 11, "steps": 5}))
    assert sampler_progress(messages) == [1, 2, 3, 4, 5]
    assert previews == 5


def test_an_interrupt_stops_within_a_step_and_the_next_run_is_whole(comfy_server: ComfyServer, first: Json) -> None:
    def interrupt_at_two(message: Json) -> None:
        if message["type"] == "progress" and message["data"]["value"] == 2:
            comfy_server.interrupt()

    messages, _ = watch(
        comfy_server, quickstart(ControlNetIPAdapterSampler={"seed": 12, "steps": 60}), interrupt_at_two
    )
    assert messages[-1]["type"] == "execution_interrupted"
    assert sampler_progress(messages)[-1] <= 10  # the request itself takes a few of the tiny model's short steps
    again = comfy_server.run(quickstart(ControlNetIPAdapterSampler={"seed": 13}))
    assert again["status"]["status_str"] == "success"


@pytest.mark.parametrize("mode", ["RGBA", "LA", "L", "P", "1", "I;16", "CMYK"])
def test_odd_pictures_are_read_as_sketches(comfy_server: ComfyServer, mode: str, tmp_path: Any) -> None:
    page = Image.new("L", (300, 200), 255)
    page.paste(0, (80, 60, 220, 140))
    if mode in ("RGBA", "LA"):
        sketch = Image.new(mode, page.size, (0, 0, 0, 0) if mode == "RGBA" else (0, 0))
        sketch.paste((0, 0, 0, 255) if mode == "RGBA" else (0, 255), (80, 60, 220, 140))
    elif mode == "I;16":
        sketch = Image.fromarray(np.asarray(page).astype(np.uint16) * 257)
    else:
        sketch = page.convert(mode)
    path = tmp_path / f"odd {mode.replace(';', '')}.{'tif' if mode == 'CMYK' else 'png'}"
    sketch.save(path)
    name = comfy_server.upload_image(path)
    api = {
        id: node
        for id, node in quickstart(LoadImage={"image": name}).items()
        if node["class_type"] in ("LoadImage", "CannyFromSketch")
    }
    api["preview"] = {"class_type": "PreviewImage", "inputs": {"images": [node_id("CannyFromSketch"), 0]}}
    entry = comfy_server.run(api)
    edges = np.asarray(
        Image.open(io.BytesIO(comfy_server.get_image(entry["outputs"]["preview"]["images"][0]))).convert("L")
    )
    assert edges.shape == (256, 256)
    assert 300 < np.count_nonzero(edges) < 3000
