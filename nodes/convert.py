"""ComfyUI's IMAGE and MASK tensors to arrays and Pillow pictures, and back. The only owner of [B,H,W,C] float 0..1."""

import numpy as np
import torch
from PIL import Image

# What is opaque counts as white ink from this mean brightness, of 0..1.
_LIGHT_INK = 0.8


def image_to_arrays(image: torch.Tensor, name: str, mask: torch.Tensor | None = None) -> list[np.ndarray]:
    """Return the pictures of an IMAGE as (H, W, 3) uint8 RGB; what is transparent becomes white.

    image: [B,H,W,C] or [H,W,C] float 0..1 of 1 (grey), 3 or 4 (RGBA) channels. mask: [B,H,W] or [H,W], 1 = transparent,
    as LoadImage gives it; its 64x64 zeros for a picture without transparency are ignored. A picture whose opaque part
    is nearly white lies on black instead. Raises ValueError for NaN and odd shapes.
    """
    if image.ndim == 3:
        image = image[None]
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4) or 0 in image.shape:
        raise ValueError(f"{name} has the shape {tuple(image.shape)}: an IMAGE is [batch, height, width, 1, 3 or 4].")
    if not torch.isfinite(image).all():
        raise ValueError(f"{name} holds values that are no numbers (NaN or infinite): check the node that makes it.")
    pictures = image.detach().float().cpu().clamp(0, 1)
    if pictures.shape[-1] == 4:
        pictures = _on_paper(pictures[..., :3], 1 - pictures[..., 3:])
    pictures = pictures.expand(*pictures.shape[:3], 3)
    if mask is not None and mask.any():
        pictures = _on_paper(pictures, _fit_mask(mask, pictures)[..., None])
    return list((pictures * 255).round().to(torch.uint8).numpy())


def image_to_pil(image: torch.Tensor, name: str) -> list[Image.Image]:
    """Return the pictures of an IMAGE as RGB Pillow images."""
    return [Image.fromarray(array) for array in image_to_arrays(image, name)]


def fit_masks(masks: torch.Tensor, name: str, height: int, width: int) -> torch.Tensor:
    """Return a MASK [B,H,W] or [H,W] as (B, height, width) float 0..1 on the CPU, stretched where it has another size.

    Raises ValueError for NaN and odd shapes.
    """
    masks = masks[None] if masks.ndim == 2 else masks
    if masks.ndim != 3 or 0 in masks.shape:
        raise ValueError(f"{name} has the shape {tuple(masks.shape)}: a MASK is [batch, height, width].")
    if not torch.isfinite(masks).all():
        raise ValueError(f"{name} holds values that are no numbers (NaN or infinite): check the node that makes it.")
    masks = masks.detach().float().cpu().clamp(0, 1)
    if masks.shape[1:] == (height, width):
        return masks
    size = (height, width)
    return torch.nn.functional.interpolate(masks[:, None], size=size, mode="bilinear", antialias=True)[:, 0]


def array_to_image(array: np.ndarray) -> torch.Tensor:
    """Return (H, W) or (H, W, 3) uint8 as an IMAGE [1,H,W,3]."""
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    return torch.from_numpy(array.astype(np.float32) / 255.0)[None]


def pil_to_image(picture: Image.Image) -> torch.Tensor:
    """Return a Pillow picture as an IMAGE [1,H,W,3]."""
    return array_to_image(np.asarray(picture.convert("RGB")))


def has_transparency(image: torch.Tensor, mask: torch.Tensor | None) -> bool:
    """Tell whether some of an IMAGE is transparent, by its own alpha channel or by its MASK."""
    return bool((mask is not None and mask.any()) or (image.shape[-1] == 4 and (image[..., 3] < 1).any()))


def _on_paper(pictures: torch.Tensor, transparency: torch.Tensor) -> torch.Tensor:
    """Lay each picture on white, or on black when what is opaque is so light that white would swallow it."""
    opaque = 1 - transparency
    light = (pictures * opaque).mean(dim=(1, 2, 3)) / opaque.mean(dim=(1, 2, 3)).clamp_min(1e-6)
    paper = (light <= _LIGHT_INK).float()[:, None, None, None]
    return pictures * opaque + paper * transparency


def _fit_mask(mask: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    """Bring a MASK [B,H,W] to the pictures' height and width."""
    mask = mask.detach().float().cpu()
    mask = mask[None] if mask.ndim == 2 else mask
    if mask.ndim != 3 or len(mask) not in (1, len(pictures)) or 0 in mask.shape:
        raise ValueError(
            f"mask has the shape {tuple(mask.shape)}: a MASK is [batch, height, width], with one picture or as many as "
            f"image, which holds {len(pictures)}."
        )
    if not torch.isfinite(mask).all():
        raise ValueError("mask holds values that are no numbers (NaN or infinite): check the node that makes it.")
    mask = mask.clamp(0, 1)
    return torch.nn.functional.interpolate(mask[:, None], size=pictures.shape[1:3], mode="bilinear")[:, 0]
