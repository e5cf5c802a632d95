"""DeepCache (Ma et al. 2023, arXiv 2312.00858): a step that computes the UNet's outermost level alone.

What enters the last up block changes little from one step to the next; it is kept at a full step and used again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


class DeepFeatures:
    """While it is entered, keeps what enters the UNet's last up block. residuals: ControlNet's, of that same step."""

    def __init__(self, unet: Any) -> None:
        self.unet = unet
        self.residuals: Sequence[torch.Tensor] = ()
        self._deep: torch.Tensor | None = None

    def __enter__(self) -> DeepFeatures:
        self._hook = self.unet.up_blocks[-1].register_forward_pre_hook(self._keep, with_kwargs=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._hook.remove()

    def _keep(self, block: torch.nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._deep = named["hidden_states"]

    def shallow(
        self,
        entering: torch.Tensor,
        time: torch.Tensor,
        text: torch.Tensor,
        added: dict[str, Any],
        attention: dict[str, Any],
    ) -> torch.Tensor:
        """Return the prediction (B, 4, h, w) from the first down block, the last up block and the kept features."""
        unet, deep = self.unet, self._deep
        moment = unet.time_embedding(unet.get_time_embed(entering, time))
        attends = {
            "encoder_hidden_states": unet.process_encoder_hidden_states(text, added),
            "cross_attention_kwargs": attention,
        }
        last = unet.up_blocks[-1]
        start = unet.conv_in(entering)
        _, skips = self._run(unet.down_blocks[0], attends, hidden_states=start, temb=moment)
        skips = (start, *skips)[: len(last.resnets)]
        if self.residuals:
            skips = tuple(skip + residual for skip, residual in zip(skips, self.residuals, strict=False))
        leaving = self._run(last, attends, hidden_states=deep, temb=moment, res_hidden_states_tuple=skips)
        return unet.conv_out(unet.conv_act(unet.conv_norm_out(leaving)))

    def _run(self, block: Any, attends: dict[str, Any], **inputs: Any) -> Any:
        return block(**inputs, **(attends if getattr(block, "has_cross_attention", False) else {}))
