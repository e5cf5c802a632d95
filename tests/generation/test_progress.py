"""What a run shows while it goes on, and where it can be ended."""

from dataclasses import replace
from inspect import signature
from typing import Any

import pytest
import torch
from plain_diffusers import SETTINGS, edges, read_scheduler_config, reference
from style_pack.generation.denoise import _clean
from style_pack.generation.device import TorchDevice
from style_pack.generation.loading.pipeline import StylePipeline
from style_pack.generation.plan import noise_levels
from style_pack.generation.sampler import generate
from style_pack.generation.schedulers import SCHEDULERS, build_scheduler


@pytest.mark.parametrize("scheduler", ["ddim", "euler", "euler_karras", "euler_ancestral", "lms", "ddpm"])
def test_a_step_shows_the_picture_that_the_models_predict_and_not_the_noisy_one(
    pipeline: StylePipeline, monkeypatch: pytest.MonkeyPatch, scheduler: str
) -> None:
    """These schedulers of diffusers tell it themselves."""
    settings = replace(SETTINGS, scheduler=scheduler, num_inference_steps=6)
    told: list[torch.Tensor] = []
    shown: list[torch.Tensor] = []
    made = type(build_scheduler(scheduler, pipeline.scheduler_config))
    step = made.step

    def telling(self: Any, *given: Any, return_dict: bool, **options: Any) -> Any:
        result = step(self, *given, **options, return_dict=True)
        told.append(result.pred_original_sample)
        return (result.prev_sample,)

    telling.__signature__ = signature(step)  # type: ignore[attr-defined]
    monkeypatch.setattr(made, "step", telling)
    generate(pipeline, settings, edges(), [reference()], lambda number, steps, clean: shown.append(clean))
    assert len(shown) == len(told) == 6
    for ours, theirs in zip(shown, told, strict=True):
        assert (ours - theirs).abs().max() <= 0.02 * theirs.abs().max()


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_what_is_shown_last_is_nearly_the_picture(pipeline: StylePipeline, scheduler: str) -> None:
    shown: list[torch.Tensor] = []
    settings = replace(SETTINGS, scheduler=scheduler, num_inference_steps=8)
    result = generate(pipeline, settings, edges(), [reference()], lambda step, steps, clean: shown.append(clean))
    off = [float((clean - result.latents).abs().mean()) for clean in shown]
    allowed = 0.18 if scheduler == "pndm" else 0.15  # pndm's last step mixes in those before it
    assert off[-1] < allowed * float(result.latents.abs().mean())
    assert off[-1] < off[0]


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_the_clean_latents_are_found_whatever_is_predicted(prediction: str) -> None:
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(2, 4, 8, 8, generator=generator) for _ in range(2))
    some_signal = {"rescale_betas_zero_snr": False}  # where there is none, the noise tells nothing
    scheduler = build_scheduler("ddim", read_scheduler_config() | {"prediction_type": prediction} | some_signal)
    scheduler.set_timesteps(5)
    for time, sigma in zip(scheduler.timesteps, noise_levels(scheduler), strict=True):
        entering = scheduler.add_noise(clean, noise, time[None])
        predicted = {"epsilon": noise, "sample": clean}.get(
            prediction, scheduler.get_velocity(clean, noise, time[None])
        )
        assert (_clean(entering, predicted, sigma, scheduler) - clean).abs().max() <= 1e-3


def test_an_interrupt_ends_encoding_and_decoding_between_two_layers(
    pipeline: StylePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blocks of a model are counted, and every one of them can be the last."""
    calls: list[str] = []

    class Interrupted(Exception):
        pass

    def run(stop_at: int) -> None:
        def check() -> None:
            calls.append("")
            if len(calls) == stop_at:
                raise Interrupted

        calls.clear()
        device = TorchDevice()
        monkeypatch.setattr(device, "check_interrupted", check)
        watched = replace(pipeline, device=device, encodings={})
        generate(watched, replace(SETTINGS, num_inference_steps=1), edges(), [reference()])

    run(-1)
    blocks = len(calls)
    assert blocks > 50
    whole = generate(pipeline, SETTINGS, edges(), [reference()]).images
    for stop_at in (1, blocks // 2, blocks):  # in the text encoder, in between, in the VAE
        with pytest.raises(Interrupted):
            run(stop_at)
        assert len(calls) == stop_at
    calls.clear()
    assert torch.equal(generate(pipeline, SETTINGS, edges(), [reference()]).images, whole)
    assert calls == []
