"""Teaches the autoencoder's decoder what the finished painter makes: `python -m training.decoder`.

The decoder was trained on latents of real pictures, and the painter's are softer. Here the painter paints every
training picture from the picture's own edges and its own reference, which gives pairs: painted latents, and the picture
that they stand for. Encoder, UNet, ControlNet and IP-Adapter stay as they are.

A small patch discriminator (Isola et al. 2017, arXiv 1611.07004; hinge loss and spectral norm: Miyato et al. 2018,
arXiv 1802.05957) asks for whole, sharp lines, where a mean of all likely lines would be the cheapest answer.

A killed run goes on from its last checkpoint when it is started again with the same arguments.
"""

from __future__ import annotations

import copy
import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm
from transformers import CLIPModel

from .architecture import SCALING_FACTOR, build_scheduler
from .dataset import CONTROLS, SIZE, Dataset, open_dataset, plan
from .export import remove_local_names
from .further import Recipe, read_arguments
from .loop import Losses, Schedule, Stage, save_atomically
from .tokenizer import build_tokenizer
from .train_diffusion import Mixture, Prepared, Teller, Told, fingerprint, open_prepared, words_for
from .train_vae import chroma, decode, high_pass, texture, to_batch
from .turbo import load_clip, load_painter, untold

logger = logging.getLogger("style_pack.training")

# How the pictures are painted: as they are in use, with guidance and in a few or in many steps.
STEP_COUNTS = (4, 8, 12, 16)
GUIDANCES = (1.0, 1.5, 2.5)
PAINTING_BATCH = 15
# Of what the decoder sees, the share that was painted. The rest are the encoder's own latents, so that it forgets none.
PAINTED_SHARE = 0.7
LATENT_NOISE = 0.05
# A crop of 16 latents is decoded, and what lies nearer to its border than one latent does not count.
CROP, BORDER = 16, 8
# The last steps see whole pictures, as in `train_vae`, for the group norms.
WHOLE_FROM = 0.85
ADVERSARY_FROM, ADVERSARY_WEIGHT = 0.12, 0.05
ADVERSARY_RATE = 4e-4


RECIPES = {
    "full": Recipe(135, 7, Schedule(steps=5500, batch=3, learning_rate=1e-3, averaging=0.997)),
    "smoke": Recipe(6, 2, Schedule(steps=2, batch=2, learning_rate=1e-3, save_every=1)),
}


@dataclass(frozen=True)
class Pairs:
    """data: the pictures; drawn and painted (N, 4, 32, 32): their latents by the encoder and by the painter."""

    data: Dataset
    drawn: torch.Tensor
    painted: torch.Tensor


