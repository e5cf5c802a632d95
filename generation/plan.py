"""What happens at each step: guidance, ControlNet, style, and what is taken over from before. Knows no model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .settings import GenerationSettings

# Guidance only where the noise level sigma lies in (low, high]: below it guidance has no effect and above it, it costs
# variety. The interval is what Kynkäänniemi et al. found for Stable Diffusion XL (arXiv 2404.07724, section 4.2), which
# has SD 1.5's noise schedule.
GUIDED_SIGMAS = (0.28, 5.42)
# Every so many steps all of the UNet is computed, between them only its outermost level (DeepCache, arXiv 2312.00858).
FULL_EVERY = 2


@dataclass(frozen=True)
class Step:
    """What is computed at one step.

    guided: whether both halves of guidance are.
    control, style: strengths, 0 = not at all.
    reuse: whether the deep features and ControlNet's output are those of the last step without it.
    """

    guided: bool
    control: float
    style: float
    reuse: bool = False


def plan_steps(settings: GenerationSettings, scheduler: Any, with_control: bool, with_style: bool) -> list[Step]:
    """Return a step for each of the scheduler's timesteps, which must be set.

    Strengths follow diffusers' rule for `control_guidance_start` and `_end`: a step counts when all of it lies inside.
    """
    control = (settings.control_guidance_start, settings.control_guidance_end)
    style = (settings.ip_adapter_start, settings.ip_adapter_end)
    control_scale = settings.controlnet_conditioning_scale if with_control else 0.0
    style_scale = settings.ip_adapter_scale if with_style else 0.0
    total = len(scheduler.timesteps)
    steps = []
    for number, sigma in enumerate(noise_levels(scheduler)):
        inside = settings.speed != "balanced" or GUIDED_SIGMAS[0] < sigma <= GUIDED_SIGMAS[1]
        steps.append(
            Step(
                guided=settings.guidance_scale > 1 and inside,
                control=control_scale if _covers(control, number, total) else 0.0,
                style=style_scale if _covers(style, number, total) else 0.0,
            )
        )
    return _with_reuse(steps) if settings.speed == "balanced" else steps


def _covers(share: tuple[float, float], number: int, total: int) -> bool:
    return share[0] <= number / total and (number + 1) / total <= share[1]


def noise_levels(scheduler: Any) -> list[float]:
    """Return the noise level of each timestep, noise to signal, from the checkpoint's own schedule."""
    alphas = scheduler.alphas_cumprod
    kept = [float(alphas[min(max(round(float(t)), 0), len(alphas) - 1)]) for t in scheduler.timesteps]
    return [((1 - alpha) / max(alpha, 1e-12)) ** 0.5 for alpha in kept]


def _with_reuse(steps: list[Step]) -> list[Step]:
    """Let a step take over from the last full one where nothing but the noise has changed since."""
    planned: list[Step] = []
    for step in steps:
        same = bool(planned) and replace(planned[-1], reuse=False) == step
        planned.append(replace(step, reuse=same and not all(late.reuse for late in planned[1 - FULL_EVERY :])))
    return planned
