"""Trains UNet, ControlNet and IP-Adapter together, from scratch, on latents.

Text encoder, image encoder and autoencoder are finished and frozen. Every sample mixes what it is told:
edges or none, a reference or none, words of all kinds or none, so that each works alone and together.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import nn
from torch.nn import functional
from transformers import CLIPModel, CLIPTokenizer

from .architecture import LATENT_CHANNELS, SCALING_FACTOR, IPAdapter, build_controlnet, build_scheduler, build_unet
from .captions import fill_in, pick, scene_caption
from .dataset import CONTROLS, SIZE, Dataset, Entry
from .loop import Batch, Losses, Machine, Schedule, Stage, on, save_atomically
from .train_clip import clip_pixels, image_embeds
from .train_vae import as_seen, encode
from .vocabulary import STYLE_WORDS, TEMPLATES

logger = logging.getLogger("style_pack.training")
EMPTY_REFERENCE_SHARE = 0.08
SELF_REFERENCE_SHARE = 0.12
# Latents that an edge crosses weigh more: most of the others are plain or random texture.
EDGE_WEIGHT = 1.0
ENCODED_AT_ONCE = 32


class AdaptedAttention:
    """Cross-attention to words plus, where a sample has a reference, to its image tokens.

    Computes what diffusers' IP-Adapter processor computes, with a switch for every sample of the batch.
    """

    def __init__(self, weights: Any) -> None:  # a ModuleDict inside another, which its type does not tell
        self.weights = weights
        self.tokens = torch.empty(0)
        self.switch = torch.empty(0)

    def __call__(
        self, attn: Any, hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor, **_: object
    ) -> torch.Tensor:
        query = self.split(attn, attn.to_q(hidden_states))
        words = self.attend(attn, query, attn.to_k(encoder_hidden_states), attn.to_v(encoder_hidden_states))
        keys, values = self.weights["to_k_ip"](self.tokens), self.weights["to_v_ip"](self.tokens)
        mixed = words + self.switch[:, None, None] * self.attend(attn, query, keys, values)
        return attn.to_out[1](attn.to_out[0](mixed))

    @staticmethod
    def split(attn: Attention, states: torch.Tensor) -> torch.Tensor:
        """(N, T, C) to (N, heads, T, C / heads)."""
        return states.unflatten(2, (attn.heads, -1)).transpose(1, 2)

    def attend(self, attn: Attention, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        seen = functional.scaled_dot_product_attention(query, self.split(attn, key), self.split(attn, value))
        return seen.transpose(1, 2).flatten(2)


class Painter(nn.Module):
    """UNet, ControlNet and IP-Adapter, wired together for training."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = build_unet()
        self.controlnet = build_controlnet()
        self.ip_adapter = IPAdapter(self.unet)

    def forward(self, latents: torch.Tensor, times: torch.Tensor, told: Told) -> torch.Tensor:
        """The predicted velocity, shaped as `latents` (N, 4, 32, 32), in fp32. It computes in the weights' dtype."""
        dtype = self.unet.dtype
        latents, told = latents.to(dtype), told.to(dtype)
        self.unet.set_attn_processor(self.wire(told))
        seen = len(told.edges)
        down, middle = self.controlnet(latents[:seen], times[:seen], told.words[:seen], told.edges, return_dict=False)
        return self.unet(
            latents,
            times,
            told.words,
            down_block_additional_residuals=[filled(state, len(latents)) for state in down],
            mid_block_additional_residual=filled(middle, len(latents)),
        ).sample.float()

    def wire(self, told: Told) -> dict[str, object]:
        """Attention processors that see the references of this batch."""
        processors = dict(self.unet.attn_processors)
        tokens = self.ip_adapter.image_proj(told.reference)
        for number, name in enumerate(processors):
            if str(number) in self.ip_adapter.ip_adapter:
                processors[name] = AdaptedAttention(self.ip_adapter.ip_adapter[str(number)])
                processors[name].tokens, processors[name].switch = tokens, told.has_reference
        return processors

    def plain_unet(self) -> UNet2DConditionModel:
        """The UNet without the adapter's processors, as it is published."""
        self.unet.set_default_attn_processor()
        return self.unet


def filled(values: torch.Tensor, count: int) -> torch.Tensor:
    """(K, C, H, W) with zeros for the samples that are missing, (count, C, H, W)."""
    return functional.pad(values, (0, 0, 0, 0, 0, 0, 0, count - len(values)))


