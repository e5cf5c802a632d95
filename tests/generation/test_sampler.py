"""Our sampler against plain diffusers on the bundled models, and what must not leak from one run into the next."""

from dataclasses import replace

import pytest
import torch
from plain_diffusers import PICTURES, SETTINGS, edges, plain, reference
from style_pack.generation.conditioning import Reference, encode_pictures
from style_pack.generation.pipeline import StylePipeline
from style_pack.generation.sampler import generate
from style_pack.generation.schedulers import SCHEDULERS


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_gives_diffusers_own_picture(pipeline: StylePipeline, scheduler: str) -> None:
    settings = replace(SETTINGS, scheduler=scheduler)
    ours = generate(pipeline, settings, edges(), [reference()]).images
    assert (ours - plain(settings, edges(), reference())).abs().max() <= PICTURES


@pytest.mark.parametrize("with_edges", [True, False])
@pytest.mark.parametrize("with_style", [True, False])
@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_with_and_without_each_adapter_it_is_diffusers_own_picture(
    pipeline: StylePipeline, with_edges: bool, with_style: bool, guidance: float
) -> None:
    settings = replace(SETTINGS, guidance_scale=guidance, control_guidance_end=0.7)
    control, style = edges() if with_edges else None, reference() if with_style else None
    ours = generate(pipeline, settings, control, [style] if style else []).images
    assert (ours - plain(settings, control, style)).abs().max() <= PICTURES


def test_a_batch_is_its_seeds_one_by_one(pipeline: StylePipeline) -> None:
    batch = generate(pipeline, replace(SETTINGS, num_images=2), edges(), [reference()]).images
    assert (batch - plain(replace(SETTINGS, num_images=2), edges(), reference())).abs().max() <= PICTURES
    second = generate(pipeline, replace(SETTINGS, seed=SETTINGS.seed + 1), edges(), [reference()]).images
    assert (batch[1:] - second).abs().max() <= PICTURES


def test_the_same_seed_gives_the_same_picture_and_another_seed_another(pipeline: StylePipeline) -> None:
    first = generate(pipeline, SETTINGS, edges(), [reference()]).images
    other = generate(pipeline, replace(SETTINGS, seed=8), edges(), [reference()]).images
    again = generate(pipeline, SETTINGS, edges(), [reference()]).images
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_each_conditioning_changes_the_picture(pipeline: StylePipeline) -> None:
    base = generate(pipeline, SETTINGS, edges(), [reference()]).images
    for changed in (
        generate(pipeline, replace(SETTINGS, prompt="a boat"), edges(), [reference()]),
        generate(pipeline, SETTINGS, edges().flip(-1), [reference()]),
        generate(pipeline, SETTINGS, edges(), [reference(1)]),
        generate(pipeline, SETTINGS, edges(), [reference(), reference(1)]),
    ):
        assert (changed.images - base).abs().max() > 1e-6


def test_style_start_and_end_bound_the_steps_that_see_the_reference(pipeline: StylePipeline) -> None:
    settings = replace(SETTINGS, num_inference_steps=4, ip_adapter_start=0.25, ip_adapter_end=0.75)
    seen: list[float] = []

    def watch(step: int, steps: int, latents: torch.Tensor) -> None:
        processors = pipeline.denoiser.unet.attn_processors.values()
        seen.append(next(p.scale[0] for p in processors if hasattr(p, "scale")))

    late = generate(pipeline, settings, edges(), [reference()], watch).images
    assert seen == [0.0, 0.8, 0.8, 0.0]
    full = generate(pipeline, replace(settings, ip_adapter_start=0.0, ip_adapter_end=1.0), edges(), [reference()])
    assert (late - full.images).abs().max() > 1e-6
    assert torch.equal(late, generate(pipeline, settings, edges(), [reference()]).images)


def test_an_interrupt_ends_the_run_within_the_step_and_leaves_nothing_behind(pipeline: StylePipeline) -> None:
    whole = generate(pipeline, SETTINGS, edges(), [reference()]).images
    steps: list[int] = []

    class Interrupted(Exception):
        pass

    def stop(step: int, total: int, latents: torch.Tensor) -> None:
        steps.append(step)
        raise Interrupted

    with pytest.raises(Interrupted):
        generate(pipeline, replace(SETTINGS, seed=99), edges(), [reference()], stop)
    assert steps == [1]
    assert torch.equal(whole, generate(pipeline, SETTINGS, edges(), [reference()]).images)


def test_a_prompt_of_several_windows_is_not_cut(pipeline: StylePipeline) -> None:
    long = "a house " * 60
    first = generate(pipeline, replace(SETTINGS, prompt=long + "blueprint"), edges(), []).images
    second = generate(pipeline, replace(SETTINGS, prompt=long + "watercolour"), edges(), []).images
    assert (first - second).abs().max() > 1e-5


def test_a_stored_encoding_gives_the_picture_of_a_fresh_one_without_the_encoder(
    pipeline: StylePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = generate(pipeline, SETTINGS, edges(), [reference(), reference(1)]).images
    stored = [
        Reference(style.picture, encode_pictures(pipeline, [style.picture]).numpy()[0])
        for style in (reference(), reference(1))
    ]
    monkeypatch.setattr(pipeline.image_encoder, "forward", None)
    assert (generate(pipeline, SETTINGS, edges(), stored).images - fresh).abs().max() <= PICTURES
