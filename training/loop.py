"""The loop that all training stages share: schedule, averaging, log, checkpoints.

Knows nothing of what is trained.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

logger = logging.getLogger("style_pack.training")
Losses = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast one stage trains."""

    steps: int
    batch: int
    learning_rate: float
    warm_up: int = 100
    averaging: float = 0.995
    save_every: int = 100

    def rate(self, step: int) -> float:
        """Linear warm-up, then a cosine down to 2 % of the top rate."""
        rise = min(1.0, (step + 1) / self.warm_up)
        fall = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.steps)))
        return self.learning_rate * rise * fall


def save_atomically(state: object, file: Path) -> None:
    """Write a checkpoint so that a kill leaves the old one or the new one, never half of one."""
    draft = file.with_suffix(".draft")
    torch.save(state, draft)
    os.replace(draft, file)


class Stage:
    """One module in training with its running average; goes on from its checkpoint if there is one."""

    def __init__(self, name: str, module: nn.Module, schedule: Schedule, work: Path) -> None:
        self.name, self.module, self.schedule, self.work = name, module, schedule, work
        self.average = copy.deepcopy(module).requires_grad_(False).eval()
        trained = [weight for weight in module.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(
            trained, lr=schedule.learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
        )
        self.file = work / f"{name}.pt"
        self.step = 0
        if self.file.is_file():
            self.resume()

    def resume(self) -> None:
        state = torch.load(self.file, weights_only=True)
        self.module.load_state_dict(state["module"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        logger.info("%s goes on from step %d", self.name, self.step)

    def save(self) -> None:
        state = {
            "module": self.module.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }
        save_atomically(state, self.file)

    def run(self, losses_of: Callable[[int], Losses]) -> nn.Module:
        """Train up to the schedule's last step and return the averaged module.

        `losses_of(step)` gives named losses; their sum is minimised. It must draw its chance from `step`
        alone, so that a resumed run sees what an unbroken one would have seen.
        """
        self.module.train()
        started, first = time.monotonic(), self.step
        while self.step < self.schedule.steps:
            losses = losses_of(self.step)
            self.descend(torch.stack(list(losses.values())).sum())
            self.step += 1
            if self.step % self.schedule.save_every == 0 or self.step == self.schedule.steps:
                self.save()
                self.report(losses, (time.monotonic() - started) / (self.step - first))
        return self.average

    def descend(self, loss: torch.Tensor) -> None:
        if not torch.isfinite(loss):
            raise FloatingPointError(f"{self.name}: the loss is {loss.item()} at step {self.step}.")
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self.optimizer.step()
        # A young average must not remember the random start.
        keep = min(self.schedule.averaging, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for old, new in zip(self.average.parameters(), self.module.parameters(), strict=True):
                old.lerp_(new, 1 - keep)

    def report(self, losses: Losses, seconds: float) -> None:
        values = {name: round(loss.item(), 4) for name, loss in losses.items()}
        line = {
            "stage": self.name,
            "step": self.step,
            "of": self.schedule.steps,
            "seconds_per_step": round(seconds, 3),
            **values,
        }
        logger.info("%s", json.dumps(line))
        with (self.work / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
