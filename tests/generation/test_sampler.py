"""Our sampler against plain diffusers on the bundled models, and what must not leak from one run into the next."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
import torch
from plain_diffusers import LATENTS, SETTINGS, edges, plain, reference
from style_pack.generation.conditioning.references import Reference, encode_pictures
from style_pack.generation.layers.deep_cache import DeepFeatures
from style_pack.generation.loading.pipeline import StylePipeline
from style_pack.generation.sampler import generate
from style_pack.generation.schedulers import SCHEDULERS, build_scheduler


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_gives_diffusers_own_latents(pipeline: StylePipeline, scheduler: str) -> None:
    settings = replace(SETTINGS, scheduler=scheduler)
    ours = generate(pipeline, settings, edges(), [reference()]).latents
    assert (ours - plain(settings, edges(), reference())).abs().max() <= LATENTS


@pytest.mark.parametrize("scheduler", ["dpmpp_2m_karras", "dpmpp_2m_beta", "unipc_beta", "deis_beta"])
def test_a_first_timestep_that_rounding_has_doubled_ends_no_run(pipeline: StylePipeline, scheduler: str) -> None:
    made = build_scheduler(scheduler, pipeline.scheduler_config)
    made.set_timesteps(32)
    assert made.timesteps[0] == made.timesteps[1]
    settings = replace(SETTINGS, scheduler=scheduler, num_inference_steps=32)
    assert generate(pipeline, settings, None, []).images.isfinite().all()


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_is_finite_from_one_step_on(pipeline: StylePipeline, scheduler: str) -> None:
    for steps in (1, 2):
        settings = replace(SETTINGS, scheduler=scheduler, num_inference_steps=steps)
        assert generate(pipeline, settings, None, []).images.isfinite().all()


@pytest.mark.parametrize("with_edges", [True, False])
@pytest.mark.parametrize("with_style", [True, False])
@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_with_and_without_each_adapter_it_is_diffusers_own_latents(
    pipeline: StylePipeline, with_edges: bool, with_style: bool, guidance: float
) -> None:
    settings = replace(SETTINGS, guidance_scale=guidance, control_guidance_end=0.7)
    control, style = edges() if with_edges else None, reference() if with_style else None
    ours = generate(pipeline, settings, control, [style] if style else []).latents
    assert (ours - plain(settings, control, style)).abs().max() <= LATENTS


def test_what_does_not_change_over_the_steps_is_computed_once(
    pipeline: StylePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, unet = pipeline.denoiser.controlnet, pipeline.denoiser.unet
    cross = unet.mid_block.attentions[0].transformer_blocks[0].attn2
    seen: list[torch.Tensor] = []

    def watch(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def watched(given: torch.Tensor, weight: torch.Tensor, *others: Any) -> torch.Tensor:
            seen.append(weight)
            return function(given, weight, *others)

        return watched

    monkeypatch.setattr(torch.nn.functional, "linear", watch(torch.nn.functional.linear))
    monkeypatch.setattr(torch.nn.functional, "conv2d", watch(torch.nn.functional.conv2d))
    generate(pipeline, replace(SETTINGS, num_inference_steps=4), edges(), [reference()])
    constant = [
        net.controlnet_cond_embedding.conv_in,
        unet.encoder_hid_proj.image_projection_layers[0].image_embeds,
        *(cross.to_k, cross.to_v, cross.processor.to_k_ip[0], cross.processor.to_v_ip[0]),
    ]
    assert [sum(weight is layer.weight for weight in seen) for layer in constant] == [1] * len(constant)
    assert sum(weight is cross.to_q.weight for weight in seen) == 4


def test_balanced_does_less_work_and_leaves_nothing_behind(pipeline: StylePipeline) -> None:
    settings = replace(SETTINGS, num_inference_steps=8)
    exact = generate(pipeline, settings, edges(), [reference()])
    passes: list[int] = []
    hook = pipeline.denoiser.unet.mid_block.register_forward_pre_hook(lambda block, given: passes.append(len(given[0])))
    balanced = generate(pipeline, replace(settings, speed="balanced"), edges(), [reference()])
    hook.remove()
    assert 0 < sum(passes) <= 8  # of 16: two halves a step
    assert balanced.images.isfinite().all()
    assert (balanced.images - exact.images).abs().max() > 0.01
    assert torch.equal(generate(pipeline, settings, edges(), [reference()]).latents, exact.latents)


def test_a_step_with_kept_features_of_the_same_input_is_the_full_step(pipeline: StylePipeline) -> None:
    unet = pipeline.denoiser.unet
    generator = torch.Generator().manual_seed(3)
    noisy, text = (torch.randn(shape, generator=generator) for shape in ((2, 4, 8, 8), (2, 77, 128)))
    added = {"image_embeds": [torch.randn(2, 1, pipeline.image_encoder.config.projection_dim, generator=generator)]}
    with torch.inference_mode(), DeepFeatures(unet) as deep:
        whole = unet(noisy, torch.tensor(500), encoder_hidden_states=text, added_cond_kwargs=added).sample
        assert torch.equal(deep.shallow(noisy, torch.tensor(500), text, added, {}), whole)


def test_style_modes_switch_blocks_and_leave_nothing_behind(pipeline: StylePipeline) -> None:
    full = generate(pipeline, SETTINGS, edges(), [reference()]).latents
    seen = {}
    for mode in ("style", "composition"):
        seen[mode] = generate(pipeline, replace(SETTINGS, style_mode=mode), edges(), [reference()]).latents
        scales = {
            name: processor.scale[0]
            for name, processor in pipeline.denoiser.unet.attn_processors.items()
            if hasattr(processor, "scale")
        }
        on = {name.split(".attentions")[0] for name, scale in scales.items() if scale == 0.8}
        off = {name.split(".attentions")[0] for name, scale in scales.items() if scale == 0}
        assert on == {"style": {"up_blocks.0"}, "composition": {"down_blocks.2", "mid_block"}}[mode]
        assert on | off == {"down_blocks.1", "down_blocks.2", "mid_block", "up_blocks.0", "up_blocks.1"}
    none = generate(pipeline, SETTINGS, edges(), []).latents
    assert all((one - other).abs().max() > 1e-3 for one, other in combinations([full, none, *seen.values()], 2))
    assert torch.equal(generate(pipeline, SETTINGS, edges(), [reference()]).latents, full)


def test_a_batch_is_its_seeds_one_by_one(pipeline: StylePipeline) -> None:
    batch = generate(pipeline, replace(SETTINGS, num_images=2), edges(), [reference()]).latents
    assert (batch - plain(replace(SETTINGS, num_images=2), edges(), reference())).abs().max() <= LATENTS
    second = generate(pipeline, replace(SETTINGS, seed=SETTINGS.seed + 1), edges(), [reference()]).latents
    assert (batch[1:] - second).abs().max() <= LATENTS


def test_the_same_seed_gives_the_same_picture_and_another_seed_another(pipeline: StylePipeline) -> None:
    first = generate(pipeline, SETTINGS, edges(), [reference()]).latents
    other = generate(pipeline, replace(SETTINGS, seed=8), edges(), [reference()]).latents
    again = generate(pipeline, SETTINGS, edges(), [reference()]).latents
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_each_conditioning_changes_the_picture(pipeline: StylePipeline) -> None:
    base = generate(pipeline, SETTINGS, edges(), [reference()]).latents
    for changed in (
        generate(pipeline, replace(SETTINGS, prompt="a boat"), edges(), [reference()]),
        generate(pipeline, SETTINGS, edges().flip(-1), [reference()]),
        generate(pipeline, SETTINGS, edges(), [reference(1)]),
        generate(pipeline, SETTINGS, edges(), [reference(), reference(1)]),
    ):
        assert (changed.latents - base).abs().max() > 1e-4


def test_style_start_and_end_bound_the_steps_that_see_the_reference(pipeline: StylePipeline) -> None:
    settings = replace(SETTINGS, num_inference_steps=4, ip_adapter_start=0.25, ip_adapter_end=0.75)
    seen: list[float] = []

    def watch(step: int, steps: int, latents: torch.Tensor) -> None:
        processors = pipeline.denoiser.unet.attn_processors.values()
        seen.append(next(p.scale[0] for p in processors if hasattr(p, "scale")))

    late = generate(pipeline, settings, edges(), [reference()], watch).latents
    assert seen == [0.0, 0.8, 0.8, 0.0]
    full = generate(pipeline, replace(settings, ip_adapter_start=0.0, ip_adapter_end=1.0), edges(), [reference()])
    assert (late - full.latents).abs().max() > 1e-4
    assert torch.equal(late, generate(pipeline, settings, edges(), [reference()]).latents)


def test_an_interrupt_ends_the_run_within_the_step_and_leaves_nothing_behind(pipeline: StylePipeline) -> None:
    whole = generate(pipeline, SETTINGS, edges(), [reference()]).latents
    steps: list[int] = []

    class Interrupted(Exception):
        pass

    def stop(step: int, total: int, latents: torch.Tensor) -> None:
        steps.append(step)
        raise Interrupted

    with pytest.raises(Interrupted):
        generate(pipeline, replace(SETTINGS, seed=99), edges(), [reference()], stop)
    assert steps == [1]
    assert torch.equal(whole, generate(pipeline, SETTINGS, edges(), [reference()]).latents)


def test_a_prompt_of_several_windows_is_not_cut(pipeline: StylePipeline) -> None:
    long = "a house " * 60
    first = generate(pipeline, replace(SETTINGS, prompt=long + "blueprint"), edges(), []).latents
    second = generate(pipeline, replace(SETTINGS, prompt=long + "watercolour"), edges(), []).latents
    assert (first - second).abs().max() > 1e-5


def test_a_stored_encoding_gives_the_picture_of_a_fresh_one_without_the_encoder(
    pipeline: StylePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = generate(pipeline, SETTINGS, edges(), [reference(), reference(1)]).latents
    stored = [
        Reference(style.picture, encode_pictures(pipeline, [style.picture]).numpy()[0])
        for style in (reference(), reference(1))
    ]
    monkeypatch.setattr(pipeline.image_encoder, "forward", None)
    assert (generate(pipeline, SETTINGS, edges(), stored).latents - fresh).abs().max() <= LATENTS


def test_what_is_said_of_the_prediction_takes_the_place_of_what_the_files_say(pipeline: StylePipeline) -> None:
    def latents(by_the_files: str, said: str) -> torch.Tensor:
        config = pipeline.scheduler_config | {"prediction_type": by_the_files, "rescale_betas_zero_snr": False}
        settings = replace(SETTINGS, prediction_type=said)
        return generate(replace(pipeline, scheduler_config=config), settings, None, []).latents

    for meant, other in (("epsilon", "v_prediction"), ("v_prediction", "epsilon")):
        assert torch.equal(latents(other, meant), latents(meant, "auto"))
        assert not torch.equal(latents(meant, "auto"), latents(other, "auto"))
    with pytest.raises(ValueError, match="prediction 'flow' does not exist: choose one of auto, epsilon, v_prediction"):
        replace(SETTINGS, prediction_type="flow")
