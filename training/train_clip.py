"""Trains both CLIP towers on the pictures and their captions.

Besides matching words and pictures, the image embedding must match that of another layout in the same
colours and must tell those colours: the IP-Adapter has nothing else to see the reference with. Both towers
must tell the style and the scene by the same two linear heads, which teaches them far sooner than matching does.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import CLIPModel, CLIPTokenizer

from .architecture import CLIP_IMAGE_SIZE, CLIP_MEAN, CLIP_STD, EMBED_DIM
from .captions import Caption, describe
from .dataset import Dataset, Entry, palette_of
from .loop import Batch, Losses, Machine, Schedule, Stage
from .palettes import ROLES
from .styles import RENDERERS
from .vocabulary import SCENE_WORDS

COLOUR_ROLES = ("sky", "far", "ground", "water", "wall", "roof", "leaf", "line")


class ClipTask(nn.Module):
    """CLIP with the auxiliary heads that only training needs."""

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        self.clip = clip
        self.colours = nn.Linear(EMBED_DIM, 3 * (len(COLOUR_ROLES) + 16))
        self.style = nn.Linear(EMBED_DIM, len(RENDERERS))
        self.kind = nn.Linear(EMBED_DIM, len(SCENE_WORDS))


def clip_pixels(pictures: np.ndarray) -> torch.Tensor:
    """(N, S, S, 3) uint8 to normalised (N, 3, 144, 144)."""
    side = CLIP_IMAGE_SIZE
    small = np.stack(
        [cv2.resize(np.ascontiguousarray(p), (side, side), interpolation=cv2.INTER_AREA) for p in pictures]
    )
    scaled = (small / 255 - np.array(CLIP_MEAN)) / np.array(CLIP_STD)
    return torch.from_numpy(scaled).permute(0, 3, 1, 2).float()


def image_embeds(clip: CLIPModel, pixels: torch.Tensor) -> torch.Tensor:
    """(N, 192), not normalised, as `CLIPVisionModelWithProjection` gives them."""
    return clip.visual_projection(clip.vision_model(pixel_values=pixels).pooler_output)


def text_embeds(clip: CLIPModel, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(N, 192), not normalised."""
    return clip.text_projection(clip.text_model(input_ids=tokens, attention_mask=mask).pooler_output)