@dataclass(frozen=True)
class Told:
    """What a batch of N samples is conditioned on; the first K alone have edges.

    words (N, 77, 128), edges (K, 3, 256, 256), reference (N, 192) and has_reference (N,).
    """

    words: torch.Tensor
    edges: torch.Tensor
    reference: torch.Tensor
    has_reference: torch.Tensor

    @classmethod
    def of(cls, batch: Batch) -> Told:
        """What `Teller` drew and `Reader` read."""
        own = ("words", "reference", "has_reference")
        return cls(edges=unpacked(batch["packed"]), **{name: batch[name] for name in own})

    def to(self, dtype: torch.dtype) -> Told:
        return Told(**{field.name: getattr(self, field.name).to(dtype) for field in fields(self)})


def unpacked(packed: torch.Tensor) -> torch.Tensor:
    """Edge maps (N, 3, 256, 256) of 0 and 1, three times the same, of (N, 8192) uint8 as np.packbits gives them."""
    shifts = torch.arange(7, -1, -1, device=packed.device, dtype=torch.uint8)
    bits = (packed[..., None] >> shifts) & 1
    return bits.view(-1, 1, SIZE, SIZE).float().expand(-1, 3, -1, -1)


@dataclass(frozen=True)
class Mixture:
    """Shares of the samples that are told edges and that are told a reference, 0..1.

    noise_power: 1 spreads samples without edges evenly over the noise levels; less leans towards high noise, where the
    scene itself is decided.
    """

    edges: float
    reference: float
    noise_power: float = 1.0


MIXTURE = Mixture(edges=0.6, reference=0.62, noise_power=0.75)
ALPHAS = build_scheduler().alphas_cumprod  # the signal's shares of the variance, (1000,)


@dataclass(frozen=True)
class Prepared:
    """Everything that can be computed once: latents (N, 4, 32, 32) and image embeddings (N, 192)."""

    data: Dataset
    latents: torch.Tensor
    embeds: torch.Tensor


@torch.no_grad()
def prepare(data: Dataset, vae: AutoencoderKL, clip: CLIPModel, machine: Machine) -> Prepared:
    """Encode every picture with the finished models."""
    vae, clip = vae.to(machine.device), clip.to(machine.device)

    def draw(start: int) -> Batch:
        pictures = np.asarray(data.pictures[start : start + ENCODED_AT_ONCE])
        return {"pictures": torch.tensor(pictures), "pixels": clip_pixels(pictures)}

    latents, embeds = [], []
    for batch in map(machine.put, machine.batches(draw, range(0, len(data.entries), ENCODED_AT_ONCE))):
        latents.append((encode(vae, as_seen(batch["pictures"])) * SCALING_FACTOR).contiguous().cpu())
        embeds.append(image_embeds(clip, batch["pixels"]).cpu())
    return Prepared(data, torch.cat(latents), torch.cat(embeds))


def fingerprint(*models: nn.Module) -> float:
    """A number that changes with the weights, but hardly with the order of its own sums."""
    return sum(weight.double().abs().sum().item() for model in models for weight in model.parameters())


def open_prepared(file: Path, data: Dataset, vae: AutoencoderKL, clip: CLIPModel, machine: Machine) -> Prepared:
    """What `prepare` made for these very models, read from `file` if it is there."""
    key = fingerprint(vae, clip)
    if file.is_file():
        state = torch.load(file, weights_only=True)
        if math.isclose(state["key"], key, rel_tol=1e-5) and len(state["latents"]) == len(data.entries):
            return Prepared(data, state["latents"], state["embeds"])
    logger.info("encoding %d pictures", len(data.entries))
    prepared = prepare(data, vae, clip, machine)
    save_atomically({"key": key, "latents": prepared.latents, "embeds": prepared.embeds}, file)
    return prepared


def words_for(entry: Entry, has_edges: bool, has_reference: bool, rng: np.random.Generator) -> str:
    """A prompt for one sample: without a reference it mostly names the style, without edges the scene."""
    chance = rng.random()
    if chance < (0.2 if has_edges else 0.08):
        return ""
    if entry.style not in STYLE_WORDS or chance < (0.4 if has_reference else 0.27):
        return scene_caption(entry.kind, rng).text
    other = has_reference and rng.random() < 0.15
    style = pick(rng, tuple(STYLE_WORDS)) if other else entry.style
    return fill_in(pick(rng, TEMPLATES), style, entry.kind, rng).text


