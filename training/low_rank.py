"""A LoRA in training: low-rank changes of a frozen model's layers, switched on and off, and written as a file.

Knows layers, not what they are trained for.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrize


class Change(nn.Module):
    """weight + up @ down, for one layer, while `on`."""

    def __init__(self, weight: torch.Tensor, rank: int) -> None:
        super().__init__()
        rank = min(rank, weight.shape[0])
        inputs = weight[0].numel()
        self.down = nn.Parameter(torch.randn(rank, inputs) / inputs**0.5)
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank))
        self.on = True

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + (self.up @ self.down).view_as(weight) if self.on else weight


class LowRank(nn.Module):
    """Changes of a model's linear and convolution layers, all of no effect at first. The model is changed for good.

    skip: beginnings of the names of layers that stay as they are.
    """

    def __init__(self, model: nn.Module, rank: int, skip: tuple[str, ...]) -> None:
        super().__init__()
        kinds = (nn.Linear, nn.Conv2d)
        layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, kinds)}
        self.layers: dict[str, nn.Module] = {n: layer for n, layer in layers.items() if not n.startswith(skip)}
        self.changes = nn.ModuleDict()
        for name, layer in self.layers.items():
            change = Change(layer.get_parameter("weight"), rank)
            self.changes[name.replace(".", "_")] = change
            parametrize.register_parametrization(layer, "weight", change)

    def switch(self, on: bool) -> None:
        """Let the model compute with its changes, or as it was."""
        for change in self.changes.values():
            cast(Change, change).on = on

    def write(self, file: Path) -> None:
        """Write half-precision factors in kohya's layout, with alpha equal to the rank: a scale of 1."""
        state = {}
        for name, layer in self.layers.items():
            key, window = name.replace(".", "_"), layer.get_parameter("parametrizations.weight.original").shape[1:]
            down, up = self.changes[key].get_parameter("down"), self.changes[key].get_parameter("up")
            stem, rank = f"lora_unet_{key}", len(down)
            state[f"{stem}.lora_down.weight"] = down.detach().cpu().reshape(rank, *window).half().contiguous()
            ones = (1,) * (len(window) - 1)
            state[f"{stem}.lora_up.weight"] = up.detach().cpu().reshape(-1, rank, *ones).half().contiguous()
            state[f"{stem}.alpha"] = torch.tensor(float(rank))
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(state, file, metadata={"format": "pt"})
