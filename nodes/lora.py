"""LoadStyleLoRA: a pipeline that samples with one LoRA more."""

from pathlib import Path
from typing import cast

from comfy_api.latest import io

from ..generation.loading.files import expect_lora
from ..generation.loading.peft_settings import settings_file
from ..generation.turbo import is_distilled
from .host import paths
from .host.model_folders import identified_in_time, version
from .host.requirements import GENERATION, find_mistakes, require
from .sockets import StylePipelineSocket


class LoadStyleLoRA(io.ComfyNode):
    """Adds a LoRA to a pipeline. Chains."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoadStyleLoRA",
            display_name="Load Style LoRA",
            category="Style RAG",
            description="Adds a LoRA for Stable Diffusion 1.5 to a pipeline. Chain several nodes for several LoRAs. "
            "Other branches of the graph keep the pipeline without it.",
            inputs=[
                StylePipelineSocket.Input("pipeline", tooltip="From Load Style Pipeline or another Load Style LoRA."),
                io.Combo.Input(
                    "lora",
                    options=paths.model_options("lora"),
                    tooltip="A file of models/loras: LoRA, LoCon, LoHa, LoKr, DoRA, GLoRA, OFT or BOFT, from "
                    "any trainer.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-2.0,
                    max=2.0,
                    step=0.05,
                    tooltip="How much of it, on UNet and text encoder. 0 is none. Below 0 is its opposite.",
                ),
            ],
            outputs=[
                StylePipelineSocket.Output(display_name="pipeline", tooltip="To ControlNet + IP-Adapter Sampler.")
            ],
        )

    @classmethod
    def mistakes(cls, lora: str | None = None) -> dict[str, str]:
        """Return input -> sentence unless the file's header says that it is a LoRA for SD 1.5. None: linked."""
        return find_mistakes({"lora": (lora, lambda value: expect_lora(identified_in_time(_find(value))))})

    @classmethod
    def validate_inputs(cls, lora: str | None = None) -> bool | str:
        """Check the file before anything runs: what came past `mistakes`, without HTTP."""
        return next(iter(cls.mistakes(lora).values()), True)

    @classmethod
    def fingerprint_inputs(cls, lora: str | None = None, **others: object) -> str | None:
        """A file that was replaced under its old name is loaded again."""
        if not lora:
            return None
        file = _find(lora)
        return str([version(path) for path in (file, settings_file(file)) if path])

    @classmethod
    def execute(cls, pipeline, lora: str, strength: float) -> io.NodeOutput:
        require(GENERATION)
        from ..generation.loading.pipeline import add_lora

        return io.NodeOutput(add_lora(pipeline, _find(lora), strength))


def distilled_loras() -> list[Path]:
    """Return the files that `turbo` knows by name: those of models/loras as the COMBO lists them, then the bundled."""
    own = [_find(name) for name in paths.model_options("lora") if is_distilled(Path(name).name)]
    return [*own, *([paths.BUNDLED_TURBO] if paths.BUNDLED_TURBO.is_file() else [])]


def _find(name: str) -> Path:
    return cast(
        Path, paths.find_model("lora", name)
    )  # None stands for what only the Hub has, and no LoRA is named there
