"""The schedulers on offer, each built from the checkpoint's own scheduler config."""

from typing import Any

_SIGMAS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
_MULTISTEP = "DPMSolverMultistepScheduler"


def _with_sigmas(name: str, class_name: str, **changes: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return a scheduler with the sigmas of its timesteps, and with Karras's, exponential and beta sigmas."""
    plain = changes | dict.fromkeys(_SIGMAS, False)
    spaced = {f"{name}_{sigmas.split('_')[1]}": (class_name, plain | {sigmas: True}) for sigmas in _SIGMAS}
    return {name: (class_name, plain)} | spaced


# Name on the widget, as ComfyUI's users know it -> diffusers class and what it changes in the checkpoint's config.
# The first is the widget's default.
SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "dpmpp_2m_karras": (_MULTISTEP, {}),  # its place; what it is comes with the next line
    **_with_sigmas("dpmpp_2m", _MULTISTEP, algorithm_type="dpmsolver++", solver_order=2),
    **_with_sigmas("dpmpp_2m_sde", _MULTISTEP, algorithm_type="sde-dpmsolver++", solver_order=2),
    **_with_sigmas("dpmpp_3m", _MULTISTEP, algorithm_type="dpmsolver++", solver_order=3),
    **_with_sigmas("euler", "EulerDiscreteScheduler"),
    "euler_ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
    "ddim_trailing": ("DDIMScheduler", {"timestep_spacing": "trailing"}),
    "ddpm": ("DDPMScheduler", {}),
    **_with_sigmas("unipc", "UniPCMultistepScheduler"),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    **_with_sigmas("lms", "LMSDiscreteScheduler"),
    **_with_sigmas("heun", "HeunDiscreteScheduler"),
    **_with_sigmas("dpm_2", "KDPM2DiscreteScheduler"),
    **_with_sigmas("dpm_2_ancestral", "KDPM2AncestralDiscreteScheduler"),
    **_with_sigmas("deis", "DEISMultistepScheduler"),
    "lcm": ("LCMScheduler", {}),
}


def build_scheduler(name: str, config: dict[str, Any]) -> Any:
    """Return a new scheduler, for a scheduler carries the state of one run."""
    import diffusers

    class_name, changes = SCHEDULERS[name]
    return getattr(diffusers, class_name).from_config(config, **changes)
