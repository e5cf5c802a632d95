"""Random weights in every layout in which SD 1.5 era weights are published, at published size or small.

Names and shapes come from the real classes on PyTorch's meta device, so that no model is initialised just to be
overwritten. Values are drawn per component: one seed gives the same tensors in every layout. It knows nothing of
the pack; its files stand for what a user downloads, and the pictures made with them are noise.
"""

import json
import math
import re
import shutil
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, ControlNetModel, PNDMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPVisionConfig
from transformers import CLIPVisionModelWithProjection as CLIPVision

State = dict[str, Tensor]
SUFFIXES = (".safetensors", ".ckpt", ".pth", ".bin")  # any other path is a folder, dots in its name or not
TOKENIZER_FILES = Path(__file__).parents[1] / ".comfyui" / "ComfyUI" / "comfy" / "sd1_tokenizer"


@dataclass(frozen=True)
class Size:
    """What differs between the published models and small ones with the same UNet, VAE and ControlNet keys.

    `depth` and `mlp` are the layers and the inner width of every CLIP transformer, None for the published ones.
    A `vocabulary` below 49408 keeps the first tokens (512 byte pieces, then merges in order) and the last two.
    """

    unet_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    vae_channels: tuple[int, ...] = (128, 256, 512, 512)
    sdxl_channels: tuple[int, ...] = (320, 640, 1280)
    depth: int | None = None
    mlp: int | None = None
    vocabulary: int = 49408
    resampler_width: int = 768


FULL = Size()
# Every width by which a header tells what a file is stays as published: 768 across attention and text, 1280 and 1024 in
# the image encoder. So CLIP shrinks in depth (2 layers: `hidden_states[-2]` has passed one of them), in the MLP, and in
# words: 49408 rows would weigh 76 MB. Channels double twice, because a shortcut's key exists only where they change.
# Where the pack reads these files with the full tokenizer, use dataclasses.replace(SMALL, vocabulary=49408).
SMALL = Size((32, 64, 128, 128), (32, 64, 128, 128), (8, 8, 8), 2, 64, 2048, 128)

# hidden width, layers, MLP, heads, patch, projection, activation: ViT-H is IP-Adapter's for SD 1.5, the others are not
VISION = {
    "vit-h": (1280, 32, 5120, 16, 14, 1024, "gelu"),
    "vit-l": (1024, 24, 4096, 16, 14, 768, "quick_gelu"),
    "vit-g": (1664, 48, 8192, 16, 14, 1280, "gelu"),
    "vit-b": (768, 12, 3072, 12, 32, 512, "quick_gelu"),
}
# base model, image projection, width of the image embedding it reads: "plus" and "full" read hidden states, the rest
# projections; light and plus-face differ from base and plus in what they were trained on alone
IP_ADAPTERS = {
    "ip-adapter_sd15": ("unet", "linear", 1024),
    "ip-adapter_sd15_light": ("unet", "linear", 1024),
    "ip-adapter-plus_sd15": ("unet", "resampler", 1280),
    "ip-adapter-plus-face_sd15": ("unet", "resampler", 1280),
    "ip-adapter-full-face_sd15": ("unet", "mlp", 1280),
    "ip-adapter_sd15_vit-G": ("unet", "linear", 1280),
    "ip-adapter_sdxl_vit-h": ("sdxl", "linear", 1024),
}
# input channels, first block with cross-attention, shape of its keys, last norm of a text encoder and its width
OTHER_BASES = {
    "sdxl": (4, "4.1", (640, 2048), "conditioner.embedders.0.transformer.text_model.final_layer_norm.weight", 768),
    "sd2": (4, "1.1", (320, 1024), "cond_stage_model.model.ln_final.weight", 1024),
    "sd15_inpainting": (9, "1.1", (320, 768), "cond_stage_model.transformer.text_model.final_layer_norm.weight", 768),
}


# -- the classes, and values for their parameters


