"""Makes the bundled models: `python -m training` draws, trains and exports; `--help` lists the choices.

A killed run goes on from its last checkpoint when it is started again with the same arguments.
"""

from __future__ import annotations

import argparse
import copy
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from transformers import CLIPModel, CLIPTokenizer

from .architecture import Models
from .dataset import Dataset, open_dataset, plan
from .export import MODELS, export_models
from .loop import Schedule
from .tokenizer import build_tokenizer
from .train_clip import train_clip
from .train_diffusion import Painter, open_prepared, train_diffusion
from .train_vae import train_vae

WORK = Path(__file__).resolve().parent / ".work"
logger = logging.getLogger("style_pack.training")


@dataclass(frozen=True)
class Recipe:
    """The size of a whole run."""

    groups: int
    per_group: int
    vae: Schedule
    clip: Schedule
    diffusion: Schedule


RECIPES = {
    "full": Recipe(
        groups=540,
        per_group=7,
        vae=Schedule(steps=5000, batch=3, learning_rate=2e-3),
        clip=Schedule(steps=700, batch=40, learning_rate=1e-3, warm_up=50, save_every=50),
        diffusion=Schedule(steps=3600, batch=8, learning_rate=1.2e-3, averaging=0.997),
    ),
    "smoke": Recipe(
        groups=6,
        per_group=2,
        vae=Schedule(steps=2, batch=1, learning_rate=1e-3, save_every=1),
        clip=Schedule(steps=2, batch=4, learning_rate=1e-3, save_every=1),
        diffusion=Schedule(steps=2, batch=2, learning_rate=1e-3, save_every=1),
    ),
}


def stack_of(vae: AutoencoderKL, clip: CLIPModel, painter: Painter) -> Models:
    """The trained parts as one stack."""
    return Models(vae, painter.plain_unet(), painter.controlnet, painter.ip_adapter, clip)


def train_models(recipe: Recipe, data: Dataset, tokenizer: CLIPTokenizer, work: Path) -> Models:
    """All stages in turn."""
    vae = train_vae(data, recipe.vae, work)
    clip = train_clip(data, tokenizer, recipe.clip, work)
    prepared = open_prepared(work / "prepared.pt", data, vae, clip)
    painter = train_diffusion(prepared, clip, tokenizer, recipe.diffusion, work)
    return stack_of(vae, clip, painter)


def without_steps(recipe: Recipe) -> Recipe:
    """The same recipe, training nothing: every stage gives what its checkpoint holds."""
    stages = {name: replace(getattr(recipe, name), steps=0) for name in ("vae", "clip", "diffusion")}
    return replace(recipe, **stages)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training", description="Train the bundled models from nothing.")
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="full", help="smoke: a minute, to try the code")
    parser.add_argument("--to", type=Path, default=MODELS, help="where the finished models go")
    parser.add_argument("--work", type=Path, default=WORK, help="where pictures, checkpoints and the log go")
    parser.add_argument("--threads", type=int, default=2, help="processor cores to use")
    parser.add_argument("--export-only", action="store_true", help="train nothing, write what the checkpoints hold")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    recipe = RECIPES[arguments.recipe]
    arguments.work.mkdir(parents=True, exist_ok=True)
    data = open_dataset(arguments.work / "pictures", plan(recipe.groups, recipe.per_group, held_out=False))
    if arguments.export_only:
        recipe = without_steps(recipe)
    models = train_models(recipe, data, build_tokenizer(), arguments.work)
    export_models(copy.deepcopy(models), arguments.to)
    logger.info("wrote the models to %s", arguments.to)


if __name__ == "__main__":
    main()
