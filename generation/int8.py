"""Weights kept in int8: one byte a number, and one scale for each output channel. What is computed stays in floats.

Linear layers and convolutions alike, which are two thirds of SD 1.5's UNet and ControlNet, and which torchao's
weight-only int8 leaves as they are. A weight is made anew whenever its layer runs: one layer's floats live at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

SMALLEST = 12_000  # numbers; SD 1.5's first and last convolution have 11,520, decide much, and are left as they are
_LEVELS = 127  # on either side of zero

# strength, and what has `added_to(weight, strength)`: see `lora`.
Additions = Sequence[tuple[float, Any]]


class Int8Layer:
    """A layer whose `weight` is a product. int8: (out, ...); scale: (out, 1, ...), in the dtype of computing."""

    int8: torch.Tensor
    scale: torch.Tensor
    additions: Additions = ()

    @property
    def weight(self) -> torch.Tensor:
        """Return the weight in the dtype of computing, with what LoRAs add: rounded to int8 that would be lost."""
        weight = self.int8.to(self.scale.dtype) * self.scale
        if self.additions:
            total = weight.float()
            for strength, change in self.additions:
                total = change.added_to(total, strength)
            weight = total.to(weight.dtype)
        return weight


class Int8Linear(Int8Layer, torch.nn.Linear):  # pyright: ignore[reportIncompatibleVariableOverride]
    """A Linear made by `to_int8`."""


class Int8Conv2d(Int8Layer, torch.nn.Conv2d):  # pyright: ignore[reportIncompatibleVariableOverride]
    """A Conv2d made by `to_int8`."""


_KINDS: dict[type, type] = {torch.nn.Linear: Int8Linear, torch.nn.Conv2d: Int8Conv2d}


def to_int8(module: torch.nn.Module) -> None:
    """Round the large weights of a module's layers to int8, in place, one layer after the other."""
    layer: Any
    for layer in module.modules():
        kind = _KINDS.get(type(layer))
        if kind is not None and layer.weight.numel() >= SMALLEST:
            parts = quantise(layer.weight.detach())
            del layer.weight
            layer.__class__ = kind
            layer.int8, layer.scale = (torch.nn.Parameter(part, requires_grad=False) for part in parts)


def quantise(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (int8 of the same shape, scale (out, 1, ...) in the weight's dtype); their product is nearest to it."""
    wide = weight.float()
    largest = wide.abs().flatten(1).amax(1).reshape(-1, *[1] * (weight.ndim - 1))
    scale = (largest / _LEVELS).to(weight.dtype)
    steps = wide / scale.float().clamp_min(torch.finfo(torch.float32).tiny)
    return steps.round().clamp(-_LEVELS, _LEVELS).to(torch.int8), scale


def is_int8(module: torch.nn.Module) -> bool:
    """Tell whether some of a module's weights are kept in int8."""
    return any(isinstance(layer, Int8Layer) for layer in module.modules())
