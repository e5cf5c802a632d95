"""Makes the bundled models: `python -m training` draws, trains and exports; `--help` lists the choices.

A killed run goes on from its last checkpoint when it is started again with the same arguments. Days of two cores, or
minutes of a card: `--device cuda --workers 12`.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
from pathlib import Path

import torch
from transformers import CLIPModel, CLIPTokenizer

from .architecture import Models, build_clip
from .dataset import Dataset, open_dataset
from .decoder import teach_decoder
from .export import MODELS, export_models
from .loop import Machine
from .recipe import Recipe, begin, first_pictures, parser_of
from .tokenizer import build_tokenizer
from .train_clip import ClipTask, train_clip
from .train_diffusion import open_prepared, train_diffusion
from .train_vae import train_vae
from .turbo import distil_turbo, load_clip

logger = logging.getLogger("style_pack.training")


def train_models(recipe: Recipe, work: Path, machine: Machine, finished_clip: CLIPModel | None) -> Models:
    """Everything but what `training.decoder` and `training.turbo` add. Without a finished CLIP one is trained."""
    entries = recipe.entries
    first = first_pictures(recipe, work)
    # The autoencoder learns from the first pictures while the others are drawn.
    drawing = multiprocessing.get_context("spawn").Process(target=open_dataset, args=(work / "pictures", entries))
    drawing.start()
    vae = train_vae(first, recipe.vae, work, machine)
    drawing.join()
    data, tokenizer = open_dataset(work / "pictures", entries), build_tokenizer()
    clip = finished_clip or train_both_towers(data, tokenizer, recipe, work, machine)
    prepared = open_prepared(work / "prepared.pt", data, vae, clip, machine)
    painter = train_diffusion(prepared, tokenizer, clip, recipe.diffusion, work, machine)
    unet = painter.cpu().plain_unet()
    return Models(vae.cpu(), unet, painter.controlnet, painter.ip_adapter, clip.cpu())


def train_both_towers(
    data: Dataset, tokenizer: CLIPTokenizer, recipe: Recipe, work: Path, machine: Machine
) -> CLIPModel:
    """CLIP, in its two legs."""
    torch.manual_seed(2)
    start = ClipTask(build_clip(len(tokenizer)))
    task = train_clip(data, tokenizer, recipe.clip, work, "clip", start, machine)
    return train_clip(data, tokenizer, recipe.clip_further, work, "clip_further", task, machine).clip


def parse_arguments() -> argparse.Namespace:
    parser = parser_of("training", "Train the bundled models from nothing.")
    parser.add_argument("--to", type=Path, default=MODELS, help="where the finished models go")
    parser.add_argument("--keep-clip", action="store_true", help="use clip-tiny of --to instead of training one")
    parser.add_argument("--until", choices=("painter", "decoder", "turbo"), default="turbo", help="the last part")
    return parser.parse_args()


def main() -> None:
    asked = parse_arguments()
    recipe, machine = begin(asked)
    clip = load_clip(asked.to) if asked.keep_clip else None
    export_models(train_models(recipe, asked.work, machine, clip), asked.to)
    logger.info("wrote the models to %s", asked.to)
    if asked.until != "painter":
        teach_decoder(recipe, asked.to, asked.work, machine)
    if asked.until == "turbo":
        distil_turbo(recipe, asked.to, asked.work, machine)


if __name__ == "__main__":
    main()
