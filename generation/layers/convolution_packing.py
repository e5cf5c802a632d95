"""Wide convolutions on a processor, from weights that are kept in oneDNN's own order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch

from .replaced_forwards import replaced_forwards

# A convolution's weights are reordered at every call of oneDNN's unless they were before. Below this width there are
# few weights and many pixels, and it was measured to gain nothing (AMD EPYC, torch 2.14, 256 pixels).
PACKED_CHANNELS = 640

# Layer -> (version of its weight, that weight in oneDNN's order): of runs that kept them.
_kept: WeakKeyDictionary[torch.nn.Module, tuple[tuple[int, int], torch.Tensor]] = WeakKeyDictionary()


@contextmanager
def packed_convolutions(model: torch.nn.Module) -> Iterator[None]:
    """Compute wide convolutions from copies of their weights in oneDNN's own order, for as long as the context lasts.

    On a processor, in fp32; elsewhere nothing is done. The copies are kept for the next run with the same weights,
    until `forget_packed` or a run of other layers. They take as much memory as those weights: 2.7 GB of SD 1.5 with
    ControlNet.
    """
    wide = [layer for layer in model.modules() if type(layer) is torch.nn.Conv2d and _is_packable(layer)]
    for layer in set(_kept).difference(wide):
        del _kept[layer]
    with replaced_forwards({layer: _packed(layer) for layer in wide} if _can_pack() else {}):
        yield


def forget_packed(model: torch.nn.Module) -> None:
    """Free the copies of a model's weights that `packed_convolutions` keeps."""
    for layer in model.modules():
        _kept.pop(layer, None)


def _can_pack() -> bool:
    known = all(hasattr(torch.ops.mkldnn, name) for name in ("_reorder_convolution_weight", "_convolution_pointwise"))
    return torch.backends.mkldnn.is_available() and known


def _is_packable(layer: torch.nn.Conv2d) -> bool:
    weight = layer.weight
    plain = weight.device.type == "cpu" and weight.dtype == torch.float32 and layer.padding_mode == "zeros"
    return plain and layer.kernel_size != (1, 1) and layer.in_channels >= PACKED_CHANNELS


def _packed(layer: torch.nn.Conv2d) -> Callable[[torch.Tensor], torch.Tensor]:
    shape = [list(layer.padding), list(layer.stride), list(layer.dilation), layer.groups]
    made_of, weight = _kept.get(layer, (None, None))
    if made_of != (version := _version(layer.weight)):
        _kept.pop(layer, None)  # before the next copy is made
        weight = torch.ops.mkldnn._reorder_convolution_weight(layer.weight, *shape, [])
        _kept[layer] = version, weight

    def answer(given: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._convolution_pointwise(given, weight, layer.bias, *shape, "none", [], "")

    return answer


def _version(weight: torch.Tensor) -> tuple[int, int]:
    """Return where a weight lies, and how often it was written to, which torch does not count of inference tensors."""
    return weight.data_ptr(), 0 if weight.is_inference() else weight._version
