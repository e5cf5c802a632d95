"""ControlNetIPAdapterSampler: prompt, edges and references to pictures."""

import json
from collections.abc import Callable
from functools import partial

import comfy.latent_formats
import comfy.model_management as mm
import comfy.utils
import latent_preview
import torch
from comfy_api.latest import io

from ..generation.schedulers import SCHEDULERS
from ..generation.settings import (
    MAX_CLIP_SKIP,
    MAX_SEED,
    PREDICTIONS,
    SPEEDS,
    STYLE_MODES,
    GenerationSettings,
    check_prompt,
)
from ..retrieval.pictures.reader import content_id
from . import provenance
from .host import threads
from .host.requirements import GENERATION, find_mistakes, require
from .sampler_inputs import read_request
from .sockets import StylePipelineSocket, StyleReferencesSocket
from .style_inputs import style_inputs

_CLIP_SKIP = (
    "Which layer of the text encoder is read, counted from its last, 1. Choose 2 when the model's author says so."
)


class ControlNetIPAdapterSampler(io.ComfyNode):
    """Paints the edges in the references' style."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        share = "As a share of the steps, 0 to 1."
        size = "In pixels, a multiple of 8. 0 takes the size of the edges. Without edges set both sides."
        return io.Schema(
            node_id="ControlNetIPAdapterSampler",
            display_name="ControlNet + IP-Adapter Sampler",
            category="Style RAG",
            description="Paints a picture. Its structure follows the edges, and its style follows the references. "
            "Without edges there is no ControlNet. Without references there is no style.",
            inputs=[
                StylePipelineSocket.Input("pipeline", lazy=True, tooltip="From Load Style Pipeline."),
                io.String.Input(
                    "prompt",
                    multiline=True,
                    default="",
                    dynamic_prompts=True,
                    tooltip="What the picture shows. Any length.",
                ),
                io.String.Input(
                    "negative_prompt",
                    multiline=True,
                    default="",
                    dynamic_prompts=True,
                    tooltip="What it must not show.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=True,
                    tooltip="The same seed gives the same picture. Picture n of a batch has seed + n.",
                ),
                io.Int.Input("steps", default=20, min=1, max=150, tooltip="Denoising steps."),
                io.Float.Input(
                    "cfg",
                    default=7.5,
                    min=1.0,
                    max=30.0,
                    step=0.1,
                    tooltip="Guidance: how strictly to follow the prompt. Set it to 1 to turn guidance off.",
                ),
                io.Combo.Input(
                    "scheduler",
                    options=list(SCHEDULERS),
                    tooltip="How noise is removed. Built from the checkpoint's own config.",
                ),
                io.Int.Input("width", default=0, min=0, max=2048, step=8, tooltip=size),
                io.Int.Input("height", default=0, min=0, max=2048, step=8, tooltip=size),
                io.Int.Input("batch_size", default=1, min=1, max=16, tooltip="How many pictures."),
                io.Float.Input(
                    "control_strength",
                    default=1.0,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip="How closely to follow the edges.",
                ),
                io.Float.Input(
                    "control_start",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip=f"Follow the edges from here. {share}",
                ),
                io.Float.Input(
                    "control_end",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip=f"Follow the edges until here. {share}",
                ),
                io.Float.Input(
                    "style_strength",
                    default=0.6,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip="How much of the reference's style to take.",
                ),
                io.Float.Input(
                    "style_start",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip=f"Apply the style from here. {share}",
                ),
                io.Float.Input(
                    "style_end",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip=f"Apply the style until here. {share}",
                ),
                io.Combo.Input(
                    "style_mode",
                    options=list(STYLE_MODES),
                    default="full",
                    tooltip="Which blocks of the UNet see the reference. full: all. style: those for the look. "
                    "composition: those for the layout.",
                ),
                io.Combo.Input(
                    "speed",
                    options=list(SPEEDS),
                    default="exact",
                    tooltip="exact: the same picture as plain diffusers. balanced: about twice as fast, a picture near "
                    "the exact one. turbo: 4 to 8 steps with an LCM or Hyper-SD LoRA from models/loras.",
                ),
                io.Image.Input("edges", optional=True, tooltip="White lines on black, from Canny From Sketch."),
                StyleReferencesSocket.Input("references", optional=True, tooltip="From Retrieve Style."),
                io.Image.Input(
                    "reference_image",
                    optional=True,
                    tooltip="A picture as style reference. Used when references is not linked.",
                ),
                *style_inputs(),
                io.Int.Input("clip_skip", optional=True, default=1, min=1, max=MAX_CLIP_SKIP, tooltip=_CLIP_SKIP),
                io.Combo.Input(
                    "prediction",
                    optional=True,
                    options=list(PREDICTIONS),
                    default="auto",
                    tooltip="What the base model predicts. auto: what its files say. Choose v_prediction when pictures "
                    "come out as noise or grey, and the model's author says so.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The pictures."),
                io.String.Output(
                    display_name="info",
                    tooltip="JSON: everything that decided the picture, its references and models, seconds a stage, "
                    "peak memory.",
                ),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
        )

    @classmethod
    def mistakes(cls, prompt: str | None = None, negative_prompt: str | None = None) -> dict[str, str]:
        """Return input -> sentence of each prompt that is wrong. None: linked."""
        given = {"prompt": prompt, "negative_prompt": negative_prompt}
        return find_mistakes({name: (text, partial(check_prompt, name=name)) for name, text in given.items()})

    @classmethod
    def validate_inputs(cls, prompt: str | None = None, negative_prompt: str | None = None) -> bool | str:
        """Check the prompts before anything runs: what came past `mistakes`, without HTTP."""
        return next(iter(cls.mistakes(prompt, negative_prompt).values()), True)

    @classmethod
    def check_lazy_status(cls, pipeline: object = None, **inputs) -> list[str]:
        """Check every other input first: the weights are only loaded once nothing else can be wrong."""
        if pipeline is not None:
            return []
        read_request(**inputs)
        return ["pipeline"]

    @classmethod
    def execute(cls, pipeline, **inputs) -> io.NodeOutput:
        require(GENERATION)
        from ..generation.painting import paint

        request, watch = read_request(**inputs), _MemoryWatch()
        with threads.suited_to(pipeline.denoiser):
            painting = paint(pipeline, request, content_id, _step_callback(request.settings, watch))
        provenance.write(cls, inputs.get("references"), request.pictures, painting.info)
        info = painting.info | {"seconds": painting.seconds} | watch.describe()
        return io.NodeOutput(painting.images, json.dumps(info, ensure_ascii=False, indent=1))


class _MemoryWatch:
    """Peak memory of a run in bytes: what torch allocated on a CUDA device, else the process at its largest step."""

    def __init__(self) -> None:
        self.device = mm.get_torch_device()
        self._process_peak = 0
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def sample(self) -> None:
        import psutil

        self._process_peak = max(self._process_peak, psutil.Process().memory_info().rss)

    def describe(self) -> dict[str, object]:
        """Return what `info` says of where it ran."""
        on_cuda = self.device.type == "cuda"
        peak = torch.cuda.max_memory_allocated(self.device) if on_cuda else self._process_peak
        return {"peak_memory_bytes": peak, "device": self.device.type}


def _step_callback(settings: GenerationSettings, watch: _MemoryWatch) -> Callable[[int, int, torch.Tensor], None]:
    """Report a step, with a preview as ComfyUI's settings say; its progress bar raises when the user interrupts."""
    bar = comfy.utils.ProgressBar(settings.num_inference_steps)
    previewer = latent_preview.get_previewer(watch.device, comfy.latent_formats.SD15())

    def on_step(step: int, steps: int, clean: torch.Tensor) -> None:
        watch.sample()
        preview = previewer.decode_latent_to_preview_image("JPEG", clean) if previewer else None
        bar.update_absolute(step, steps, preview)

    return on_step