class Critic(nn.Module):
    """Tells patches of real pictures from decoded ones: (N, 3, H, W) to scores (N, 1, H / 4, W / 4)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for narrow, wide, side, stride in ((3, 32, 4, 2), (32, 64, 4, 2), (64, 96, 3, 1)):
            layers += [spectral_norm(nn.Conv2d(narrow, wide, side, stride, 1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(96, 1, 3, 1, 1)))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.layers(pictures)


class PairPainter:
    """Paints the training pictures anew, each from its own edges and its own reference."""

    def __init__(self, models: Path, prepared: Prepared, clip: CLIPModel) -> None:
        self.painter, self.prepared = load_painter(models), prepared
        self.teller = Teller(prepared, clip, build_tokenizer(), PAINTING_BATCH, Mixture(edges=1, reference=1))
        self.nothing = self.teller.encode_words([""])

    def told(self, indices: np.ndarray, rng: np.random.Generator) -> Told:
        """What the painter is told of these pictures."""
        data, ones = self.prepared.data, torch.ones(len(indices))
        edges = np.stack([data.control(int(index), int(rng.integers(len(CONTROLS)))) for index in indices])
        texts = [words_for(data.entries[index], True, True, rng) for index in indices]
        return Told(
            words=self.teller.encode_words([text if rng.random() < 0.5 else "" for text in texts]),
            edges=torch.from_numpy(edges).float()[:, None].expand(-1, 3, -1, -1),
            has_edges=ones,
            reference=self.prepared.embeds[indices],
            has_reference=ones,
        )

    @torch.no_grad()
    def paint(self, told: Told, steps: int, guidance: float, generator: torch.Generator) -> torch.Tensor:
        """Latents (N, 4, 32, 32) after DDIM, scaled as the UNet sees them."""
        scheduler = build_scheduler()
        scheduler.set_timesteps(steps)
        latents = torch.randn((len(told.edges), 4, 32, 32), generator=generator)
        for time in scheduler.timesteps:
            times = time.expand(len(latents))
            velocity = self.painter(latents, times, told)
            if guidance > 1:
                without = self.painter(latents, times, untold(told, self.nothing))
                velocity = without + guidance * (velocity - without)
            latents = scheduler.step(velocity, int(time), latents).prev_sample
        return latents

    def paint_all(self) -> torch.Tensor:
        """Every picture once, (N, 4, 32, 32), in one of the step counts and with one of the guidances."""
        rng, generator = np.random.default_rng(50), torch.Generator().manual_seed(50)
        count, painted = len(self.prepared.data.entries), []
        for start in range(0, count, PAINTING_BATCH):
            told = self.told(np.arange(start, min(start + PAINTING_BATCH, count)), rng)
            steps, guidance = int(rng.choice(STEP_COUNTS)), float(rng.choice(GUIDANCES))
            painted.append(self.paint(told, steps, guidance, generator))
        return torch.cat(painted)


def open_pairs(recipe: Recipe, models: Path, vae: AutoencoderKL, work: Path) -> Pairs:
    """The pairs, read from `work` where these very models made them before."""
    # The same first groups as StyleJudge's and the LoRA's, so that one drawn set serves all.
    data = open_dataset(work / "judge", plan(recipe.groups, recipe.per_group, held_out=False))
    clip = load_clip(models)
    prepared = open_prepared(work / "decoder_prepared.pt", data, vae, clip)
    painter = PairPainter(models, prepared, clip)
    file, key = work / "decoder_painted.pt", fingerprint(painter.painter, clip)
    state = torch.load(file, weights_only=True) if file.is_file() else {}
    if state.get("key") != key or len(state["latents"]) != len(data.entries):
        logger.info("painting %d pictures", len(data.entries))
        state = {"key": key, "latents": painter.paint_all()}
        save_atomically(state, file)
    return Pairs(data, prepared.latents, state["latents"])


def draw_batch(pairs: Pairs, step: int, schedule: Schedule) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents (N, 4, h, w), scaled as the UNet sees them, and the crops (N, 3, 8h, 8w) in -1..1 that they stand for."""
    rng, generator = np.random.default_rng((51, step)), torch.Generator().manual_seed(step)
    whole = step > WHOLE_FROM * schedule.steps
    side, count = (SIZE // 8, 1) if whole else (CROP, schedule.batch)
    latents, pictures = [], []
    for index in rng.integers(0, len(pairs.data.entries), size=count):
        top, left = rng.integers(0, SIZE // 8 - side + 1, size=2)
        source = pairs.painted if rng.random() < PAINTED_SHARE else pairs.drawn
        latents.append(source[index, :, top : top + side, left : left + side])
        pictures.append(pairs.data.pictures[index, top * 8 : (top + side) * 8, left * 8 : (left + side) * 8])
    batch = torch.stack(latents)
    return batch + LATENT_NOISE * torch.randn(batch.shape, generator=generator), to_batch(np.stack(pictures))


def inner(pictures: torch.Tensor) -> torch.Tensor:
    """What lies further than BORDER pixels from the edge of a crop; a whole picture stays whole."""
    return pictures if pictures.shape[-1] == SIZE else pictures[..., BORDER:-BORDER, BORDER:-BORDER]


class DecoderTask:
    """The decoder and its critic, which learn in turn."""

    def __init__(self, vae: AutoencoderKL, pairs: Pairs, schedule: Schedule, work: Path) -> None:
        self.vae, self.pairs, self.schedule = vae, pairs, schedule
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
        self.stage = Stage("decoder", vae, schedule, work)
        self.critic = Stage("critic", Critic(), replace(schedule, learning_rate=ADVERSARY_RATE), work)

    def losses(self, step: int) -> Losses:
        """The named losses of the decoder, after the critic has seen what it decodes."""
        latents, pictures = draw_batch(self.pairs, step, self.schedule)
        output, wanted = inner(decode(self.vae, latents / SCALING_FACTOR)), inner(pictures)
        losses = {
            "l1": (output - wanted).abs().mean(),
            "detail": 2.0 * (high_pass(output) - high_pass(wanted)).abs().mean(),
            "texture": 1.5 * (texture(output) - texture(wanted)).abs().mean(),
            "chroma": 1.5 * (chroma(output) - chroma(wanted)).abs().mean(),
        }
        if step >= ADVERSARY_FROM * self.schedule.steps:
            self.teach_critic(output.detach(), wanted)
            losses["adversary"] = -ADVERSARY_WEIGHT * self.critic.module(output).mean()
        return losses

    def teach_critic(self, decoded: torch.Tensor, real: torch.Tensor) -> None:
        """One step of the critic, by the hinge loss."""
        critic = self.critic
        critic.descend(
            functional.relu(1 - critic.module(real)).mean() + functional.relu(1 + critic.module(decoded)).mean()
        )
        critic.step += 1
        if (self.stage.step + 1) % self.schedule.save_every == 0:
            critic.save()

    def run(self) -> AutoencoderKL:
        return cast(AutoencoderKL, self.stage.run(self.losses))


def write(vae: AutoencoderKL, folder: Path) -> None:
    """Replace `folder` by this autoencoder in half precision, when it is complete."""
    draft = folder.with_name(".vae-draft")
    shutil.rmtree(draft, ignore_errors=True)
    copy.deepcopy(vae).half().save_pretrained(draft)
    remove_local_names(draft)
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)


def main() -> None:
    about = "Train the decoder on painted latents."
    recipe, models, work = read_arguments("training.decoder", about, "the decoder", RECIPES)
    folder = models / "sd-tiny" / "vae"
    vae = AutoencoderKL.from_pretrained(folder, local_files_only=True).float()
    pairs = open_pairs(recipe, models, vae, work)
    torch.manual_seed(5)
    write(DecoderTask(vae.to(memory_format=torch.channels_last), pairs, recipe.schedule, work).run(), folder)
    logger.info("wrote %s", folder)


if __name__ == "__main__":
    main()
