"""What a run does when memory ends: it takes one measure more and tries the stage again, until none is left.

It knows no ComfyUI: which exceptions mean "out of memory", and how to free the device, is handed in with the pipeline.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, TypeVar

import torch
from torch.overrides import TorchFunctionMode

Result = TypeVar("Result")
Measure = tuple[str, Callable[[], AbstractContextManager[Any]]]

OUT_OF_MEMORY = torch.cuda.OutOfMemoryError  # the one class of all devices, under the name that older torch has too
SLICE_BYTES = 64 * 2**20  # of attention scores at a time
TILE = 32  # latents a side, 256 pixels
OVERLAP = 0.25  # diffusers' own, the share of a tile that is blended

log = logging.getLogger("style_pack.generation")


class MemoryLadder:
    """The measures of one run. They stay until it is left, and are undone then, whatever ended it.

    out_of_memory: the exceptions that mean it; any other passes. make_room: frees everything on the device.
    taken: the names of the measures, in their order.
    """

    def __init__(self, out_of_memory: tuple[type[Exception], ...], make_room: Callable[[], None]) -> None:
        self.taken: list[str] = []
        self._out_of_memory = out_of_memory
        self._make_room = make_room
        self._undo = ExitStack()

    def __enter__(self) -> MemoryLadder:
        return self

    def __exit__(self, *error: object) -> None:
        self._undo.close()

    def run(self, stage: str, attempt: Callable[[], Result], *measures: Measure) -> Result:
        """Return what `attempt` returns, taking the measures one by one, and making room last, while memory ends."""
        for name, enter in (*measures, ("device freed", self._freed)):
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
            "smaller width and height or batch_size, precision fp16, or close other programs that use the device."
        )

    def _try(self, attempt: Callable[[], Result]) -> tuple[bool, Any]:
        """Only once this has returned are the exception, its frames and their tensors gone."""
        try:
            return True, attempt()
        except self._out_of_memory:
            return False, None

    @contextmanager
    def _freed(self) -> Iterator[None]:
        self._make_room()
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
