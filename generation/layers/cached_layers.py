"""What the denoising loop computes once instead of again: equal numbers at every step, equal halves of guidance.

None of it changes a picture beyond the last bits of fp32. Knows the models' layers, not the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from .replaced_forwards import replaced_forwards


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
    with replaced_forwards({layer: _remembering(layer.forward) for layer in layers}):
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
        self._context = replaced_forwards({layer: self._for_both(layer.forward) for layer in self._layers})
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
