"""The sampler's widgets and links to settings, edges and references, all checked before the pipeline is loaded."""

import numpy as np
import torch
from PIL import Image

from ..generation.conditioning.prompts import read_segments
from ..generation.edges.canny import fit_to
from ..generation.settings import GenerationSettings, check_size
from ..generation.turbo import turbo_settings
from . import convert
from .host import paths
from .host.requirements import OPENCV, require
from .lora import distilled_loras
from .sockets import StyleReferences
from .style_inputs import StyleControl, read_pictures, read_style


def read_inputs(
    prompt: str,
    negative_prompt: str,
    seed: int,
    steps: int,
    cfg: float,
    scheduler: str,
    width: int,
    height: int,
    batch_size: int,
    control_strength: float,
    control_start: float,
    control_end: float,
    style_strength: float,
    style_start: float,
    style_end: float,
    style_mode: str,
    speed: str,
    edges: torch.Tensor | None = None,
    references: StyleReferences | None = None,
    reference_image: torch.Tensor | None = None,
    combine: str = "joined",
    reference_weights: str = "",
    negative_reference: torch.Tensor | None = None,
    style_mask: torch.Tensor | None = None,
    reference_fit: str = "crop",
    clip_skip: int = 1,
) -> tuple[GenerationSettings, torch.Tensor | None, StyleReferences | None, tuple[Image.Image, ...], StyleControl]:
    """Translate the widgets into settings, edges, references, their pictures, what is said of them; check them all."""
    for name, text in (("prompt", prompt), ("negative_prompt", negative_prompt)):
        for segment in read_segments(text, name):
            if segment.is_embedding:
                paths.find_embedding(segment.text)
    control, width, height = _read_edges(edges, width, height)
    settings = GenerationSettings(
        prompt=prompt,
        negative_prompt=negative_prompt,
        seed=seed,
        num_inference_steps=steps,
        guidance_scale=cfg,
        scheduler=scheduler,
        width=width,
        height=height,
        num_images=batch_size,
        controlnet_conditioning_scale=control_strength,
        control_guidance_start=control_start,
        control_guidance_end=control_end,
        ip_adapter_scale=style_strength,
        ip_adapter_start=style_start,
        ip_adapter_end=style_end,
        style_mode=style_mode,
        speed=speed,
        combine=combine,
        reference_fit=reference_fit,
        clip_skip=clip_skip,
    )
    if speed == "turbo":
        turbo_settings(settings, [file.name for file in distilled_loras()])
    pictures = read_pictures(references, reference_image)
    masks = None if style_mask is None else convert.fit_masks(style_mask, "style_mask", height, width)
    style = read_style(references, len(pictures), reference_weights, negative_reference, masks)
    return settings, control, references, pictures, style


def _read_edges(edges: torch.Tensor | None, width: int, height: int) -> tuple[torch.Tensor | None, int, int]:
    """Return the edges as (1, 3, H, W) float 0..1 of the wanted size, and that size."""
    if edges is None:
        if not width or not height:
            raise ValueError(f"without edges the picture has no size (width {width}, height {height}): set both.")
        return None, width, height
    pictures = convert.image_to_arrays(edges, "edges")
    if len(pictures) != 1:
        raise ValueError(f"edges holds {len(pictures)} pictures, and one is drawn at a time: link one.")
    rows, columns = pictures[0].shape[:2]
    width, height = width or columns, height or rows
    check_size(width, height)
    if (columns, rows) != (width, height):
        require(OPENCV)
        pictures[0] = fit_to(pictures[0], width, height, "stretch")
    array = np.ascontiguousarray(pictures[0].transpose(2, 0, 1))[None]
    return torch.from_numpy(array).float() / 255, width, height
