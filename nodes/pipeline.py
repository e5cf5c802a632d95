"""LoadStylePipeline: weights to a ready pipeline."""

import time
from functools import cache, partial
from pathlib import Path

from comfy_api.latest import io

from ..generation.loading.files import PipelineFiles, check_files
from .host import hub, memory, model_folders, paths
from .host.in_time import Inquiry
from .host.requirements import GENERATION, choose, find_mistakes, require
from .sockets import StylePipelineSocket

PRECISIONS = ("auto", "fp16", "bf16", "fp32", "int8")
_PATIENCE = 60.0  # seconds that a run waits for the headers: a drive may have to spin up, an old pickle is read whole
_PARTS = ("base_model", "controlnet", "ip_adapter")


class LoadStylePipeline(io.ComfyNode):
    """Loads an SD 1.5 model, a ControlNet and an IP-Adapter that fit together."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        tooltips = {
            "base_model": "Stable Diffusion 1.5: a checkpoint of models/checkpoints, or a folder of models/diffusers. "
            "The bundled one is a small demonstration.",
            "controlnet": "A ControlNet for SD 1.5, from models/controlnet. It makes the picture follow the edges.",
            "ip_adapter": "An IP-Adapter for SD 1.5 (base, light, plus, plus-face, full-face), from models/ipadapter. "
            "Its image encoder is found in models/clip_vision by itself.",
        }
        options = {part: paths.model_options(part) for part in _PARTS}
        return io.Schema(
            node_id="LoadStylePipeline",
            display_name="Load Style Pipeline",
            category="Style RAG",
            description="Loads Stable Diffusion 1.5, a ControlNet and an IP-Adapter as one pipeline. First it checks "
            "that the three files fit together.",
            inputs=[
                *(io.Combo.Input(part, options=options[part], tooltip=tooltips[part]) for part in _PARTS),
                io.Combo.Input(
                    "precision",
                    options=list(PRECISIONS),
                    default="auto",
                    tooltip="The number format of the weights. auto: fp16 on a GPU that is good at it, else fp32. "
                    "int8: half of fp16's memory for UNet and ControlNet, a little slower.",
                ),
            ],
            outputs=[
                StylePipelineSocket.Output(display_name="pipeline", tooltip="To ControlNet + IP-Adapter Sampler.")
            ],
        )

    @classmethod
    def mistakes(
        cls,
        base_model: str | None = None,
        controlnet: str | None = None,
        ip_adapter: str | None = None,
        precision: str | None = None,
    ) -> dict[str, str]:
        """Return input -> sentence of each widget that is wrong, from the files' headers alone. None: linked."""
        chosen = {"base_model": base_model, "controlnet": controlnet, "ip_adapter": ip_adapter}
        sentences = find_mistakes(
            {part: (name, partial(paths.find_model, part)) for part, name in chosen.items()}
            | {"precision": (precision, lambda value: choose("precision", value, PRECISIONS))}
        )
        here = {part: paths.find_model(part, name) for part, name in chosen.items() if name and part not in sentences}
        files = {part: path for part, path in here.items() if path is not None}
        try:
            if len(files) == len(_PARTS):  # what does not answer is asked again when the node runs
                _check_in_time(tuple(files[part] for part in _PARTS))
        except (ValueError, OSError) as error:
            sentences[_part_of(str(error), files)] = str(error)
        return sentences

    @classmethod
    def validate_inputs(
        cls, base_model: str | None = None, controlnet: str | None = None, ip_adapter: str | None = None
    ) -> bool | str:
        """Check that the files exist and belong together: what came past `mistakes`, without HTTP."""
        return next(iter(cls.mistakes(base_model, controlnet, ip_adapter).values()), True)

    @classmethod
    def fingerprint_inputs(cls, **names: str | None) -> str:
        """A file that was replaced under its old name is loaded again."""
        files = [paths.find_model(part, name) for part in _PARTS if (name := names.get(part))]
        return str([path and model_folders.version(path) for path in files])

    @classmethod
    def execute(cls, base_model: str, controlnet: str, ip_adapter: str, precision: str) -> io.NodeOutput:
        require(GENERATION)
        choose("precision", precision, PRECISIONS)
        from ..generation.loading.pipeline import load_pipeline

        files = _fetch_files(base_model, controlnet, ip_adapter)
        formats = memory.choose_precision(precision)
        tokenizer, embedding = paths.tokenizer(), paths.find_embedding
        return io.NodeOutput(load_pipeline(files, tokenizer, formats, memory.DEVICE, _in_use(), embedding))


@cache
def _in_use():
    """Return what this process's pipelines have loaded, so that no file is loaded twice."""
    from ..generation.loading.shared_models import SharedModels

    return SharedModels()


def _fetch(part: str, name: str) -> Path:
    path = paths.find_model(part, name)
    if path is not None:
        return path
    if part == "ip_adapter":
        hub.download(hub.IMAGE_ENCODER)
    return hub.download(hub.HUB[part][name])


def _fetch_files(*names: str) -> PipelineFiles:
    """Return the chosen files, downloaded where only the Hub has them. names: in the order of `_PARTS`."""
    files = _check_in_time(tuple(_fetch(part, name) for part, name in zip(_PARTS, names, strict=True)), insist=True)
    if files is None:
        raise TimeoutError(
            f"{', '.join(names)} or what lies in models/clip_vision does not answer for {_PATIENCE:.0f} seconds: check "
            "that its drive is connected, then try again."
        )
    return files


def _part_of(sentence: str, files: dict[str, Path]) -> str:
    """Return which of the parts a sentence blames: it begins with the part, or with its file."""
    blamed = (part for part, path in files.items() if sentence.startswith((part, path.name)))
    return next(blamed, next((part for part, path in files.items() if path.name in sentence), _PARTS[0]))


def _check(parts: tuple[Path, ...]) -> PipelineFiles:
    base_model, controlnet, ip_adapter = parts
    return check_files(base_model, controlnet, ip_adapter, paths.image_encoders())


_checks: Inquiry[tuple[Path, ...], PipelineFiles] = Inquiry(_check)


def _check_in_time(parts: tuple[Path, ...], insist: bool = False) -> PipelineFiles | None:
    """Return None when the files, in the order of `_PARTS`, do not answer. Raises ValueError and OSError."""
    until = time.monotonic() + (_PATIENCE if insist else model_folders.PATIENCE)
    answer = _checks.answers([parts], until, insist=insist).get(parts)
    if isinstance(answer, OSError | ValueError):
        raise answer
    return answer
