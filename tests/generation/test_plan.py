"""What each speed does at each step, as values."""

from dataclasses import replace

import pytest
from plain_diffusers import SETTINGS, read_scheduler_config
from style_pack.generation.plan import GUIDED_SIGMAS, Step, plan_steps
from style_pack.generation.schedulers import build_scheduler
from style_pack.generation.settings import GenerationSettings
from style_pack.generation.turbo import is_distilled, turbo_settings

EIGHT = replace(SETTINGS, num_inference_steps=8)


def steps_of(settings: GenerationSettings, with_control: bool = True, with_style: bool = True) -> list[Step]:
    scheduler = build_scheduler(settings.scheduler, read_scheduler_config())
    scheduler.set_timesteps(settings.num_inference_steps)
    return plan_steps(settings, scheduler, with_control, with_style)


def test_exact_guides_at_every_step_and_takes_nothing_over() -> None:
    assert steps_of(EIGHT) == [Step(True, 1.0, 0.8)] * 8
    assert steps_of(replace(EIGHT, guidance_scale=1.0), with_style=False) == [Step(False, 1.0, 0.0)] * 8
    assert steps_of(EIGHT, with_control=False) == [Step(True, 0.0, 0.8)] * 8


def test_strengths_begin_and_end_where_they_are_told_to() -> None:
    settings = replace(EIGHT, control_guidance_end=0.5, ip_adapter_start=0.25, ip_adapter_end=0.75)
    steps = steps_of(settings)
    assert [step.control for step in steps] == [1.0] * 4 + [0.0] * 4
    assert [step.style for step in steps] == [0.0] * 2 + [0.8] * 4 + [0.0] * 2


def test_balanced_guides_in_an_interval_of_noise_and_takes_over_every_second_step() -> None:
    scheduler = build_scheduler("ddim", read_scheduler_config())
    scheduler.set_timesteps(8)
    alphas = [float(scheduler.alphas_cumprod[int(time)]) for time in scheduler.timesteps]
    inside = [GUIDED_SIGMAS[0] ** 2 < (1 - alpha) / max(alpha, 1e-12) <= GUIDED_SIGMAS[1] ** 2 for alpha in alphas]
    steps = steps_of(replace(EIGHT, speed="balanced"))
    assert [step.guided for step in steps] == inside
    assert 0 < sum(inside) < 8
    for before, step in zip(steps, steps[1:], strict=False):
        assert step.reuse == (not before.reuse and before == replace(step, reuse=False))
    assert not steps[0].reuse


def test_a_step_takes_nothing_over_where_the_control_ends() -> None:
    steps = steps_of(replace(EIGHT, speed="balanced", guidance_scale=1.0, control_guidance_end=0.4))
    assert [step.control for step in steps] == [1.0] * 3 + [0.0] * 5
    assert [step.reuse for step in steps] == [False, True, False, False, True, False, True, False]


@pytest.mark.parametrize(
    ("name", "steps", "made_for"),
    [
        ("lcm-lora-sdv1-5.safetensors", 20, ("lcm", 8, 1.0)),
        ("my LCM.safetensors", 6, ("lcm", 6, 1.0)),
        ("lcm.safetensors", 1, ("lcm", 4, 1.0)),
        ("Hyper-SD15-8steps-lora.safetensors", 20, ("ddim_trailing", 8, 1.0)),
        ("hyper_sd15_4step_lora.safetensors", 20, ("ddim_trailing", 4, 1.0)),
    ],
)
def test_turbo_samples_as_its_lora_was_made_for(name: str, steps: int, made_for: tuple[str, int, float]) -> None:
    settings = replace(SETTINGS, num_inference_steps=steps, speed="turbo")
    made = turbo_settings(settings, ["ink.safetensors", name])
    assert (made.scheduler, made.num_inference_steps, made.guidance_scale) == made_for
    assert replace(made, scheduler="ddim", num_inference_steps=steps, guidance_scale=4.0) == settings


def test_turbo_without_a_distilled_lora_says_what_to_get() -> None:
    with pytest.raises(ValueError, match="speed turbo needs a LoRA that was distilled .* put lcm-lora-sdv1-5"):
        turbo_settings(SETTINGS, ["ink.safetensors", "calcmap.safetensors", "Hyper-SD15-1step-lora.safetensors"])
    assert [is_distilled(name) for name in ("lcm.safetensors", "welcme.safetensors")] == [True, False]
