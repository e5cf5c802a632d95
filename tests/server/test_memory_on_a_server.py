"""Our models in ComfyUI's list of loaded models, and out of it again by its own route."""

import time
from typing import Any

from comfyui import ComfyServer
from test_quickstart import picture, quickstart

OURS = ["AutoencoderKL", "CLIPTextModel", "ControlNetModel", "StyleAdapter", "UNet2DConditionModel"]
WAIT = 60  # seconds


def loaded(server: ComfyServer) -> list[str]:
    return server.get_json("/probe/loaded")


def free(server: ComfyServer, **what: bool) -> list[str]:
    """What is still loaded once the server has done it, or at the end of patience."""
    server.post_json("/free", what)
    end = time.monotonic() + WAIT
    while loaded(server) and time.monotonic() < end:
        time.sleep(0.2)
    return loaded(server)


def sampled(server: ComfyServer, **inputs: Any) -> bytes:
    return picture(server, server.run(quickstart(ControlNetIPAdapterSampler=inputs)))


def test_free_unloads_every_model_and_the_next_run_makes_the_same_picture(comfy_server: ComfyServer) -> None:
    first = sampled(comfy_server, seed=4242)
    assert set(OURS) <= set(loaded(comfy_server))
    assert free(comfy_server, unload_models=True) == []
    sampled(comfy_server, seed=4243)  # by the pipeline that ComfyUI still has in its cache
    assert set(OURS) - {"CLIPTextModel"} <= set(loaded(comfy_server))
    assert free(comfy_server, unload_models=True, free_memory=True) == []
    assert sampled(comfy_server, seed=4242) == first
