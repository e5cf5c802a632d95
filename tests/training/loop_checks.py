"""What the training's own modules must do, for test_training_smoke.py: `training` is another package in its process.

    PYTHONPATH=. python tests/training/loop_checks.py ahead|narrow FOLDER

FOLDER: for `ahead` the work of a smoke run, for `narrow` an empty one.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import torch

from training.dataset import open_dataset, plan
from training.loop import Machine, Schedule, Stage
from training.train_vae import sample_crops


def ahead(work: Path) -> None:
    """Batches that workers draw ahead are the same."""
    data = open_dataset(work / "pictures", plan(6, 2, held_out=False))
    draw = partial(sample_crops, data, schedule=Schedule(steps=9, batch=2, learning_rate=1e-3))
    batches = list(Machine(workers=2).batches(draw, range(3, 9)))
    assert len(batches) == 6
    for step, batch in zip(range(3, 9), batches, strict=True):
        assert all(torch.equal(values, draw(step)[name]) for name, values in batch.items())


def narrow(folder: Path) -> None:
    """A module that computes in bf16 learns in fp32: small steps add up, which bf16 would lose."""

    def run(dtype: torch.dtype) -> torch.nn.Linear:
        torch.manual_seed(0)
        schedule = Schedule(steps=60, batch=8, learning_rate=1e-2, warm_up=1, averaging=0.9, save_every=60)
        stage = Stage(f"line in {dtype}", torch.nn.Linear(4, 1), schedule, folder, Machine(), dtype)

        def draw(step: int) -> dict[str, torch.Tensor]:
            return {"x": torch.randn(8, 4, generator=torch.Generator().manual_seed(step))}

        def losses(line: torch.nn.Linear, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            found = line(batch["x"].to(line.weight.dtype)).float()
            return {"squares": (found - batch["x"].sum(dim=1, keepdim=True)).square().mean()}

        return stage.run(draw, losses)

    in_fp32, in_bf16 = run(torch.float32), run(torch.bfloat16)
    assert in_bf16.weight.dtype == torch.float32
    torch.testing.assert_close(in_bf16.weight, in_fp32.weight, atol=0.03, rtol=0)
    assert not torch.equal(in_bf16.weight, in_bf16.weight.bfloat16().float())


if __name__ == "__main__":
    {"ahead": ahead, "narrow": narrow}[sys.argv[1]](Path(sys.argv[2]))