def augment(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random crop of at least 70 % of the side, perhaps mirrored."""
    side = int(picture.shape[0] * rng.uniform(0.7, 1.0))
    top, left = rng.integers(0, picture.shape[0] - side + 1, size=2)
    crop = picture[top : top + side, left : left + side]
    return cv2.resize(
        np.ascontiguousarray(crop[:, ::-1] if rng.random() < 0.5 else crop), (256, 256), interpolation=cv2.INTER_AREA
    )


def affinities(captions: list[Caption], entries: list[Entry]) -> torch.Tensor:
    """How well caption i fits picture j, (N, N): what it does not mention fits everything equally."""
    rows = [
        [1.0 * (caption.style == entry.style) + 0.6 * (caption.kind == entry.kind) for entry in entries]
        for caption in captions
    ]
    return torch.tensor(rows)


def match_loss(texts: torch.Tensor, images: torch.Tensor, fit: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of both directions against soft targets, which prefer the better fits."""
    logits = scale * functional.normalize(texts, dim=1) @ functional.normalize(images, dim=1).T
    targets = fit * 6
    forward = functional.cross_entropy(logits, targets.softmax(dim=1))
    return (forward + functional.cross_entropy(logits.T, targets.T.softmax(dim=1))) / 2


def sibling_loss(first: torch.Tensor, second: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Each picture must find the other layout of its own group."""
    logits = scale * functional.normalize(first, dim=1) @ functional.normalize(second, dim=1).T
    return functional.cross_entropy(logits, torch.arange(len(first), device=logits.device))


def numbers(names: list[str | None], known: tuple[str, ...]) -> torch.Tensor:
    """Places of names (N,) among those that are known; -100 for none."""
    return torch.tensor([-100 if name is None else known.index(name) for name in names])


def naming_loss(head: nn.Linear, embeds: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the head's guess; embeddings (N, 192) without a name do not count."""
    guesses = head(functional.normalize(embeds, dim=1) * EMBED_DIM**0.5)
    return functional.cross_entropy(guesses, wanted, reduction="sum") / (wanted >= 0).sum().clamp(min=1)


def colour_targets(entries: list[Entry], pictures: np.ndarray) -> torch.Tensor:
    """(N, 72): the group's colours of some roles, and the picture reduced to 4 by 4."""
    rows = []
    for entry, picture in zip(entries, pictures, strict=True):
        palette = palette_of(entry)
        roles = [palette.one(role) for role in ROLES if role in COLOUR_ROLES]
        small = cv2.resize(np.ascontiguousarray(picture), (4, 4), interpolation=cv2.INTER_AREA) / 255
        rows.append(np.concatenate([np.concatenate(roles), small.ravel()]))
    return torch.from_numpy(np.stack(rows)).float()


class ClipBatches:
    """Pairs of pictures of one group with a caption, in batches that depend on the step alone."""

    def __init__(self, data: Dataset, tokenizer: CLIPTokenizer, batch: int) -> None:
        self.data, self.tokenizer, self.batch = data, tokenizer, batch
        self.groups = list(data.groups().values())

    def draw(self, step: int) -> Batch:
        """The pictures and, after them, their siblings, with everything that is to be told of them."""
        rng = np.random.default_rng((20, step))
        chosen = rng.choice(len(self.groups), size=self.batch, replace=self.batch > len(self.groups))
        pairs = np.stack([rng.choice(self.groups[index], size=2, replace=False) for index in chosen])
        pictures = np.stack([augment(self.data.pictures[index], rng) for index in pairs.T.ravel()])
        entries = [self.data.entries[index] for index in pairs[:, 0]]
        captions = [describe(entry, rng) for entry in entries]
        words = self.tokenizer([c.text for c in captions], padding="max_length", truncation=True, return_tensors="pt")
        styles, kinds = tuple(RENDERERS), tuple(SCENE_WORDS)
        return {
            "pixels": clip_pixels(pictures),
            "tokens": words.input_ids,
            "mask": words.attention_mask,
            "fit": affinities(captions, entries),
            "colours": colour_targets(entries, pictures[: self.batch]),
            "style": numbers([entry.style for entry in entries], styles),
            "kind": numbers([entry.kind for entry in entries], kinds),
            "style_word": numbers([caption.style for caption in captions], styles),
            "kind_word": numbers([caption.kind for caption in captions], kinds),
        }


def clip_losses(task: ClipTask, batch: Batch) -> Losses:
    """The named losses of one batch."""
    images = image_embeds(task.clip, batch["pixels"])
    texts = text_embeds(task.clip, batch["tokens"], batch["mask"])
    scale = task.clip.logit_scale.exp().clamp(max=50)
    ours, siblings = images.chunk(2)
    return {
        "match": match_loss(texts, ours, batch["fit"], scale),
        "sibling": 0.3 * sibling_loss(ours, siblings, scale),
        "colour": 6 * functional.mse_loss(task.colours(ours), batch["colours"]),
        "style": 0.3 * naming_loss(task.style, siblings, batch["style"]),
        "kind": 1.0 * naming_loss(task.kind, ours, batch["kind"]),
        "style_word": 0.3 * naming_loss(task.style, texts, batch["style_word"]),
        "kind_word": 0.3 * naming_loss(task.kind, texts, batch["kind_word"]),
    }


def train_clip(
    data: Dataset,
    tokenizer: CLIPTokenizer,
    schedule: Schedule,
    work: Path,
    name: str,
    start: ClipTask,
    machine: Machine,
) -> ClipTask:
    """What `start` becomes in the leg `name`, averaged; only training needs the heads beside its `clip`."""
    stage = Stage(name, start.requires_grad_(), schedule, work, machine)
    return cast(ClipTask, stage.run(ClipBatches(data, tokenizer, schedule.batch).draw, clip_losses))
