"""What the denoising loop need not do again: equal numbers at every step, equal halves of guidance, reordered weights.

None of it changes a picture beyond the last bits of fp32. Knows the models' layers, not the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch

# A convolution's weights are reordered at every call of oneDNN's unless they were before. Below this width there are
# few weights and many pixels, and it was measured to gain nothing (AMD EPYC, torch 2.14, 256 pixels).
PACKED_CHANNELS = 640

# Layer -> (version of its weight, that weight in oneDNN's order): of runs that kept them.
_kept: WeakKeyDictionary[torch.nn.Module, tuple[tuple[int, int], torch.Tensor]] = WeakKeyDictionary()


def constant_layers(denoiser: Any) -> list[torch.nn.Module]:
    """Return the layers whose input is the same at every step: what reads edges, words and references."""
    layers = [denoiser.unet.encoder_hid_proj, denoiser.controlnet.controlnet_cond_embedding]
    for model in (denoiser.unet, denoiser.controlnet):
        for name, module in model.named_modules():
            if name.endswith(("attn2.to_k", "attn2.to_v")) or ".to_k_ip." in name or ".to_v_ip." in name:
                layers.append(module)
    return layers


@contextmanager
def computed_once(layers: list[torch.nn.Module]) -> Iterator[None]:
    """Let a layer that is given the same object again answer as before."""
    with _replaced({layer: _remembering(layer.forward) for layer in layers}):
        yield


class EqualHalves:
    """While it is entered and `guided`, layers before any word is read are computed for one half of the batch.

    Both halves of guidance hold the same latents, and differ from the first cross-attention on. The other half is a
    copy.
    """

    def __init__(self, denoiser: Any) -> None:
        self.guided = False
        self._layers = [*_before_words(denoiser.unet), *_before_words(denoiser.controlnet)]

    def __enter__(self) -> EqualHalves:
        self._context = _replaced({layer: self._for_both(layer.forward) for layer in self._layers})
        self._context.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)

    def _for_both(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        def answer(*given: Any, **named: Any) -> Any:
            if not self.guided:
                return forward(*given, **named)
            return _twice(forward(*map(_first_half, given), **{key: _first_half(each) for key, each in named.items()}))

        return answer


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
    with _replaced({layer: _packed(layer) for layer in wide} if _can_pack() else {}):
        yield


def forget_packed(model: torch.nn.Module) -> None:
    """Free the copies of a model's weights that `packed_convolutions` keeps."""
    for layer in model.modules():
        _kept.pop(layer, None)


def _before_words(model: Any) -> list[torch.nn.Module]:
    """Return the layers of a UNet or ControlNet, in order, that come before its first cross-attention."""
    layers = [model.conv_in]
    for block in (*model.down_blocks, model.mid_block):
        if not getattr(block, "has_cross_attention", False):
            layers.append(block)
            continue
        attention = block.attentions[0]
        first = attention.transformer_blocks[0]
        # The middle has a ResNet before its attention too, and the same names.
        return [*layers, block.resnets[0], attention.norm, attention.proj_in, first.norm1, first.attn1]
    return layers


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


@contextmanager
def _replaced(forwards: dict[Any, Callable[..., Any]]) -> Iterator[None]:
    """Let layers compute by other functions, and by their own again afterwards."""
    try:
        for layer, forward in forwards.items():
            layer.forward = forward
        yield
    finally:
        for layer in forwards:
            layer.__dict__.pop("forward", None)


def _remembering(forward: Callable[[Any], Any]) -> Callable[[Any], Any]:
    last: list[Any] = []

    def answer(given: Any) -> Any:
        if not last or last[0] is not given:
            last[:] = given, forward(given)
        return last[1]

    return answer


def _first_half(value: Any) -> Any:
    return value.chunk(2)[0] if isinstance(value, torch.Tensor) else value


def _twice(value: Any) -> Any:
    return tuple(map(_twice, value)) if isinstance(value, tuple) else torch.cat([value, value])