def text_config(size: Size, hidden: int = 768, heads: int = 12) -> CLIPTextConfig:
    """SD 1.5's text encoder by default. The ids are the published ones; 2 means "the largest id ends the text"."""
    return CLIPTextConfig(
        vocab_size=size.vocabulary, hidden_size=hidden, intermediate_size=size.mlp or 4 * hidden,
        num_hidden_layers=size.depth or 12, num_attention_heads=heads, projection_dim=hidden,
        max_position_embeddings=77, hidden_act="quick_gelu", bos_token_id=0, eos_token_id=2, pad_token_id=1,
    )  # fmt: skip


def vision_config(size: Size, kind: str) -> CLIPVisionConfig:
    hidden, layers, mlp, heads, patch, projection, activation = VISION[kind]
    return CLIPVisionConfig(
        hidden_size=hidden, num_hidden_layers=size.depth or layers, intermediate_size=size.mlp or mlp,
        num_attention_heads=heads, patch_size=patch, projection_dim=projection, hidden_act=activation, image_size=224,
    )  # fmt: skip


def meta_model(component: str, size: Size) -> Any:
    """The component's class on the meta device: names, shapes and configuration, no memory."""
    with torch.device("meta"):
        if component in ("unet", "controlnet"):
            model = UNet2DConditionModel if component == "unet" else ControlNetModel
            return model(block_out_channels=size.unet_channels, cross_attention_dim=768, attention_head_dim=8)
        if component == "sdxl":  # only its attention layers are of interest
            cross_down, cross_up = ("CrossAttnDownBlock2D",) * 2, ("CrossAttnUpBlock2D",) * 2
            return UNet2DConditionModel(
                block_out_channels=size.sdxl_channels, cross_attention_dim=2048, attention_head_dim=1,
                down_block_types=("DownBlock2D", *cross_down), up_block_types=(*cross_up, "UpBlock2D"),
                transformer_layers_per_block=(1, 2, 10), norm_num_groups=8,
            )  # fmt: skip
        if component == "vae":
            return AutoencoderKL(
                block_out_channels=size.vae_channels, down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=2, sample_size=512,
            )  # fmt: skip
        if component == "text_encoder":
            return CLIPTextModel(text_config(size))
        if component == "clip":  # openai/clip-vit-base-patch32
            text, vision = text_config(size, hidden=512, heads=8), vision_config(size, "vit-b")
            return CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=512))
        return CLIPVision(vision_config(size, component))


