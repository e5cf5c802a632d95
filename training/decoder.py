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
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm
from transformers import CLIPModel

from .architecture import SCALING_FACTOR, build_scheduler
from .dataset import CONTROLS, SIZE, Dataset
from .export import remove_local_names
from .loop import Batch, Losses, Machine, Schedule, Stage, save_atomically
from .recipe import Recipe, first_pictures, read_arguments
from .tokenizer import build_tokenizer
from .train_diffusion import Mixture, Prepared, Reader, Teller, Told, fingerprint, open_prepared, words_for
from .train_vae import as_seen, chroma, crops_of, decode, high_pass, texture
from .turbo import load_clip, load_painter, untold

logger = logging.getLogger("style_pack.training")

# How the pictures are painted: as they are in use, with guidance and in a few or in many steps.
STEP_COUNTS = (4, 8, 12, 16)
GUIDANCES = (1.0, 1.5, 2.5)
PAINTED, PAINTING_BATCH = 2520, 105
# Of what the decoder sees, the share that was painted. The rest are the encoder's own latents, so that it forgets none.
PAINTED_SHARE = 0.7
LATENT_NOISE = 0.05
# A crop of 16 latents is decoded, and what lies nearer to its border than one latent does not count.
CROP, BORDER = 16, 8
ADVERSARY_FROM, ADVERSARY_WEIGHT = 0.12, 0.05
ADVERSARY_RATE = 4e-4


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

    def __init__(self, models: Path, prepared: Prepared, clip: CLIPModel, machine: Machine) -> None:
        self.painter, self.prepared, self.machine = load_painter(models).to(machine.device), prepared, machine
        self.teller = Teller(prepared, build_tokenizer(), PAINTING_BATCH, Mixture(edges=1, reference=1))
        self.reader = Reader(clip, machine)
        self.nothing = self.reader.words(self.teller.tokens([""]).to(machine.device))

    def told(self, indices: np.ndarray, rng: np.random.Generator) -> tuple[Told, Told]:
        """What the painter is told of these pictures, and what the unguided half is told."""
        data, ones = self.prepared.data, torch.ones(len(indices))
        packed = np.stack([data.packed[index, int(rng.integers(len(CONTROLS)))] for index in indices])
        texts = [words_for(data.entries[index], True, True, rng) for index in indices]
        batch = {
            "tokens": self.teller.tokens([text if rng.random() < 0.5 else "" for text in texts]),
            "packed": torch.from_numpy(packed),
            "reference": self.prepared.embeds[indices],
            "has_reference": ones,
        }
        told = Told.of(self.reader.read(self.machine.put(batch)))
        return told, untold(told, self.nothing)

    @torch.no_grad()
    def paint(self, told: tuple[Told, Told], steps: int, guidance: float, generator: torch.Generator) -> torch.Tensor:
        """Latents (N, 4, 32, 32) after DDIM, scaled as the UNet sees them."""
        scheduler = build_scheduler()
        scheduler.set_timesteps(steps)
        latents = torch.randn((len(told[0].words), 4, 32, 32), generator=generator).to(self.machine.device)
        for time in scheduler.timesteps:
            times = time.expand(len(latents)).to(latents.device)
            velocity = self.painter(latents, times, told[0])
            if guidance > 1:
                without = self.painter(latents, times, told[1])
                velocity = without + guidance * (velocity - without)
            latents = scheduler.step(velocity, int(time), latents).prev_sample
        return latents.cpu()

    def paint_all(self) -> torch.Tensor:
        """Every picture once, (N, 4, 32, 32), in one of the step counts and with one of the guidances."""
        rng, generator = np.random.default_rng(50), torch.Generator().manual_seed(50)
        count, painted = len(self.prepared.data.entries), []
        for start in range(0, count, PAINTING_BATCH):
            told = self.told(np.arange(start, min(start + PAINTING_BATCH, count)), rng)
            steps, guidance = int(rng.choice(STEP_COUNTS)), float(rng.choice(GUIDANCES))
            painted.append(self.paint(told, steps, guidance, generator))
        return torch.cat(painted)


def open_pairs(recipe: Recipe, models: Path, vae: AutoencoderKL, work: Path, machine: Machine) -> Pairs:
    """The pairs, read from `work` where these very models made them before."""
    data = first_pictures(recipe, work).first(PAINTED)
    clip = load_clip(models)
    prepared = open_prepared(work / "decoder_prepared.pt", data, vae, clip, machine)
    painter = PairPainter(models, prepared, clip, machine)
    file, key = work / "decoder_painted.pt", fingerprint(painter.painter, clip)
    state = torch.load(file, weights_only=True) if file.is_file() else {}
    if state.get("key") != key or len(state["latents"]) != len(data.entries):
        logger.info("painting %d pictures", len(data.entries))
        state = {"key": key, "latents": painter.paint_all()}
        save_atomically(state, file)
    return Pairs(data, prepared.latents, state["latents"])


