"""What the commands share that go on from the finished painter: how large a run is, and their arguments."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from .export import MODELS
from .loop import Schedule

WORK = Path(__file__).resolve().parent / ".work"


@dataclass(frozen=True)
class Recipe:
    """groups, per_group: the size of the set of pictures."""

    groups: int
    per_group: int
    schedule: Schedule


def read_arguments(
    command: str, description: str, made: str, recipes: Mapping[str, Recipe]
) -> tuple[Recipe, Path, Path]:
    """Read the command line and return (recipe, folder of the models, folder of the work). made: what is written."""
    parser = argparse.ArgumentParser(prog=f"python -m {command}", description=description)
    parser.add_argument("--recipe", choices=sorted(recipes), default="full", help="smoke: a minute, to try the code")
    parser.add_argument("--models", type=Path, default=MODELS, help=f"the painter, and where {made} goes")
    parser.add_argument("--work", type=Path, default=WORK, help="where pictures, checkpoints and the log go")
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--threads", type=int, default=2, help="processor cores to use")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(asked.threads)
    recipe = recipes[asked.recipe]
    if asked.steps:
        recipe = replace(recipe, schedule=replace(recipe.schedule, steps=asked.steps))
    asked.work.mkdir(parents=True, exist_ok=True)
    return recipe, asked.models, asked.work
