"""Previews as ComfyUI's own setting says, an interrupt while models load, and what they are loaded in."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from style_pack.generation.settings import GenerationSettings
from test_execute import Nodes, module, painting

SETTINGS = GenerationSettings("a castle", "", 1, 4, 5.0, "ddim", 64, 64)
CLEAN = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))


def shown(comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch, method: str) -> Any:
    """What one step shows of CLEAN: (format, picture, largest side), or None."""
    cli, bar = importlib.import_module("comfy.cli_args"), importlib.import_module("comfy.utils").ProgressBar
    monkeypatch.setattr(cli.args, "preview_method", cli.LatentPreviewMethod(method))
    seen: list[tuple[Any, ...]] = []
    monkeypatch.setattr(bar, "update_absolute", lambda self, *given: seen.append(given))
    sampler = module(comfy_nodes, "sampler")
    sampler._step_callback(SETTINGS, sampler._MemoryWatch())(2, 4, CLEAN)
    [(step, steps, preview)] = seen
    assert (step, steps) == (2, 4)
    return preview


def test_no_preview_is_shown_where_none_is_wanted(comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(comfy_nodes, monkeypatch, "none") is None


def test_taesd_is_used_when_it_is_chosen_and_there_and_else_the_colours_of_the_latents(
    comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders, taesd = importlib.import_module("folder_paths"), importlib.import_module("comfy.taesd.taesd").TAESD
    colours = shown(comfy_nodes, monkeypatch, "latent2rgb")
    assert (colours[0], colours[1].size) == ("JPEG", (8, 8))
    assert np.array_equal(shown(comfy_nodes, monkeypatch, "taesd")[1], colours[1])  # no file yet

    torch.manual_seed(0)
    decoder = taesd(None, None)
    file = Path(folders.get_folder_paths("vae_approx")[0]) / "taesd_decoder.safetensors"
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(decoder.taesd_decoder.state_dict(), file)
    folders.filename_list_cache.pop("vae_approx", None)
    with torch.inference_mode():
        picture = shown(comfy_nodes, monkeypatch, "taesd")[1]
        expected = decoder.decode(CLEAN[:1])[0].movedim(0, 2)
    assert picture.size == (64, 64)
    assert np.array_equal(np.asarray(picture), ((expected + 1) / 2).clamp(0, 1).mul(255).to(torch.uint8).numpy())


def test_an_interrupt_ends_loading_between_two_files(comfy_nodes: Nodes) -> None:
    mm = importlib.import_module("comfy.model_management")
    chosen = ("bundled/sd-tiny", "bundled/controlnet-canny-tiny", "bundled/ip-adapter-tiny", "auto")
    mm.interrupt_current_processing(True)
    with pytest.raises(mm.InterruptProcessingException):
        comfy_nodes["LoadStylePipeline"].execute(*chosen)
    pipeline = comfy_nodes["LoadStylePipeline"].execute(*chosen).args[0]
    assert pipeline.device.check_interrupted is mm.throw_exception_if_processing_interrupted


def test_the_vae_and_the_text_encoder_are_in_what_comfyui_was_started_with(
    comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = importlib.import_module("comfy.cli_args").args
    monkeypatch.setattr(args, "fp32_vae", True)
    monkeypatch.setattr(args, "fp16_text_enc", True)
    chosen = ("bundled/sd-tiny", "bundled/controlnet-canny-tiny", "bundled/ip-adapter-tiny", "bf16")
    pipeline = comfy_nodes["LoadStylePipeline"].execute(*chosen).args[0]
    parts = (pipeline.denoiser, pipeline.vae, pipeline.text_encoder, pipeline.image_encoder)
    kinds = [next(part.parameters()).dtype for part in parts]
    assert kinds == [torch.bfloat16, torch.float32, torch.float16, torch.bfloat16]


def test_int8_is_the_denoisers_weights_and_info_says_so(comfy_nodes: Nodes) -> None:
    chosen = ("bundled/sd-tiny", "bundled/controlnet-canny-tiny", "bundled/ip-adapter-tiny", "int8")
    pipeline = comfy_nodes["LoadStylePipeline"].execute(*chosen).args[0]
    told = painting(comfy_nodes).describe_run(pipeline, SETTINGS, None)
    assert (told["dtype"], told["weights"]) == ("float32", "int8")
    kinds = {value.dtype for value in pipeline.denoiser.state_dict().values()}
    assert kinds == {torch.float32, torch.int8}
    for part in (pipeline.vae, pipeline.text_encoder, pipeline.image_encoder):
        assert {value.dtype for value in part.state_dict().values() if value.is_floating_point()} == {torch.float32}
        assert torch.int8 not in {value.dtype for value in part.state_dict().values()}
