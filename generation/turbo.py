"""`turbo`: 4 to 8 steps without guidance, by a LoRA that was distilled for them. Knows such files by their names.

A header cannot tell what a LoRA was distilled for. LCM-LoRA (Luo et al. 2023, arXiv 2311.05556) takes 4 to 8 steps of
its own scheduler; Hyper-SD (Ren et al. 2024, arXiv 2404.13686) has a file for each number of steps, for DDIM with
trailing timesteps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from .settings import GenerationSettings

MIN_STEPS, MAX_STEPS = 4, 8
_LCM = re.compile(r"(^|[^a-z])lcm([^a-z]|$)", re.IGNORECASE)
_HYPER = re.compile(r"hyper[-_]?sd15[-_](?P<steps>[48])steps?[-_]lora", re.IGNORECASE)


def is_distilled(name: str) -> bool:
    """Tell whether a LoRA file's name is one that `turbo` knows how to sample with."""
    return bool(_HYPER.search(name) or _LCM.search(name))


def turbo_settings(settings: GenerationSettings, loras: Iterable[str]) -> GenerationSettings:
    """Return the settings that the first distilled LoRA among the names was made for: scheduler, steps, no guidance.

    Raises ValueError in one sentence when none is there.
    """
    for name in loras:
        if match := _HYPER.search(name):
            return replace(
                settings, scheduler="ddim_trailing", guidance_scale=1.0, num_inference_steps=int(match["steps"])
            )
        if _LCM.search(name):
            steps = min(max(settings.num_inference_steps, MIN_STEPS), MAX_STEPS)
            return replace(settings, scheduler="lcm", guidance_scale=1.0, num_inference_steps=steps)
    raise ValueError(
        "speed turbo needs a LoRA that was distilled for few steps, and there is none: put lcm-lora-sdv1-5.safetensors "
        "(https://huggingface.co/latent-consistency/lcm-lora-sdv1-5, saved under a name with 'lcm') or "
        "Hyper-SD15-8steps-lora.safetensors (https://huggingface.co/ByteDance/Hyper-SD) into models/loras, or choose "
        "speed exact or balanced."
    )
