"""The numbers that denoising works with, on `meta` as a device: their dtypes do not depend on the weights'."""

import sys
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from plain_diffusers import SETTINGS, edges, read_scheduler_config, reference
from style_pack.generation.denoise import Conditioning, denoise
from style_pack.generation.device import TorchDevice
from style_pack.generation.loading.pipeline import Denoiser, StylePipeline
from style_pack.generation.plan import plan_steps
from style_pack.generation.sampler import generate
from style_pack.generation.schedulers import SCHEDULERS, build_scheduler
from style_pack.generation.settings import GenerationSettings
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class NoFloat64(TorchDispatchMode):
    """Metal, and many of Intel's cards, have none: making one there raises."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for value in tree_leaves(made):
            if isinstance(value, torch.Tensor) and value.is_meta and value.dtype == torch.float64:
                raise TypeError(f"{func} made a float64 tensor on a device that has none")
        return made


@pytest.fixture(scope="module")
def on_meta(pipeline: StylePipeline) -> Denoiser:
    return deepcopy(pipeline.denoiser).half().to("meta")


def sample(denoiser: Denoiser, settings: GenerationSettings) -> torch.Tensor:
    made = build_scheduler(settings.scheduler, read_scheduler_config())
    made.set_timesteps(settings.num_inference_steps, device="cpu")
    if hasattr(made, "set_begin_index"):
        made.set_begin_index(0)
    steps = plan_steps(settings, made, with_control=True, with_style=True)
    words = torch.zeros(1, 77, denoiser.unet.config.cross_attention_dim)
    width = denoiser.unet.encoder_hid_proj.image_projection_layers[0].image_embeds.in_features
    conditioning = Conditioning(words, words, *[torch.zeros(1, 1, width)] * 2, edges())

    def on_step(step: int, steps: int, clean: torch.Tensor) -> None:
        assert clean.dtype == torch.float32

    with torch.inference_mode(), NoFloat64():
        return denoise(denoiser, made, settings, steps, conditioning, on_step)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_works_in_float32_and_makes_no_float64_on_the_device(
    on_meta: Denoiser, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[tuple[torch.dtype, str]] = set()

    def predict(denoiser: Any, deep: Any, entering: torch.Tensor, time: torch.Tensor, *told: Any) -> torch.Tensor:
        seen.update({(entering.dtype, entering.device.type), (time.dtype, time.device.type)})
        return torch.zeros_like(entering)

    monkeypatch.setattr(sys.modules[denoise.__module__], "_predict", predict)
    latents = sample(on_meta, replace(SETTINGS, scheduler=scheduler, num_inference_steps=6, num_images=2))
    assert latents.dtype == torch.float32
    assert latents.is_meta
    assert (torch.float16, "meta") in seen
    assert seen <= {(dtype, "meta") for dtype in (torch.float16, torch.float32, torch.int64)}


def test_the_models_make_no_float64_either(on_meta: Denoiser) -> None:
    assert sample(on_meta, replace(SETTINGS, num_inference_steps=2)).dtype == torch.float32


def test_timesteps_are_made_off_the_device(pipeline: StylePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some schedulers make them in float64, and bring them to the device that they are given as they are."""
    from diffusers import HeunDiscreteScheduler

    places: list[Any] = []
    whole = HeunDiscreteScheduler.set_timesteps

    def noted(self: Any, steps: int, device: Any = None, *more: Any) -> None:
        whole(self, steps, device, *more)
        if device is not None:  # as where it is made
            places.append(torch.device(device).type)

    monkeypatch.setattr(HeunDiscreteScheduler, "set_timesteps", noted)

    class Meta(TorchDevice):
        def load(self, *modules: torch.nn.Module, needed: int = 0) -> torch.device:
            return torch.device("meta" if modules[0] is pipeline.denoiser.units[0] else "cpu")

    settings = replace(SETTINGS, scheduler="heun")
    generate(replace(pipeline, device=Meta()), settings, edges(), [reference()])
    assert places == ["cpu"]
