"""Weights kept in less than they are computed in: in int8, or in fp16 where the device is bad at computing in it.

In int8 that is one byte a number, and one scale for each output channel. Linear layers and convolutions alike, which
are two thirds of SD 1.5's UNet and ControlNet, and which torchao's weight-only int8 leaves as they are. A weight is
made anew whenever its layer runs: one layer's floats live at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

SMALLEST = 12_000  # numbers; SD 1.5's first and last convolution have 11,520, decide much, and are left as they are
_LEVELS = 127  # on either side of zero

# strength, and what has `added_to(weight, strength)`: see `lora`.
Additions = Sequence[tuple[float, Any]]


class KeptLayer:
    """A layer whose `weight`, in the dtype of computing, is made of what is kept of it, of the same shape."""

    kept: torch.Tensor
    additions: Additions = ()

    def made(self) -> torch.Tensor:
        """Return the weight without what LoRAs add."""
        raise NotImplementedError

    @property
    def weight(self) -> torch.Tensor:
        """Return the weight in the dtype of computing, with what LoRAs add: rounded to int8 that would be lost."""
        weight = self.made()
        if self.additions:
            total = weight.float()
            for strength, change in self.additions:
                total = change.added_to(total, strength)
            weight = total.to(weight.dtype)
        return weight


class Int8Layer(KeptLayer):
    """A layer whose `weight` is a product.

    kept: (out, in, ...) int8.
    scale: (out, 1, ...), in the dtype of computing.
    """

    scale: torch.Tensor

    def made(self) -> torch.Tensor:
        return self.kept.to(self.scale.dtype) * self.scale


class HalfLayer(KeptLayer):
    """A layer whose `weight` is kept in fp16 or bf16, and widened."""

    computed: torch.dtype

    def made(self) -> torch.Tensor:
        return self.kept.to(self.computed)

    def _apply(self, *given: Any, **named: Any) -> Any:
        """Move, and stay narrow: diffusers brings all of a UNet to one dtype when it loads an IP-Adapter."""
        narrow = self.kept.dtype
        super()._apply(*given, **named)  # pyright: ignore[reportAttributeAccessIssue]
        self.kept.data = self.kept.data.to(narrow)
        return self


class Int8Linear(Int8Layer, torch.nn.Linear):  # pyright: ignore[reportIncompatibleVariableOverride]
    """A Linear made by `to_int8`."""


class Int8Conv2d(Int8Layer, torch.nn.Conv2d):  # pyright: ignore[reportIncompatibleVariableOverride]
    """A Conv2d made by `to_int8`."""


class HalfLinear(HalfLayer, torch.nn.Linear):  # pyright: ignore[reportIncompatibleVariableOverride]
    """A Linear made by `keep_in`."""


class HalfConv2d(HalfLayer, torch.nn.Conv2d):  # pyright: ignore[reportIncompatibleVariableOverride]
    """A Conv2d made by `keep_in`."""


_INT8: dict[type, type] = {torch.nn.Linear: Int8Linear, torch.nn.Conv2d: Int8Conv2d}
_HALF: dict[type, type] = {torch.nn.Linear: HalfLinear, torch.nn.Conv2d: HalfConv2d}


def keep_in(module: torch.nn.Module, dtype: torch.dtype | None) -> None:
    """Keep the large weights of a module's layers in int8, fp16 or bf16, in place. None: as they are."""
    if dtype == torch.int8:
        to_int8(module)
    elif dtype is not None:
        for layer in _large_layers(module, _HALF):
            kept, layer.computed = layer.weight.detach().to(dtype), layer.weight.dtype
            del layer.weight
            layer.__class__ = _HALF[type(layer)]
            layer.kept = torch.nn.Parameter(kept, requires_grad=False)


def to_int8(module: torch.nn.Module) -> None:
    """Round the large weights of a module's layers to int8, in place, one layer after the other."""
    for layer in _large_layers(module, _INT8):
        parts = quantise(layer.weight.detach())
        del layer.weight
        layer.__class__ = _INT8[type(layer)]
        layer.kept, layer.scale = (torch.nn.Parameter(part, requires_grad=False) for part in parts)


def _large_layers(module: torch.nn.Module, kinds: dict[type, type]) -> Iterator[Any]:
    layer: Any
    for layer in module.modules():
        if type(layer) in kinds and layer.weight.numel() >= SMALLEST:
            yield layer


def quantise(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (int8 of the same shape, scale (out, 1, ...) in the weight's dtype); their product is nearest to it."""
    wide = weight.float()
    largest = wide.abs().flatten(1).amax(1).reshape(-1, *[1] * (weight.ndim - 1))
    scale = (largest / _LEVELS).to(weight.dtype)
    steps = wide / scale.float().clamp_min(torch.finfo(torch.float32).tiny)
    return steps.round().clamp(-_LEVELS, _LEVELS).to(torch.int8), scale


def kept_in(module: torch.nn.Module) -> torch.dtype:
    """Return the dtype that a module's large weights are kept in, which is that of computing where none is less."""
    weights = (layer.kept for layer in module.modules() if isinstance(layer, KeptLayer))
    return next(weights, next(module.parameters())).dtype
