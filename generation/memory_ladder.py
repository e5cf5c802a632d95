"""What a run does when memory ends: it takes one measure more and tries the stage again, until none is left.

Which errors mean "out of memory", and how memory is freed, the pipeline's device knows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from torch.overrides import TorchFunctionMode

from .device import OUT_OF_MEMORY, Device

Result = TypeVar("Result")
Measure = tuple[str, Callable[[], AbstractContextManager[Any]]]
Modules = Sequence[torch.nn.Module]

SLICE_BYTES = 64 * 2**20  # of attention scores at a time
TILE = 32  # latents a side, 256 pixels
OVERLAP = 0.25  # diffusers' own, the share of a tile that is blended

log = logging.getLogger("style_pack.generation")


class MemoryLadder:
    """The measures of one run. They stay until it is left, and are undone then, whatever ended it.

    device: knows which errors mean it; any other passes. taken: the names of the measures, in their order.
    """

    def __init__(self, device: Device) -> None:
        self.taken: list[str] = []
        self._device = device
        self._undo = ExitStack()

    def __enter__(self) -> MemoryLadder:
        return self

    def __exit__(self, *error: object) -> None:
        self._undo.close()

    def run(self, stage: str, modules: Modules, attempt: Callable[[], Result], *measures: Measure) -> Result:
        """Return what `attempt` returns, making room first, then taking the measures one by one, while memory ends.

        modules: what the stage computes with, and so what stays on the device.
        """
        for name, enter in (("device freed", partial(self._freed, modules)), *measures):
            done, result = self._try(attempt)
            if done:
                return result
            log.warning("Out of memory while %s: once more, with %s.", stage, name)
            self._undo.enter_context(enter())
            self.taken.append(name)
        done, result = self._try(attempt)
        if done:
            return result
        raise OUT_OF_MEMORY(
            f"the device ran out of memory while {stage}, even after these measures: {', '.join(self.taken)}. Choose a "
            "smaller width and height or batch_size, precision int8, or close other programs that use the device."
        )

    def _try(self, attempt: Callable[[], Result]) -> tuple[bool, Any]:
        """Only once this has returned are the exception, its frames and their tensors gone."""
        try:
            return True, attempt()
        except RuntimeError as error:  # what torch raises for it, on every device, is one
            if not self._device.is_out_of_memory(error):
                raise
            return False, None

    @contextmanager
    def _freed(self, modules: Modules) -> Iterator[None]:
        self._device.free_memory(*modules)
        yield


class SlicedAttention(TorchFunctionMode):
    """While it is entered, attention is computed for some of the queries at a time: the same numbers, with less memory.

    It spares where torch has no fused attention for the device and keeps all scores, (B, heads, queries, keys).
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        if func is not torch.nn.functional.scaled_dot_product_attention or len(args) < 3 or not _plain(args, options):
            return func(*args, **options)
        query, key, value = args[:3]
        row = query.shape[:-2].numel() * key.shape[-2] * query.element_size()
        at_once = max(1, SLICE_BYTES // max(1, row))
        if at_once >= query.shape[-2]:
            return func(*args, **options)
        return torch.cat([func(part, key, value, **options) for part in query.split(at_once, dim=-2)], dim=-2)


def _plain(args: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """A mask and causality speak of the queries' places, and would have to be cut with them."""
    return len(args) == 3 and options.get("attn_mask") is None and not options.get("is_causal")


@contextmanager
def tiled_decoding(vae: Any, height: int, width: int) -> Iterator[None]:
    """Let a VAE decode in tiles that overlap: latents of (height, width) in two a side or more."""
    tile = min(TILE, max(8, (max(height, width) + 1) // 2))
    names = ("use_tiling", "tile_latent_min_size", "tile_sample_min_size", "tile_overlap_factor")
    before = {name: getattr(vae, name) for name in names}
    pixels = tile * 2 ** (len(vae.config.block_out_channels) - 1)
    try:
        for name, value in zip(names, (True, tile, pixels, OVERLAP), strict=True):
            setattr(vae, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(vae, name, value)
