"""Makes the bundled models: `python -m training` draws, trains and exports; `--help` lists the choices.

A killed run goes on from its last checkpoint when it is started again with the same arguments.
"""

from __future__ import annotations

import argparse
import copy
import logging
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from transformers import CLIPTokenizer

from .architecture import Models, build_clip
from .dataset import Dataset, open_dataset, plan
from .export import MODELS, export_models
from .loop import Schedule
from .tokenizer import build_tokenizer
from .train_clip import ClipTask, train_clip
from .train_diffusion import Leg, Mixture, Painter, open_prepared, train_diffusion
from .train_vae import train_vae

WORK = Path(__file__).resolve().parent / ".work"
logger = logging.getLogger("style_pack.training")


@dataclass(frozen=True)
class Recipe:
    """The size of a whole run.

    CLIP trains in two legs and the painter in four, each from the average of the last and with a schedule of its own.
    The painter's first two legs read words and references with the CLIP of the first leg, which takes a quarter of an
    hour; the others with the finished one, which tells styles and scenes far better.
    """

    groups: int
    per_group: int
    vae: Schedule
    clip: Schedule
    clip_further: Schedule
    diffusion: Schedule
    diffusion_further: Schedule
    diffusion_finished_clip: Schedule
    diffusion_words: Schedule


RECIPES = {
    "full": Recipe(
        groups=1080,
        per_group=7,
        vae=Schedule(steps=5000, batch=3, learning_rate=2e-3),
        clip=Schedule(steps=700, batch=40, learning_rate=1e-3, warm_up=50, save_every=50),
        clip_further=Schedule(steps=1300, batch=40, learning_rate=7e-4, save_every=50),
        diffusion=Schedule(steps=3600, batch=8, learning_rate=1.2e-3, averaging=0.997),
        diffusion_further=Schedule(steps=7000, batch=8, learning_rate=1e-3, averaging=0.998),
        diffusion_finished_clip=Schedule(steps=7600, batch=8, learning_rate=1e-3, averaging=0.998),
        diffusion_words=Schedule(steps=9000, batch=8, learning_rate=1e-3, averaging=0.998),
    ),
    "smoke": Recipe(
        groups=6,
        per_group=2,
        vae=Schedule(steps=2, batch=1, learning_rate=1e-3, save_every=1),
        clip=Schedule(steps=2, batch=4, learning_rate=1e-3, save_every=1),
        clip_further=Schedule(steps=2, batch=4, learning_rate=1e-3, save_every=1),
        diffusion=Schedule(steps=2, batch=2, learning_rate=1e-3, save_every=1),
        diffusion_further=Schedule(steps=2, batch=2, learning_rate=1e-3, save_every=1),
        diffusion_finished_clip=Schedule(steps=2, batch=2, learning_rate=1e-3, save_every=1),
        diffusion_words=Schedule(steps=2, batch=2, learning_rate=1e-3, save_every=1),
    ),
}
# Edges are learned in the first leg; the others see more and more of what has none, which takes longer.
FIRST_MIXTURE = Mixture(edges=0.8, reference=0.75)
FURTHER_MIXTURE = Mixture(edges=0.7, reference=0.72)
THIRD_MIXTURE = Mixture(edges=0.45, reference=0.65)
LAST_MIXTURE = Mixture(edges=0.4, reference=0.5, noise_power=0.75)


def train_models(recipe: Recipe, data: Dataset, tokenizer: CLIPTokenizer, work: Path) -> Models:
    """All stages in turn."""
    vae = train_vae(data, recipe.vae, work)
    torch.manual_seed(2)
    task = train_clip(data, tokenizer, recipe.clip, work, "clip", ClipTask(build_clip(len(tokenizer))))
    early_clip = copy.deepcopy(task.clip)
    clip = train_clip(data, tokenizer, recipe.clip_further, work, "clip_further", task).clip
    legs = (
        Leg("diffusion", recipe.diffusion, FIRST_MIXTURE, early_clip),
        Leg("diffusion_further", recipe.diffusion_further, FURTHER_MIXTURE, early_clip),
        Leg("diffusion_finished_clip", recipe.diffusion_finished_clip, THIRD_MIXTURE, clip),
        Leg("diffusion_words", recipe.diffusion_words, LAST_MIXTURE, clip),
    )
    torch.manual_seed(3)
    painter = Painter()
    for leg in legs:
        prepared = open_prepared(work / "prepared.pt", data, vae, leg.clip)
        painter = train_diffusion(prepared, tokenizer, leg, work, painter)
    return Models(vae, painter.plain_unet(), painter.controlnet, painter.ip_adapter, clip)


def without_steps(recipe: Recipe) -> Recipe:
    """The same recipe, training nothing: every stage gives what its checkpoint holds."""
    stages = {field.name: getattr(recipe, field.name) for field in fields(recipe)}
    idle = {name: replace(stage, steps=0) for name, stage in stages.items() if isinstance(stage, Schedule)}
    return replace(recipe, **idle)


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