def random_tensor(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """float16, scaled by fan-in so that activations stay near 1; a ControlNet's zero convolutions are only small."""
    if name.endswith("logit_scale"):
        return torch.tensor(4.6052)  # CLIP's trained value, ln 100
    if name.endswith("bias"):
        return torch.zeros(shape, dtype=torch.float16)
    if re.search("token_embedding|position_embedding|class_embedding|latents", name):
        deviation = 0.02
    elif len(shape) == 1:  # a norm's weight
        return torch.ones(shape, dtype=torch.float16)
    else:
        gain = 0.3 if re.match(r"controlnet_(down|mid)_block|controlnet_cond_embedding\.conv_out", name) else 1
        deviation = gain / math.sqrt(math.prod(shape[1:]))
    return torch.randn(shape, generator=generator, dtype=torch.float16).mul_(deviation)


def draw(component: str, shapes: Mapping[str, tuple[int, ...]], seed: int) -> State:
    generator = torch.Generator().manual_seed(zlib.crc32(f"{component} {seed}".encode()))
    return {name: random_tensor(name, shape, generator) for name, shape in shapes.items()}


def weights(component: str, size: Size, seed: int) -> State:
    """A component's tensors under today's diffusers names, CLIP's under the published ones.

    Transformers 5 leaves out the text encoder's `text_model.`; every published file has it. Published CLIP files also
    hold `position_ids`, a buffer that transformers stopped saving in 4.31.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in meta_model(component, size).state_dict().items()}
    state = draw(component, shapes, seed)
    if component == "text_encoder":
        state = {f"text_model.{name.removeprefix('text_model.')}": tensor for name, tensor in state.items()}
    for name in [name for name in state if name.endswith("position_embedding.weight")]:
        position_ids = torch.arange(len(state[name]))[None]
        state[name.replace("position_embedding.weight", "position_ids")] = position_ids
    return state


# -- diffusers names to original names

Rules = tuple[tuple[str, Callable[..., str]], ...]
UNET_RULES: Rules = (
    (r"conv_in", lambda: "input_blocks.0.0"),
    (r"time_embedding\.linear_(\d)", lambda n: f"time_embed.{2 * n - 2}"),
    (r"down_blocks\.(\d)\.resnets\.(\d)", lambda i, j: f"input_blocks.{3 * i + j + 1}.0"),
    (r"down_blocks\.(\d)\.attentions\.(\d)", lambda i, j: f"input_blocks.{3 * i + j + 1}.1"),
    (r"down_blocks\.(\d)\.downsamplers\.0\.conv", lambda i: f"input_blocks.{3 * i + 3}.0.op"),
    (r"mid_block\.resnets\.(\d)", lambda j: f"middle_block.{2 * j}"),
    (r"mid_block\.attentions\.0", lambda: "middle_block.1"),
    (r"up_blocks\.(\d)\.resnets\.(\d)", lambda i, j: f"output_blocks.{3 * i + j}.0"),
    (r"up_blocks\.(\d)\.attentions\.(\d)", lambda i, j: f"output_blocks.{3 * i + j}.1"),
    # an upsampler comes last in its block: second in block 0, which has no attention, third in the others
    (r"up_blocks\.(\d)\.upsamplers\.0\.conv", lambda i: f"output_blocks.{3 * i + 2}.{min(i, 1) + 1}.conv"),
    (r"conv_norm_out", lambda: "out.0"),
    (r"conv_out", lambda: "out.2"),
    (r"controlnet_cond_embedding\.conv_in", lambda: "input_hint_block.0"),
    (r"controlnet_cond_embedding\.blocks\.(\d)", lambda n: f"input_hint_block.{2 * n + 2}"),
    (r"controlnet_cond_embedding\.conv_out", lambda: "input_hint_block.14"),
    (r"controlnet_down_blocks\.(\d+)", lambda n: f"zero_convs.{n}.0"),
    (r"controlnet_mid_block", lambda: "middle_block_out.0"),
)
UNET_RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1"}
UNET_RESNET |= {"norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
UNET_LEAVES = {"resnets": UNET_RESNET}
VAE_RULES: Rules = (
    (r"encoder\.down_blocks\.(\d)\.resnets\.(\d)", lambda i, j: f"encoder.down.{i}.block.{j}"),
    (r"encoder\.down_blocks\.(\d)\.downsamplers\.0", lambda i: f"encoder.down.{i}.downsample"),
    # the original counts the decoder's levels from the finest, diffusers from the coarsest
    (r"decoder\.up_blocks\.(\d)\.resnets\.(\d)", lambda i, j: f"decoder.up.{3 - i}.block.{j}"),
    (r"decoder\.up_blocks\.(\d)\.upsamplers\.0", lambda i: f"decoder.up.{3 - i}.upsample"),
    (r"(\w+coder)\.mid_block\.resnets\.(\d)", lambda side, j: f"{side}.mid.block_{j + 1}"),
    (r"(\w+coder)\.mid_block\.attentions\.0", lambda side: f"{side}.mid.attn_1"),
    (r"(\w+coder)\.conv_norm_out", lambda side: f"{side}.norm_out"),
    (r"((?:\w+coder\.)?\w*conv\w*)", lambda same: same),
)
VAE_LEAVES = {
    "resnets": {"conv_shortcut": "nin_shortcut"},
    "attentions": {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"},
}
OLD_VAE_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def original_name(name: str, rules: Rules, leaves: Mapping[str, Mapping[str, str]]) -> str:
    """The original key of a diffusers key: the place by the first rule that matches, the layer in it by its leaf."""
    for pattern, place in rules:
        if match := re.match(pattern + r"(?=\.)", name):
            groups = [int(group) if group.isdigit() else group for group in match.groups()]
            layer, parameter = name[match.end() + 1 :].rpartition(".")[::2]
            layer = next((names.get(layer, layer) for kind, names in leaves.items() if f".{kind}." in name), layer)
            return ".".join(filter(None, (place(*groups), layer, parameter)))
    raise KeyError(f"No rule gives the original key of '{name}'.")


def original_unet(state: State) -> State:
    """UNet or ControlNet in the original layout, as below `model.diffusion_model.` and `control_model.`."""
    return {original_name(name, UNET_RULES, UNET_LEAVES): tensor for name, tensor in state.items()}


def original_vae(state: State) -> State:
    """VAE as below `first_stage_model.`; its attention layers are 1x1 convolutions there, [C, C, 1, 1]."""
    renamed = {original_name(name, VAE_RULES, VAE_LEAVES): tensor for name, tensor in state.items()}
    square = re.compile(r"mid\.attn_1\.(q|k|v|proj_out)\.weight$")
    return {name: tensor[..., None, None] if square.search(name) else tensor for name, tensor in renamed.items()}


def training_leftovers() -> State:
    """The 14 keys of the published SD 1.5 checkpoint that belong to no model: DDPM's buffers and the EMA's counters."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    alphas = (1 - betas).cumprod(0)
    previous = torch.cat((torch.ones(1, dtype=torch.float64), alphas[:-1]))
    variance = betas * (1 - previous) / (1 - alphas)
    buffers = {
        "betas": betas, "alphas_cumprod": alphas, "alphas_cumprod_prev": previous, "sqrt_alphas_cumprod": alphas**0.5,
        "sqrt_one_minus_alphas_cumprod": (1 - alphas) ** 0.5, "log_one_minus_alphas_cumprod": (1 - alphas).log(),
        "sqrt_recip_alphas_cumprod": alphas**-0.5, "sqrt_recipm1_alphas_cumprod": (1 / alphas - 1) ** 0.5,
        "posterior_variance": variance, "posterior_log_variance_clipped": variance.clamp(min=1e-20).log(),
        "posterior_mean_coef1": betas * previous**0.5 / (1 - alphas),
        "posterior_mean_coef2": (1 - previous) * (1 - betas) ** 0.5 / (1 - alphas),
        "model_ema.decay": torch.tensor(0.9999),
    }  # fmt: skip
    return {name: tensor.float() for name, tensor in buffers.items()} | {"model_ema.num_updates": torch.tensor(0).int()}


# -- files


def save(path: Path, state: Mapping[str, Any]) -> Path:
    """safetensors or a pickle that `torch.load(weights_only=True)` reads, by the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, path, metadata={"format": "pt"})
    else:
        torch.save(dict(state), path)
    return path


def write_json(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


def tokenizer_folder(path: Path, size: Size = SMALL) -> Path:
    """CLIP's tokenizer as `vocab.json` and `merges.txt`, cut to the size's vocabulary, with SD 1.5's limit of 77."""
    shutil.copytree(TOKENIZER_FILES, path, dirs_exist_ok=True)
    config = json.loads((path / "tokenizer_config.json").read_text("utf-8"))
    write_json(path / "tokenizer_config.json", config | {"model_max_length": 77})
    if size.vocabulary < 49408:
        vocabulary = json.loads((path / "vocab.json").read_text("utf-8"))
        pieces = sorted(vocabulary, key=vocabulary.get)
        kept = pieces[: size.vocabulary - 2] + pieces[-2:]
        write_json(path / "vocab.json", {piece: number for number, piece in enumerate(kept)})
        merges = (path / "merges.txt").read_text("utf-8").splitlines(keepends=True)
        (path / "merges.txt").write_text("".join(merges[: 1 + size.vocabulary - 2 - 512]), encoding="utf-8")
    return path


def config_folder(path: Path, size: Size = SMALL) -> Path:
    """A diffusers folder without weights: what a loader of single files needs as its `config`."""
    meta_model("unet", size).save_config(path / "unet")
    meta_model("vae", size).save_config(path / "vae")
    text_config(size).save_pretrained(path / "text_encoder")
    tokenizer_folder(path / "tokenizer", size)
    PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1,
        set_alpha_to_one=False,
    ).save_pretrained(path / "scheduler")  # fmt: skip
    scheduler = path / "scheduler" / "scheduler_config.json"  # PNDM has no such value, other schedulers read it
    write_json(scheduler, json.loads(scheduler.read_text("utf-8")) | {"clip_sample": False})
    index = {
        "_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.6.0", "feature_extractor": [None, None],
        "safety_checker": [None, None], "scheduler": ["diffusers", "PNDMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
    }  # fmt: skip
    write_json(path / "model_index.json", index)
    return path


def single_file_configs(path: Path, size: Size = SMALL) -> Path:
    """A config folder with the ControlNet's beside the rest: what the pack's loader of single files reads."""
    config_folder(path, size)
    meta_model("controlnet", size).save_config(path / "controlnet")
    return path


def diffusers_folder(
    path: Path, size: Size = SMALL, seed: int = 0, *, as_on_hub: bool = False, variant: str | None = None
) -> Path:
    """(a) SD 1.5 as a diffusers folder.

    As on the Hub, the VAE's attention has its names of 2022 (query, key, value, proj_attn) and the index names a safety
    checker and a feature extractor, two folders that people leave out (and so does this). `variant` is "fp16" for
    files such as `diffusion_pytorch_model.fp16.safetensors`.
    """
    config_folder(path, size)
    suffix = f".{variant}.safetensors" if variant else ".safetensors"
    save(path / "unet" / f"diffusion_pytorch_model{suffix}", weights("unet", size, seed))
    save(path / "text_encoder" / f"model{suffix}", weights("text_encoder", size, seed))
    vae = weights("vae", size, seed)
    if as_on_hub:
        for new, old in OLD_VAE_ATTENTION.items():
            vae = {re.sub(rf"(attentions\.0\.){re.escape(new)}\.", rf"\g<1>{old}.", name): vae[name] for name in vae}
        index = json.loads((path / "model_index.json").read_text("utf-8"))
        index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
        index["feature_extractor"] = ["transformers", "CLIPImageProcessor"]
        write_json(path / "model_index.json", index)
    save(path / "vae" / f"diffusion_pytorch_model{suffix}", vae)
    return path


def checkpoint(path: Path, size: Size = SMALL, seed: int = 0) -> Path:
    """(b) SD 1.5 in one file, original keys; a `.ckpt` holds them under "state_dict". 1145 keys at published size."""
    parts = {
        "model.diffusion_model": original_unet(weights("unet", size, seed)),
        "first_stage_model": original_vae(weights("vae", size, seed)),
        "cond_stage_model.transformer": weights("text_encoder", size, seed),
    }
    state = {f"{part}.{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}
    state |= training_leftovers()
    return save(path, state if path.suffix == ".safetensors" else {"global_step": 0, "state_dict": state})


def checkpoint_stub(path: Path, base: str) -> Path:
    """A checkpoint for another base (see OTHER_BASES): zeros under a few telling keys, to be refused, not loaded."""
    channels, block, attention, text_norm, text_width = OTHER_BASES[base]
    shapes = {
        "model.diffusion_model.input_blocks.0.0.weight": (320, channels, 3, 3),
        f"model.diffusion_model.input_blocks.{block}.transformer_blocks.0.attn2.to_k.weight": attention,
        "first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3),
        text_norm: (text_width,),
    }
    if base == "sdxl":  # the second text encoder, and the embedding of sizes and pooled text
        shapes["conditioner.embedders.1.model.ln_final.weight"] = (1280,)
        shapes["model.diffusion_model.label_emb.0.0.weight"] = (1280, 2816)
    return save(path, {name: torch.zeros(shape, dtype=torch.float16) for name, shape in shapes.items()})


def controlnet(
    path: Path, size: Size = SMALL, seed: int = 0, *, layout: Literal["diffusers", "original", "bare"] = "original"
) -> Path:
    """(c) ControlNet: in one file with diffusers keys, original keys below `control_model.`, or bare original keys.

    Any other suffix makes a diffusers folder.
    """
    state = weights("controlnet", size, seed)
    if path.suffix not in SUFFIXES:
        meta_model("controlnet", size).save_config(path)
        save(path / "diffusion_pytorch_model.safetensors", state)
        return path
    if layout != "diffusers":
        prefix = "control_model." if layout == "original" else ""
        state = {prefix + name: tensor for name, tensor in original_unet(state).items()}
    return save(path, state)


def ip_adapter(path: Path, size: Size = SMALL, seed: int = 0, *, kind: str = "ip-adapter_sd15") -> Path:
    """(d) IP-Adapter by its published name (see IP_ADAPTERS): flat keys in `.safetensors`, two nested dicts in `.bin`.

    Keys and values are numbered by their place among all attention processors, self-attention included: 1, 3, … 31.
    """
    base, projection, image_width = IP_ADAPTERS[kind]
    unet = meta_model(base, size)
    cross, modules = unet.config.cross_attention_dim, unet.state_dict()
    shapes: dict[str, tuple[int, ...]] = {}
    if projection == "linear":
        shapes |= {"proj.weight": (4 * cross, image_width), "proj.bias": (4 * cross,)}
        shapes |= {"norm.weight": (cross,), "norm.bias": (cross,)}
    elif projection == "mlp":  # a token for each of the encoder's: two layers, and a norm as the fourth of the sequence
        shapes |= {"proj.0.weight": (image_width, image_width), "proj.0.bias": (image_width,)}
        shapes |= {"proj.2.weight": (cross, image_width), "proj.2.bias": (cross,)}
        shapes |= {"proj.3.weight": (cross,), "proj.3.bias": (cross,)}
    else:
        shapes |= resampler_shapes(size.resampler_width, image_width, cross)
    shapes = {f"image_proj.{name}": shape for name, shape in shapes.items()}
    for number, name in enumerate(unet.attn_processors):
        if name.endswith("attn2.processor"):
            shape = tuple(modules[name.replace("processor", "to_k.weight")].shape)
            shapes |= {f"ip_adapter.{number}.{key}_ip.weight": shape for key in ("to_k", "to_v")}
    state = draw(kind, shapes, seed)
    if path.suffix == ".safetensors":
        return save(path, state)
    parts = ("image_proj", "ip_adapter")
    nested = {p: {n.removeprefix(f"{p}."): t for n, t in state.items() if n.startswith(f"{p}.")} for p in parts}
    return save(path, nested)


def resampler_shapes(width: int, image_width: int, cross: int) -> dict[str, tuple[int, ...]]:
    """The Perceiver resampler of "plus": 16 latents, 4 layers, heads of 64 (12 of them at the published width, 768)."""
    shapes = {"latents": (1, 16, width), "proj_in.weight": (width, image_width), "proj_in.bias": (width,)}
    shapes |= {"proj_out.weight": (cross, width), "proj_out.bias": (cross,)}
    shapes |= {"norm_out.weight": (cross,), "norm_out.bias": (cross,)}
    for layer in (f"layers.{n}" for n in range(4)):
        for norm in ("0.norm1", "0.norm2", "1.0"):
            shapes |= {f"{layer}.{norm}.weight": (width,), f"{layer}.{norm}.bias": (width,)}
        shapes |= {f"{layer}.0.to_q.weight": (width, width), f"{layer}.0.to_kv.weight": (2 * width, width)}
        shapes |= {f"{layer}.0.to_out.weight": (width, width)}
        shapes |= {f"{layer}.1.1.weight": (4 * width, width), f"{layer}.1.3.weight": (width, 4 * width)}
    return shapes


def clip_vision(path: Path, size: Size = SMALL, seed: int = 0, *, kind: str = "vit-h") -> Path:
    """(e) An image encoder, by default IP-Adapter's for SD 1.5; the other kinds of VISION are the wrong one.

    A file is as ComfyUI's `clip_vision` wants it; any other suffix makes a transformers folder.
    """
    if path.suffix in SUFFIXES:
        return save(path, weights(kind, size, seed))
    vision_config(size, kind).save_pretrained(path)
    save(path / "model.safetensors", weights(kind, size, seed))
    return path


def clip_folder(path: Path, size: Size = SMALL, seed: int = 0, *, weights_name: str = "model.safetensors") -> Path:
    """(e) `openai/clip-vit-base-patch32`: both towers, tokenizer, preprocessor. The other name is pytorch_model.bin."""
    meta_model("clip", size).config.save_pretrained(path)
    tokenizer_folder(path, size)
    preprocessor = {
        "crop_size": 224, "do_center_crop": True, "do_normalize": True, "do_resize": True, "resample": 3, "size": 224,
        "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }  # fmt: skip
    write_json(path / "preprocessor_config.json", preprocessor)
    save(path / weights_name, weights("clip", size, seed))
    return path