class Teller:
    """Draws batches; each depends on its step alone."""

    def __init__(self, prepared: Prepared, tokenizer: CLIPTokenizer, batch: int, mixture: Mixture) -> None:
        self.prepared, self.tokenizer = prepared, tokenizer
        self.batch, self.mixture = batch, mixture
        self.members = prepared.data.groups()

    def draw(self, step: int) -> Batch:
        """Clean `latents` (N, 4, 32, 32), `noise` for them, what is told about them, and noise levels of the batch."""
        rng = np.random.default_rng((30, step))
        data = self.prepared.data
        targets = rng.integers(0, len(data.entries), size=self.batch)
        entries = [data.entries[index] for index in targets]
        own = rng.random(size=self.batch) < SELF_REFERENCE_SHARE
        siblings = [rng.choice(self.members[entry.group]) for entry in entries]
        references = np.where(own, targets, siblings)
        has_reference = rng.random(size=self.batch) < self.mixture.reference
        empty = torch.from_numpy(rng.random(size=(self.batch, 1)) >= EMPTY_REFERENCE_SHARE)
        has_edges = np.arange(self.batch) < max(1, round(self.mixture.edges * self.batch))
        packed = np.stack([data.packed[index, int(rng.integers(len(CONTROLS)))] for index in targets[has_edges]])
        texts = [words_for(*about, rng) for about in zip(entries, has_edges, has_reference, strict=True)]
        told = {
            "tokens": self.tokens(texts),
            "packed": torch.from_numpy(packed),
            "reference": self.prepared.embeds[references] * empty,
            "has_reference": torch.from_numpy(has_reference).float(),
        }
        clean = self.prepared.latents[targets]
        return {"latents": clean} | told | self.noise_levels(has_edges, clean.shape, step)

    def noise_levels(self, has_edges: np.ndarray, shape: torch.Size, step: int) -> Batch:
        """`times` (N,), spread over the batch, and `noise`."""
        generator = torch.Generator().manual_seed(step)
        order = torch.randperm(self.batch, generator=generator)
        spread = (order + torch.rand(self.batch, generator=generator)) / self.batch
        spread = torch.where(torch.from_numpy(has_edges), spread, spread**self.mixture.noise_power)
        times = (spread * 1000).long().clamp(max=999)
        return {"times": times, "noise": torch.randn(shape, generator=generator)}

    def tokens(self, texts: list[str]) -> torch.Tensor:
        """(N, 77), padding included, as the pipelines have it."""
        return self.tokenizer(
            texts, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
        ).input_ids


class Reader:
    """Reads the words of a batch with the finished text encoder."""

    def __init__(self, clip: CLIPModel, machine: Machine) -> None:
        self.clip = clip.to(machine.device).eval()

    @torch.no_grad()
    def words(self, tokens: torch.Tensor) -> torch.Tensor:
        """(N, 77, 128) of (N, 77) on the machine's device."""
        return self.clip.text_model(input_ids=tokens).last_hidden_state

    def read(self, batch: Batch) -> Batch:
        """The batch with `words` instead of `tokens`."""
        others = {name: values for name, values in batch.items() if name != "tokens"}
        return others | {"words": self.words(batch["tokens"])}


def velocity_losses(painter: Painter, batch: Batch, variance: float) -> Losses:
    """Squared error of the velocity, named. variance: of all clean latents."""
    told, clean, noise = Told.of(batch), batch["latents"], batch["noise"]
    alphas = on(clean.device, ALPHAS)[batch["times"]].view(-1, 1, 1, 1)
    noisy = alphas.sqrt() * clean + (1 - alphas).sqrt() * noise
    velocity = alphas.sqrt() * noise - (1 - alphas).sqrt() * clean
    near_edges = filled(functional.max_pool2d(told.edges[:, :1], 8), len(clean))
    # Dividing by the target's variance makes every noise level count the same: latents vary less than noise.
    weight = (1 + EDGE_WEIGHT * near_edges) / (alphas + (1 - alphas) * variance)
    predicted = painter(noisy, batch["times"], told)
    return {"velocity": ((predicted - velocity).square() * weight).sum() / (weight.sum() * LATENT_CHANNELS)}


def train_diffusion(
    prepared: Prepared, tokenizer: CLIPTokenizer, clip: CLIPModel, schedule: Schedule, work: Path, machine: Machine
) -> Painter:
    """The trained painter, averaged. clip: reads the words."""
    torch.manual_seed(3)
    painter = Painter().to(memory_format=machine.layout)
    teller = Teller(prepared, tokenizer, schedule.batch, MIXTURE)
    stage = Stage("diffusion", painter, schedule, work, machine, machine.fast_dtype, recorded=True)
    losses = partial(velocity_losses, variance=float(prepared.latents.var()))
    return cast(Painter, stage.run(teller.draw, losses, Reader(clip, machine).read))
