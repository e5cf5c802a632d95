"""The loop that all training stages share: batches, schedule, precision, averaging, log, checkpoints.

Knows nothing of what is trained.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

logger = logging.getLogger("style_pack.training")
Batch = dict[str, torch.Tensor]
Losses = dict[str, torch.Tensor]
WARM_UPS = 3  # passes before one is recorded, as torch.cuda.graph asks for


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


@cache
def on(device: torch.device, constant: torch.Tensor) -> torch.Tensor:
    """A constant on a device, fetched once: a recorded pass can't fetch it."""
    return constant.to(device)


class Steps(Dataset[Batch]):
    """The batches of a stage, by their steps."""

    def __init__(self, draw: Callable[[int], Batch]) -> None:
        self.draw = draw

    def __getitem__(self, step: int) -> Batch:
        return self.draw(step)


@dataclass(frozen=True)
class Machine:
    """What trains.

    device: "cpu" or a card, as torch names it. workers: processes that draw batches; none draws them in between.
    """

    device: torch.device = torch.device("cpu")
    workers: int = 0

    @property
    def is_card(self) -> bool:
        return self.device.type == "cuda"

    @property
    def fast_dtype(self) -> torch.dtype:
        """What a module may compute in while its weights stay in fp32."""
        return torch.bfloat16 if self.is_card else torch.float32

    @property
    def layout(self) -> torch.memory_format:
        """The order of a convolution's weights: a card's group norms know only the plain one."""
        return torch.contiguous_format if self.is_card else torch.channels_last

    def put(self, batch: Batch) -> Batch:
        return {name: values.to(self.device, non_blocking=True) for name, values in batch.items()}

    def batches(self, draw: Callable[[int], Batch], steps: Sequence[int]) -> Iterable[Batch]:
        """Batches of some steps in their order, drawn ahead where there are workers."""
        ahead = 4 if self.workers else None
        return DataLoader(
            Steps(draw), None, sampler=steps, num_workers=self.workers, prefetch_factor=ahead, pin_memory=self.is_card
        )


def save_atomically(state: object, file: Path) -> None:
    """Write a checkpoint so that a kill leaves the old one or the new one, never half of one."""
    draft = file.with_suffix(".draft")
    torch.save(state, draft)
    os.replace(draft, file)


class Recorded:
    """Losses and gradients of batches of one shape, recorded once on a card and played again: launches cost nothing."""

    def __init__(self, work_out: Callable[[Batch], Losses], batch: Batch, weights: Sequence[nn.Parameter]) -> None:
        self.batch = {name: values.clone() for name, values in batch.items()}
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM_UPS):
                work_out(self.batch)
        torch.cuda.current_stream().wait_stream(beside)
        for weight in weights:
            weight.grad = None
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.losses = work_out(self.batch)
        self.gradients = [weight.grad for weight in weights]

    def play(self, batch: Batch) -> Losses:
        for name, values in batch.items():
            self.batch[name].copy_(values)
        self.graph.replay()
        return self.losses


class Stage:
    """One module in training with its running average; goes on from its checkpoint if there is one.

    dtype: the module computes in it, and its weights stay in fp32. recorded: on a card, passes are played from a
    record; then the losses must depend on the batch and the module alone.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        schedule: Schedule,
        work: Path,
        machine: Machine = Machine(),
        dtype: torch.dtype = torch.float32,
        recorded: bool = False,
    ) -> None:
        self.name, self.schedule, self.work, self.machine = name, schedule, work, machine
        self.module = module.to(machine.device)
        self.average = copy.deepcopy(self.module).requires_grad_(False).eval()
        self.weights = [weight for weight in self.module.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.weights, lr=schedule.learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
        )
        self.file = work / f"{name}.pt"
        self.step = 0
        if self.file.is_file():
            self.resume()
        self.module.train()
        self.fast = self.module if dtype == torch.float32 else copy.deepcopy(self.module).to(dtype)
        self.fast_weights = [weight for weight in self.fast.parameters() if weight.requires_grad]
        self.recorded, self.records = recorded and machine.is_card, dict[Any, Recorded]()

    def resume(self) -> None:
        state = torch.load(self.file, weights_only=True, map_location=self.machine.device)
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

    def run(
        self,
        draw: Callable[[int], Batch],
        losses_of: Callable[[Any, Batch], Losses],
        ready: Callable[[Batch], Batch] = lambda batch: batch,
    ) -> Any:
        """Train up to the schedule's last step and return the averaged module.

        `draw(step)` gives a batch, by the processor. It must draw its chance from `step` alone, so that a resumed run
        sees what an unbroken one would have seen. `ready(batch)` adds on the stage's device what the module does not
        learn. `losses_of(module, batch)` gives named losses there; their sum is minimised.
        """
        started, first = time.monotonic(), self.step
        for batch in self.machine.batches(draw, range(self.step, self.schedule.steps)):
            losses = self.work_out(losses_of, ready(self.machine.put(batch)))
            self.descend()
            self.step += 1
            if self.step % self.schedule.save_every == 0 or self.step == self.schedule.steps:
                self.report(losses, (time.monotonic() - started) / (self.step - first))
                self.save()
        return self.average

    def work_out(self, losses_of: Callable[[Any, Batch], Losses], batch: Batch) -> Losses:
        """The losses of a batch; the gradients lie at the weights that compute."""

        def passes(batch: Batch) -> Losses:
            for weight in self.fast_weights:
                weight.grad = None
            losses = losses_of(self.fast, batch)
            torch.stack(list(losses.values())).sum().backward()
            return {name: loss.detach() for name, loss in losses.items()}

        if not self.recorded:
            return passes(batch)
        shape = tuple(values.shape for values in batch.values())
        if shape not in self.records:
            self.records[shape] = Recorded(passes, batch, self.fast_weights)
        record = self.records[shape]
        losses = record.play(batch)
        for weight, gradient in zip(self.fast_weights, record.gradients, strict=True):
            weight.grad = gradient
        return losses

    def descend(self) -> None:
        """One step of the optimiser along the gradients."""
        if self.fast is not self.module:
            for weight, fast in zip(self.weights, self.fast_weights, strict=True):
                weight.grad = None if fast.grad is None else fast.grad.float()
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(self.step)
        nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        with torch.no_grad():
            if self.fast is not self.module:
                for fast, weight in zip(self.fast_weights, self.weights, strict=True):
                    fast.copy_(weight)
            # A young average must not remember the random start.
            keep = min(self.schedule.averaging, (self.step + 1) / (self.step + 10))
            mix = get_ema_multi_avg_fn(keep)
            mix(list(self.average.parameters()), list(self.module.parameters()), self.step)

    def report(self, losses: Losses, seconds: float) -> None:
        """Log the losses; raises FloatingPointError where one is no number."""
        values = {name: round(loss.item(), 4) for name, loss in losses.items()}
        if not all(map(math.isfinite, values.values())):
            raise FloatingPointError(f"{self.name}: the losses are {values} at step {self.step}.")
        line = {
            "stage": self.name,
            "step": self.step,
            "of": self.schedule.steps,
            "seconds_per_step": round(seconds, 4),
            **values,
        }
        logger.info("%s", json.dumps(line))
        with (self.work / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