def draw_batch(pairs: Pairs, step: int, schedule: Schedule) -> Batch:
    """`latents` (N, 4, h, w), scaled as the UNet sees them, and `pictures` (N, 8h, 8w, 3) that they stand for."""
    rng, generator = np.random.default_rng((51, step)), torch.Generator().manual_seed(step)
    side, count = crops_of(step, schedule, CROP, SIZE // 8)
    latents, pictures = [], []
    for index in rng.integers(0, len(pairs.data.entries), size=count):
        top, left = rng.integers(0, SIZE // 8 - side + 1, size=2)
        source = pairs.painted if rng.random() < PAINTED_SHARE else pairs.drawn
        latents.append(source[index, :, top : top + side, left : left + side])
        pictures.append(pairs.data.pictures[index, top * 8 : (top + side) * 8, left * 8 : (left + side) * 8])
    batch = torch.stack(latents)
    noise = LATENT_NOISE * torch.randn(batch.shape, generator=generator)
    return {"latents": batch + noise, "pictures": torch.from_numpy(np.stack(pictures))}


def inner(pictures: torch.Tensor) -> torch.Tensor:
    """What lies further than BORDER pixels from the edge of a crop; a whole picture stays whole."""
    return pictures if pictures.shape[-1] == SIZE else pictures[..., BORDER:-BORDER, BORDER:-BORDER]


class DecoderTask:
    """The decoder and its critic, which learn in turn."""

    def __init__(self, vae: AutoencoderKL, pairs: Pairs, schedule: Schedule, work: Path, machine: Machine) -> None:
        self.pairs, self.schedule = pairs, schedule
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
        self.stage = Stage("decoder", vae, schedule, work, machine, machine.fast_dtype)
        self.critic = Stage("critic", Critic(), replace(schedule, learning_rate=ADVERSARY_RATE), work, machine)

    def losses(self, vae: AutoencoderKL, batch: Batch) -> Losses:
        """The named losses of the decoder, after the critic has seen what it decodes."""
        decoded = decode(vae, (batch["latents"] / SCALING_FACTOR).to(vae.dtype)).float()
        output, wanted = inner(decoded), inner(as_seen(batch["pictures"]))
        losses = {
            "l1": (output - wanted).abs().mean(),
            "detail": 2.0 * (high_pass(output) - high_pass(wanted)).abs().mean(),
            "texture": 1.5 * (texture(output) - texture(wanted)).abs().mean(),
            "chroma": 1.5 * (chroma(output) - chroma(wanted)).abs().mean(),
        }
        if self.stage.step >= ADVERSARY_FROM * self.schedule.steps:
            self.teach_critic(output.detach(), wanted)
            losses["adversary"] = -ADVERSARY_WEIGHT * self.critic.module(output).mean()
        return losses

    def teach_critic(self, decoded: torch.Tensor, real: torch.Tensor) -> None:
        """One step of the critic, by the hinge loss."""
        critic = self.critic
        loss = functional.relu(1 - critic.module(real)).mean() + functional.relu(1 + critic.module(decoded)).mean()
        critic.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        critic.descend()
        critic.step += 1
        if (self.stage.step + 1) % self.schedule.save_every == 0:
            critic.save()

    def run(self) -> AutoencoderKL:
        return self.stage.run(partial(draw_batch, self.pairs, schedule=self.schedule), self.losses)


def write(vae: AutoencoderKL, folder: Path) -> None:
    """Replace `folder` by this autoencoder in half precision, when it is complete."""
    draft = folder.with_name(".vae-draft")
    shutil.rmtree(draft, ignore_errors=True)
    copy.deepcopy(vae).half().save_pretrained(draft)
    remove_local_names(draft)
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)


def teach_decoder(recipe: Recipe, models: Path, work: Path, machine: Machine) -> None:
    """Replace the autoencoder of the models by one whose decoder has seen what their painter makes."""
    folder = models / "sd-tiny" / "vae"
    vae = AutoencoderKL.from_pretrained(folder, local_files_only=True).float()
    pairs = open_pairs(recipe, models, vae, work, machine)
    torch.manual_seed(5)
    task = DecoderTask(vae.to(memory_format=machine.layout), pairs, recipe.decoder, work, machine)
    write(task.run().cpu(), folder)
    logger.info("wrote %s", folder)


def main() -> None:
    teach_decoder(*read_arguments("training.decoder", "Train the decoder on painted latents.", "the decoder"))


if __name__ == "__main__":
    main()
