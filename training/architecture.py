"""Builds every miniature model, untrained, from a fixed seed.

The classes and the geometry are those of Stable Diffusion 1.5 (VAE factor 8, four latent channels,
four image tokens); only the widths and depths are small. Knows nothing of data or training.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

IMAGE_SIZE = 256
LATENT_SIZE = 32
LATENT_CHANNELS = 4
# SD 1.5's own factor, so that code which hard-codes it stays right.
SCALING_FACTOR = 0.18215
CROSS_DIM = 128
EMBED_DIM = 192
IMAGE_TOKENS = 4
CLIP_IMAGE_SIZE = 144
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
UNET_CHANNELS = (64, 128, 160)


@dataclass(frozen=True)
class Models:
    """One complete miniature stack. `clip` finds styles; its towers read the painter's words and references too."""

    vae: AutoencoderKL
    unet: UNet2DConditionModel
    controlnet: ControlNetModel
    ip_adapter: IPAdapter
    clip: CLIPModel


def build_vae() -> AutoencoderKL:
    """Autoencoder from (N, 3, H, W) in -1..1 to latents (N, 4, H/8, W/8)."""
    levels = 4
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=(32, 64, 128, 160),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=IMAGE_SIZE,
        scaling_factor=SCALING_FACTOR,
        mid_block_add_attention=False,
        force_upcast=False,
    )


def build_unet() -> UNet2DConditionModel:
    """Denoiser of (N, 4, 32, 32) latents, conditioned on (N, T, 128) tokens."""
    return UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=UNET_CHANNELS,
        layers_per_block=1,
        cross_attention_dim=CROSS_DIM,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def build_controlnet() -> ControlNetModel:
    """Edge reader, (N, 3, 256, 256) in 0..1 to residuals of the UNet's encoder.

    It has convolutions only: an edge map needs no words, and the time goes to the UNet.
    """
    controlnet = ControlNetModel(
        down_block_types=("DownBlock2D",) * len(UNET_CHANNELS),
        mid_block_type="UNetMidBlock2D",
        block_out_channels=UNET_CHANNELS,
        layers_per_block=1,
        cross_attention_dim=CROSS_DIM,
        attention_head_dim=4,
        norm_num_groups=8,
        conditioning_embedding_out_channels=(8, 24, 64, 96),
    )
    # Zero outputs would let the UNet settle without edges first; from scratch both must start together.
    outputs = [*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block]
    for conv in [*outputs, controlnet.controlnet_cond_embedding.conv_out]:
        nn.init.normal_(conv.weight, std=0.5 / conv.weight[0].numel() ** 0.5)
    return controlnet


class ImageProjection(nn.Module):
    """Image embedding (N, 192) to four tokens (N, 4, 128), named as in the published adapters."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(EMBED_DIM, IMAGE_TOKENS * CROSS_DIM)
        self.norm = nn.LayerNorm(CROSS_DIM)

    def forward(self, embeds: torch.Tensor) -> torch.Tensor:
        return self.norm(self.proj(embeds).reshape(-1, IMAGE_TOKENS, CROSS_DIM))


class IPAdapter(nn.Module):
    """Weights of an IP-Adapter: the projection and one key and value matrix per cross-attention.

    The state dict's keys are `image_proj.*` and `ip_adapter.N.to_k_ip.weight`, N odd, in the order of
    `unet.attn_processors` (https://github.com/tencent-ailab/IP-Adapter).
    """

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.image_proj = ImageProjection()
        self.ip_adapter = nn.ModuleDict()
        for number, name in enumerate(unet.attn_processors):
            if name.endswith("attn2.processor"):
                width = unet.get_submodule(name.removesuffix(".processor")).to_k.out_features
                self.ip_adapter[str(number)] = nn.ModuleDict(
                    {key: nn.Linear(CROSS_DIM, width, bias=False) for key in ("to_k_ip", "to_v_ip")}
                )


def build_clip(vocabulary_size: int) -> CLIPModel:
    """Text and image towers into one space of 192 numbers; 144 px pictures, 77 tokens."""
    shared = {"hidden_act": "quick_gelu", "projection_dim": EMBED_DIM}
    text = {
        "hidden_size": CROSS_DIM,
        "intermediate_size": 384,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": 77,
        "vocab_size": vocabulary_size,
        # The two special tokens are the last of the vocabulary, as in CLIP's own.
        "bos_token_id": vocabulary_size - 2,
        "eos_token_id": vocabulary_size - 1,
        "pad_token_id": vocabulary_size - 1,
    }
    vision = {
        "hidden_size": 192,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": CLIP_IMAGE_SIZE,
        "patch_size": 24,
    }
    return CLIPModel(CLIPConfig(text_config=text | shared, vision_config=vision | shared, projection_dim=EMBED_DIM))


def build_image_processor() -> CLIPImageProcessor:
    """CLIP's published preprocessing at 144 px."""
    side = CLIP_IMAGE_SIZE
    return CLIPImageProcessor(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        image_mean=list(CLIP_MEAN),
        image_std=list(CLIP_STD),
    )


def build_scheduler() -> DDIMScheduler:
    """Zero terminal SNR with v-prediction and trailing steps (https://arxiv.org/abs/2305.08891)."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )


def build_models(seed: int, vocabulary_size: int) -> Models:
    """The whole stack with random weights that depend on `seed` alone."""
    torch.manual_seed(seed)
    unet = build_unet()
    return Models(
        vae=build_vae(),
        unet=unet,
        controlnet=build_controlnet(),
        ip_adapter=IPAdapter(unet),
        clip=build_clip(vocabulary_size),
    )
