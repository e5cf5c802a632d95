"""Every number that decides a picture, checked once. Knows no model."""

from dataclasses import dataclass
from numbers import Integral
from typing import Any

from .schedulers import SCHEDULERS

MIN_SIDE = 64
MAX_SIDE = 2048
MAX_PROMPT_CHARACTERS = 8000
MAX_SEED = 2**64 - 1
MAX_LCM_STEPS = 50  # the steps of the solver that they were distilled from: `original_inference_steps` of LCMScheduler
MAX_CLIP_SKIP = 4
STYLE_MODES = ("full", "style", "composition")
SPEEDS = ("exact", "balanced", "turbo")
COMBINATIONS = ("joined", "averaged")
REFERENCE_FITS = ("crop", "pad", "stretch", "crops")
PREDICTIONS = ("auto", "epsilon", "v_prediction")

# Widget -> the setting that it is, where that has another name: settings are named as in diffusers.
SETTING_OF = {
    "steps": "num_inference_steps",
    "cfg": "guidance_scale",
    "batch_size": "num_images",
    "control_strength": "controlnet_conditioning_scale",
    "control_start": "control_guidance_start",
    "control_end": "control_guidance_end",
    "style_strength": "ip_adapter_scale",
    "style_start": "ip_adapter_start",
    "style_end": "ip_adapter_end",
    "prediction": "prediction_type",
}

# Widget -> its range. ComfyUI checks what is typed into a widget, but not what is linked to it,
# and takes NaN for a number that lies in any range.
INTEGER_RANGES = {"seed": (0, MAX_SEED), "steps": (1, 150), "batch_size": (1, 16)}
FLOAT_RANGES = {"cfg": (1, 30), "control_strength": (0, 2), "style_strength": (0, 2)}


@dataclass(frozen=True)
class GenerationSettings:
    """Every number and text that decides a picture, by diffusers' names and ranges; checked when it is made.

    Names are those of StableDiffusionControlNetPipeline. The starts and ends are shares of the steps, 0 to 1.
    seed: of the first picture; picture n has `seed + n`.
    width, height: pixels.
    num_images: how many pictures.
    clip_skip: the layer of the text encoder that is read, counted from its last, 1: ComfyUI's stop_at_clip_layer is
        -clip_skip.
    prediction_type: what the UNet predicts; `auto` is what the base model's files say.
    """

    prompt: str
    negative_prompt: str
    seed: int
    num_inference_steps: int
    guidance_scale: float
    scheduler: str
    width: int
    height: int
    num_images: int = 1
    controlnet_conditioning_scale: float = 1.0
    control_guidance_start: float = 0.0
    control_guidance_end: float = 1.0
    ip_adapter_scale: float = 0.6
    ip_adapter_start: float = 0.0
    ip_adapter_end: float = 1.0
    style_mode: str = "full"
    speed: str = "exact"
    combine: str = "joined"
    reference_fit: str = "crop"
    clip_skip: int = 1
    prediction_type: str = "auto"

    def __post_init__(self) -> None:
        check_prompt(self.prompt, "prompt")
        check_prompt(self.negative_prompt, "negative_prompt")
        check_size(self.width, self.height)
        for widget, (low, high) in (INTEGER_RANGES | FLOAT_RANGES).items():
            setting = SETTING_OF.get(widget, widget)
            _check_number(widget, getattr(self, setting), low, high, widget in INTEGER_RANGES)
        _check_range("control", self.control_guidance_start, self.control_guidance_end)
        _check_range("style", self.ip_adapter_start, self.ip_adapter_end)
        choices_of = {"scheduler": SCHEDULERS, "style_mode": STYLE_MODES, "speed": SPEEDS}
        choices_of |= {"combine": COMBINATIONS, "reference_fit": REFERENCE_FITS, "prediction": PREDICTIONS}
        for name, choices in choices_of.items():
            if (chosen := getattr(self, SETTING_OF.get(name, name))) not in choices:
                raise ValueError(f"{name} '{chosen}' does not exist: choose one of {', '.join(choices)}.")
        if not 1 <= self.clip_skip <= MAX_CLIP_SKIP:
            raise ValueError(f"clip_skip is {self.clip_skip}: choose 1 (the last layer) to {MAX_CLIP_SKIP}.")
        if self.scheduler == "lcm" and self.num_inference_steps > MAX_LCM_STEPS:
            raise ValueError(
                f"steps is {self.num_inference_steps}, and the scheduler lcm takes at most {MAX_LCM_STEPS}: LCM models "
                "are made for 4 to 8."
            )

    @classmethod
    def from_widgets(cls, **widgets: Any) -> "GenerationSettings":
        """Return the settings that ControlNetIPAdapterSampler's widgets say, by the widgets' names."""
        return cls(**{SETTING_OF.get(name, name): value for name, value in widgets.items()})


def check_prompt(text: str, name: str) -> None:
    """Raise ValueError when a text is longer than any prompt has reason to be."""
    if len(text) > MAX_PROMPT_CHARACTERS:
        raise ValueError(
            f"{name} has {len(text):,} characters ({len(text.split()):,} words); at most "
            f"{MAX_PROMPT_CHARACTERS:,} are allowed: shorten it."
        )


def check_size(width: int, height: int) -> None:
    """Raise ValueError unless both sides, in pixels, are multiples of 8 that the models can work at."""
    if not (MIN_SIDE <= width <= MAX_SIDE and MIN_SIDE <= height <= MAX_SIDE):
        raise ValueError(
            f"a picture of {width}x{height} can't be made: each side must be {MIN_SIDE} to {MAX_SIDE} pixels "
            "(512 suits SD 1.5); set width and height on CannyFromSketch."
        )
    if width % 8 or height % 8:
        raise ValueError(f"a picture of {width}x{height} can't be made: both sides must be multiples of 8.")


def _check_number(name: str, value: float, low: int, high: int, whole: bool) -> None:
    if not low <= value <= high or (whole and not isinstance(value, Integral)):
        raise ValueError(f"{name} is {value}: choose a {'whole ' * whole}number from {low} to {high}.")


def _check_range(name: str, start: float, end: float) -> None:
    if not 0 <= start < end <= 1:
        raise ValueError(
            f"{name}_start is {start:g} and {name}_end is {end:g}: start must lie below end, both between 0 and 1."
        )
