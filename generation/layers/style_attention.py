"""Cross-attention to several references that share a picture: by their weights, and each where its mask allows.

Without either, a layer computes what diffusers' own processor does. What is shared is made for one run and handed to
every layer with its call, so that nothing of it is left for the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0
from torch.nn import functional


@dataclass(frozen=True)
class Region:
    """References that are attended to as one.

    weights: of each of them, above 0; only their ratios count.
    mask: (H, W) float 0..1, how strongly they are seen at each pixel of the picture; None = 1 everywhere.
    """

    weights: tuple[float, ...]
    mask: torch.Tensor | None = None

    @property
    def is_plain(self) -> bool:
        return self.mask is None and len(set(self.weights)) == 1


class SharedStyle:
    """The regions of one run, in the order of the references' tokens, in the shapes that attention asks for.

    height, width: of the latents.
    """

    def __init__(self, regions: Sequence[Region], height: int, width: int) -> None:
        self.regions = regions
        self._size = (height, width)
        self._made: dict[Any, torch.Tensor] = {}

    def bias(self, region: Region, tokens: int, like: torch.Tensor) -> torch.Tensor | None:
        """Return what is added to the scores of each of the region's tokens, (1, 1, 1, n * tokens); None = nothing.

        exp(score + log w) = w exp(score): a reference of weight 2 draws as much attention as two that are the same.
        """
        if len(set(region.weights)) == 1:
            return None
        key = (region.weights, tokens, like.dtype)
        if key not in self._made:
            logarithms = torch.tensor(region.weights, dtype=torch.float32).log().repeat_interleave(tokens)
            self._made[key] = logarithms[None, None, None].to(like)
        return self._made[key]

    def mask(self, region: Region, queries: int, like: torch.Tensor) -> torch.Tensor | None:
        """Return the region's mask for a layer of so many queries, (1, queries, 1); None = everywhere.

        Scaled bicubically, as IPAdapterMaskProcessor does. That guesses the layer's height and width from the ratio of
        the mask's, and pads where it errs; here they follow from the latents', halved and rounded up a level.
        """
        if region.mask is None:
            return None
        key = (id(region.mask), queries, like.dtype)
        if key not in self._made:
            height, width = self._size
            while height * width > queries:
                height, width = (height + 1) // 2, (width + 1) // 2
            small = functional.interpolate(region.mask[None, None].float(), size=(height, width), mode="bicubic")
            self._made[key] = small.reshape(1, queries, 1).to(like)
        return self._made[key]


class StyleAttention(IPAdapterAttnProcessor2_0):
    """diffusers' processor, which also takes a SharedStyle, under the name that diffusers passes on for masks."""

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: Any = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
        scale: float = 1.0,
        ip_adapter_masks: Any = None,
    ) -> torch.Tensor:
        if not isinstance(ip_adapter_masks, SharedStyle):
            return super().__call__(
                attn, hidden_states, encoder_hidden_states, attention_mask, temb, scale, ip_adapter_masks
            )
        text, (tokens,) = encoder_hidden_states
        query = _split(attn.to_q(hidden_states), attn.heads)
        seen = _attend(query, _split(attn.to_k(text), attn.heads), _split(attn.to_v(text), attn.heads))
        if self.scale[0]:
            seen = seen + self.scale[0] * self._style(attn.heads, query, tokens, ip_adapter_masks)
        return attn.to_out[1](attn.to_out[0](seen))

    def _style(self, heads: int, query: torch.Tensor, tokens: torch.Tensor, shared: SharedStyle) -> torch.Tensor:
        """Return what each query sees of the references, (B, queries, C). tokens: (B, references, tokens, D)."""
        keys, values = self.to_k_ip[0](tokens), self.to_v_ip[0](tokens)
        first, total = 0, torch.zeros((), dtype=query.dtype, device=query.device)
        for region in shared.regions:
            own = slice(first, first := first + len(region.weights))
            key, value = (_split(part[:, own].flatten(1, 2), heads) for part in (keys, values))
            seen = _attend(query, key, value, shared.bias(region, tokens.shape[2], query))
            mask = shared.mask(region, query.shape[2], query)
            total = total + (seen if mask is None else seen * mask)
        return total


def use_style_attention(unet: Any) -> None:
    """Put StyleAttention in the place of diffusers' own processors; it keeps their weights."""
    for module in unet.modules():
        if isinstance(own := getattr(module, "processor", None), IPAdapterAttnProcessor2_0):
            with torch.device("meta"):
                ours = StyleAttention(own.hidden_size, own.cross_attention_dim, own.num_tokens)
            ours.to_k_ip, ours.to_v_ip = own.to_k_ip, own.to_v_ip
            module.set_processor(ours)


def _split(states: torch.Tensor, heads: int) -> torch.Tensor:
    """(B, tokens, C) to (B, heads, tokens, C / heads)."""
    return states.unflatten(2, (heads, -1)).transpose(1, 2)


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """(B, heads, tokens, C / heads) to (B, tokens, C)."""
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=bias).transpose(1, 2).flatten(2)
