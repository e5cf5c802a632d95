"""Distils the bundled painter for 4 to 8 steps without guidance: `python -m training.turbo` writes a LoRA of the UNet.

Latent consistency distillation with a LoRA (Luo et al. 2023, arXiv 2311.05556 and 2310.04378): at each of the 50
timesteps of a DDIM solver, the student's picture is drawn towards its own picture one solver step nearer to the data,
where the guided teacher led. The painter predicts velocity at zero terminal SNR, and so does the student.

A killed run goes on from its last checkpoint when it is started again with the same arguments.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional
from transformers import CLIPModel

from .architecture import build_scheduler
from .loop import Batch, Losses, Machine, Stage, on
from .low_rank import LowRank
from .recipe import Recipe, first_pictures, read_arguments
from .tokenizer import build_tokenizer
from .train_diffusion import Mixture, Painter, Reader, Teller, Told, open_prepared

FILE = "lora-tiny/lcm-lora_tiny.safetensors"
logger = logging.getLogger("style_pack.training")

RANK = 10  # 1.6 MB
UNCHANGED = ("conv_in", "conv_out", "time_embedding")
GUIDANCE = 1.5  # the teacher's, which models/README.md recommends
SOLVER_STEPS = 50  # `original_inference_steps` of diffusers' LCMScheduler
SPACING = 1000 // SOLVER_STEPS
# Boundary condition of consistency models, with LCMScheduler's numbers: at time 0 the student answers with its input.
SIGMA_DATA, TIME_SCALE = 0.5, 10.0
HUBER = 0.001
MIXTURE = Mixture(edges=0.85, reference=0.85)
ALPHAS = torch.cat([build_scheduler().alphas_cumprod, torch.ones(1)])  # the last one, at index -1, is the clean picture


def load_painter(models: Path) -> Painter:
    """The finished painter, frozen."""
    painter = Painter()
    unet = UNet2DConditionModel.from_pretrained(models / "sd-tiny" / "unet", local_files_only=True)
    controlnet = ControlNetModel.from_pretrained(models / "controlnet-canny-tiny", local_files_only=True)
    painter.unet.load_state_dict(unet.state_dict())
    painter.controlnet.load_state_dict(controlnet.state_dict())
    painter.ip_adapter.load_state_dict(load_file(models / "ip-adapter-tiny" / "ip-adapter_tiny.safetensors"))
    return painter.float().requires_grad_(False).eval()


def load_clip(models: Path) -> CLIPModel:
    """Both towers that the painter works with, frozen."""
    clip = CLIPModel.from_pretrained(models / "clip-tiny", local_files_only=True, trust_remote_code=False)
    return clip.float().requires_grad_(False).eval()


def at(times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Shares of signal and noise, (N, 1, 1, 1) each, at timesteps of which -1 is the clean picture."""
    alphas = on(times.device, ALPHAS)[times].view(-1, 1, 1, 1)
    return alphas.sqrt(), (1 - alphas).sqrt()


def consistent(latents: torch.Tensor, times: torch.Tensor, velocity: torch.Tensor) -> torch.Tensor:
    """The clean picture that a student's velocity means."""
    signal, noise = at(times)
    scaled = times.clamp(min=0).view(-1, 1, 1, 1) * TIME_SCALE
    keep = SIGMA_DATA**2 / (scaled**2 + SIGMA_DATA**2)
    change = scaled / (scaled**2 + SIGMA_DATA**2) ** 0.5
    return keep * latents + change * (signal * latents - noise * velocity)


def untold(told: Told, nothing: torch.Tensor) -> Told:
    """What the unguided half is told: the same edges, no word, and the zeros that stand for no reference."""
    return replace(told, words=nothing.expand_as(told.words), reference=torch.zeros_like(told.reference))


class Distiller:
    """Teacher and student are one painter, with the changes off and on."""

    def __init__(self, painter: Painter, teller: Teller, reader: Reader) -> None:
        self.painter, self.teller = painter, teller
        self.student = LowRank(painter.unet, RANK, UNCHANGED)
        self.nothing = reader.words(teller.tokens([""]).to(reader.clip.device))

    def draw(self, step: int) -> Batch:
        """What the teller draws, at `times` of the solver."""
        batch = self.teller.draw(step)
        generator = torch.Generator().manual_seed(step)
        times = torch.randint(1, SOLVER_STEPS + 1, (len(batch["times"]),), generator=generator) * SPACING - 1
        return batch | {"times": times}

    def losses(self, _: nn.Module, batch: Batch) -> Losses:
        """Distance of the student's picture from its own one solver step later, as the teacher solves it."""
        told, times, clean = Told.of(batch), batch["times"], batch["latents"]
        signal, noise_share = at(times)
        noisy = signal * clean + noise_share * batch["noise"]
        with torch.no_grad():
            later = self.solved(noisy, times, told)
            self.student.switch(True)
            after = times - SPACING
            velocity = self.painter(later, after.clamp(min=0), told)
            target = torch.where(after.view(-1, 1, 1, 1) < 0, later, consistent(later, after, velocity))
        answer = consistent(noisy, times, self.painter(noisy, times, told))
        return {"consistency": (functional.mse_loss(answer, target, reduction="none") + HUBER**2).sqrt().mean() - HUBER}

    def solved(self, noisy: torch.Tensor, times: torch.Tensor, told: Told) -> torch.Tensor:
        """One DDIM step of the guided teacher, over SPACING timesteps."""
        self.student.switch(False)
        without = self.painter(noisy, times, untold(told, self.nothing))
        velocity = without + GUIDANCE * (self.painter(noisy, times, told) - without)
        signal, noise_share = at(times)
        picture, noise = signal * noisy - noise_share * velocity, noise_share * noisy + signal * velocity
        signal, noise_share = at(times - SPACING)
        return signal * picture + noise_share * noise


def distil_turbo(recipe: Recipe, models: Path, work: Path, machine: Machine) -> None:
    """Write the averaged student of the models' painter as their LoRA."""
    clip = load_clip(models)
    vae = AutoencoderKL.from_pretrained(models / "sd-tiny" / "vae", local_files_only=True).float().eval()
    prepared = open_prepared(work / "turbo_prepared.pt", first_pictures(recipe, work), vae, clip, machine)
    torch.manual_seed(4)
    teller = Teller(prepared, build_tokenizer(), recipe.turbo.batch, MIXTURE)
    reader = Reader(clip, machine)
    distiller = Distiller(load_painter(models).to(machine.device), teller, reader)
    student = distiller.student
    stage = Stage("turbo", student.changes.to(machine.device), recipe.turbo, work, machine)
    averaged = stage.run(distiller.draw, distiller.losses, reader.read)
    student.changes.load_state_dict(averaged.state_dict())
    student.write(models / FILE)
    logger.info("wrote %s", models / FILE)


def main() -> None:
    distil_turbo(*read_arguments("training.turbo", "Distil the LoRA for speed turbo.", "the LoRA"))


if __name__ == "__main__":
    main()
