"""A request to pictures, and `info`: all that decided them, so that they can be made again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from PIL import Image

from .conditioning.prompts import left_out
from .conditioning.references import Reference
from .denoise import StepCallback
from .layers.int8 import kept_in
from .loading.lora import Lora
from .loading.pipeline import StylePipeline, add_lora, first_fitting
from .request import SamplingRequest
from .sampler import generate
from .settings import MAX_SEED, GenerationSettings
from .turbo import is_distilled

ContentId = Callable[[Image.Image], str]


@dataclass(frozen=True)
class Painting:
    """What a request became.

    images: (N, H, W, 3) float32 RGB 0..1, on the CPU.
    info: all that decided them, as JSON takes it.
    seconds: stage -> wall time in seconds.
    """

    images: torch.Tensor
    info: dict[str, object]
    seconds: dict[str, float]


def paint(
    pipeline: StylePipeline,
    request: SamplingRequest,
    content_id: ContentId,
    on_step: StepCallback = lambda step, steps, clean: None,
) -> Painting:
    """Sample what is asked for, see `generate`: for each sketch as if it were the only one, one after the other.

    content_id: the id that `info` has of an RGB picture.
    """
    if request.settings.speed == "turbo":
        pipeline = with_distilled_lora(pipeline, request.distilled_loras)
    references = _references(request, pipeline.encoding_id)
    negative = None if request.negative is None else Reference(request.negative)
    sketches = [None] if request.edges is None else list(request.edges.split(1))
    results = [
        generate(pipeline, request.settings, one, references, _part_of(on_step, number, len(sketches)), negative)
        for number, one in enumerate(sketches)
    ]
    edges = [content_id(_to_picture(one)) for one in sketches if one is not None]
    told = None if not edges else edges[0] if len(edges) == 1 else edges
    info = describe_run(pipeline, results[0].settings, told) | _describe_style(request, content_id)
    info |= {
        "memory_steps": list(dict.fromkeys(step for result in results for step in result.memory_steps)),
        "decoded_in": [dtype for result in results for dtype in result.decoded_in],
    }
    seconds = {stage: round(sum(result.seconds[stage] for result in results), 3) for stage in results[0].seconds}
    return Painting(torch.cat([result.images for result in results]), info, seconds)


def _part_of(on_step: StepCallback, number: int, count: int) -> StepCallback:
    """Return what counts the steps of one sketch among several."""
    return lambda step, steps, clean: on_step(number * steps + step, count * steps, clean)


def with_distilled_lora(pipeline: StylePipeline, files: Iterable[Path]) -> StylePipeline:
    """Return a pipeline with the first distilled LoRA whose header fits the base model, unless it has one."""
    if any(is_distilled(lora.name) for lora in pipeline.loras):
        return pipeline
    file = first_fitting(pipeline, files)
    return pipeline if file is None else add_lora(pipeline, file, 1.0)


def describe_run(
    pipeline: StylePipeline, settings: GenerationSettings, edges: str | list[str] | None
) -> dict[str, object]:
    """Return all that decides a picture but its references. edges: the id of their picture, or of each."""
    prompts = {"prompt": settings.prompt, "negative_prompt": settings.negative_prompt}
    ignored = {name: left_out(text) for name, text in prompts.items() if left_out(text)}
    return {
        "settings": asdict(settings),
        **({"left_out": ignored} if ignored else {}),
        "seeds": [(settings.seed + n) % (MAX_SEED + 1) for n in range(settings.num_images)],
        "edges": edges,
        "models": pipeline.identities,
        "loras": [_describe_lora(lora) for lora in pipeline.loras],
        "scheduler_config": dict(pipeline.scheduler_config),
        "dtype": str(next(pipeline.denoiser.parameters()).dtype).removeprefix("torch."),
        "weights": str(kept_in(pipeline.denoiser)).removeprefix("torch."),
        "versions": {package: version(package) for package in ("torch", "diffusers", "transformers")},
    }


def _describe_lora(lora: Lora) -> dict[str, object]:
    about: dict[str, object] = {"name": lora.name, "fingerprint": lora.fingerprint, "strength": lora.strength}
    return about | ({"left_out": list(lora.left_out)} if lora.left_out else {})


def _describe_style(request: SamplingRequest, content_id: ContentId) -> dict[str, object]:
    """Return the references with their weights, and the hashes of what else was handed in as a picture."""
    references = [
        dict(reference.about or {"id": content_id(reference.picture)}) | {"weight": weight}
        for reference, weight in zip(request.references, request.weights, strict=True)
    ]
    return {
        "references": references,
        "negative_reference": None if request.negative is None else content_id(request.negative),
        "style_mask": None if request.masks is None else _hash(request.masks),
    }


def _references(request: SamplingRequest, encoder: str) -> list[Reference]:
    """Return the references as they are sampled with. encoder: the id of the pipeline's image encoder."""
    if not request.references:
        return []
    masks = [None] if request.masks is None else list(request.masks)
    masks = masks * len(request.references) if len(masks) == 1 else masks
    given = zip(request.references, request.weights, masks, strict=True)
    return [Reference(one.picture, one.read_encoding(encoder), weight, mask) for one, weight, mask in given]


def _to_picture(edges: torch.Tensor) -> Image.Image:
    """Return (1, 3, H, W) float 0..1 as an RGB picture."""
    return Image.fromarray((edges[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy())


def _hash(masks: torch.Tensor) -> str:
    """Return the SHA-256 (hex) of masks' shape and values."""
    digest = hashlib.sha256(str(tuple(masks.shape)).encode())
    digest.update(masks.contiguous().numpy().tobytes())
    return digest.hexdigest()
