"""How long every part of the training is, and the arguments that its commands share."""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from .dataset import Dataset, Entry, open_dataset, plan
from .export import MODELS
from .loop import Machine, Schedule

# Pictures of the set that the autoencoder, the decoder and the LoRA learn from.
FIRST = 2940
WORK = Path(__file__).resolve().parent / ".work"


@dataclass(frozen=True)
class Recipe:
    """The size of a whole run: the drawn set, and every stage in turn.

    CLIP trains in two legs, the second from the average of the first. The painter reads words and references with the
    finished one.
    """

    groups: int
    per_group: int
    vae: Schedule
    clip: Schedule
    clip_further: Schedule
    diffusion: Schedule
    decoder: Schedule
    turbo: Schedule

    @property
    def entries(self) -> list[Entry]:
        """The whole drawn set."""
        return plan(self.groups, self.per_group, held_out=False)


RECIPES = {
    "full": Recipe(
        groups=2100,
        per_group=7,
        vae=Schedule(steps=8500, batch=32, learning_rate=2e-3, save_every=500),
        clip=Schedule(steps=700, batch=40, learning_rate=1e-3, warm_up=50, save_every=50),
        clip_further=Schedule(steps=1300, batch=40, learning_rate=7e-4, save_every=50),
        diffusion=Schedule(steps=7057, batch=128, learning_rate=1e-3, warm_up=300, averaging=0.9985, save_every=500),
        decoder=Schedule(steps=1366, batch=40, learning_rate=1e-3, averaging=0.995, save_every=100),
        # At a rate of 1e-3 the student agreed with itself on noise: only the last step ties it to pictures.
        turbo=Schedule(steps=300, batch=8, learning_rate=2e-4, warm_up=50, averaging=0.98, save_every=50),
    ),
    "smoke": Recipe(
        groups=6,
        per_group=2,
        vae=Schedule(steps=2, batch=1, learning_rate=1e-3, save_every=1),
        clip=Schedule(steps=2, batch=4, learning_rate=1e-3, save_every=1),
        clip_further=Schedule(steps=2, batch=4, learning_rate=1e-3, save_every=1),
        diffusion=Schedule(steps=2, batch=2, learning_rate=1e-3, save_every=1),
        decoder=Schedule(steps=2, batch=2, learning_rate=1e-3, save_every=1),
        turbo=Schedule(steps=2, batch=2, learning_rate=1e-3, save_every=1),
    ),
}


def parser_of(command: str, description: str) -> argparse.ArgumentParser:
    """The arguments that every command has."""
    parser = argparse.ArgumentParser(prog=f"python -m {command}", description=description)
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="full", help="smoke: a minute, to try the code")
    parser.add_argument("--work", type=Path, default=WORK, help="where pictures, checkpoints and the log go")
    parser.add_argument("--device", default="cpu", help="cuda: a card, where minutes are worth days of two cores")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw batches ahead, for a card")
    parser.add_argument("--threads", type=int, default=2, help="processor cores to use")
    return parser


def begin(asked: argparse.Namespace) -> tuple[Recipe, Machine]:
    """Get ready for what was asked for: the recipe and the machine, with the folder of the work made."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    asked.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(asked.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    return RECIPES[asked.recipe], Machine(torch.device(asked.device), asked.workers)


def first_pictures(recipe: Recipe, work: Path) -> Dataset:
    """The first of the drawn pictures, drawn unless they are there: all that most parts need."""
    return open_dataset(work / "first_pictures", recipe.entries[:FIRST])


def read_arguments(command: str, description: str, made: str) -> tuple[Recipe, Path, Path, Machine]:
    """Read the command line of a part that goes on from the finished painter.

    Return (recipe, folder of the models, folder of the work, machine). made: what is written.
    """
    parser = parser_of(command, description)
    parser.add_argument("--models", type=Path, default=MODELS, help=f"the painter, and where {made} goes")
    asked = parser.parse_args()
    recipe, machine = begin(asked)
    return recipe, asked.models, asked.work, machine
