"""Which blocks of the UNet see the reference, by style mode. What was measured: docs/measurements/style_control.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def set_style(unet: Any, mode: str, strength: float) -> None:
    """Set the IP-Adapter's strength in every cross-attention layer: `strength` in the mode's blocks, 0 in the others.

    It replaces what an earlier run has set. A layer at 0 is skipped, and costs nothing.
    """
    inside = _blocks(unet, mode)
    for name, processor in unet.attn_processors.items():
        if hasattr(processor, "scale"):
            processor.scale = [strength if inside(name) else 0.0]


def _blocks(unet: Any, mode: str) -> Callable[[str], bool]:
    """Return whether an attention layer's name lies in the mode's blocks, for a UNet of any depth.

    `style`: the first up block with cross-attention, `up_blocks.1` in SD 1.5. `composition`: the last down block with
    cross-attention and the middle, `down_blocks.2` and `mid_block` in SD 1.5. These are InstantStyle's blocks.
    """
    if mode == "full":
        return lambda name: True
    down = [n for n, block in enumerate(unet.down_blocks) if getattr(block, "has_cross_attention", False)]
    up = [n for n, block in enumerate(unet.up_blocks) if getattr(block, "has_cross_attention", False)]
    chosen = {"style": (f"up_blocks.{up[0]}.",), "composition": (f"down_blocks.{down[-1]}.", "mid_block.")}[mode]
    return lambda name: name.startswith(chosen)
