"""Folders and files of encoders with random weights, in the configurations in which they are published.

`layers` cuts the depth of what is too large for a test; widths, heads, activations, pictures and tokenizers stay.
"""

import io
from functools import cache
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from published_layouts import FULL, State, draw, save, tokenizer_folder, write_json
from transformers import AutoModel, CLIPConfig, Dinov2Config, Dinov2WithRegistersConfig, SiglipConfig

CLIP = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
BASE: dict[str, int] = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}
LARGE: dict[str, int] = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16}
SO400M: dict[str, int] = {"hidden_size": 1152, "intermediate_size": 4304, "num_attention_heads": 16}


def clip_config(text: dict[str, Any], vision: dict[str, Any], projection: int, activation: str) -> CLIPConfig:
    shared = {"hidden_act": activation, "projection_dim": projection}
    return CLIPConfig(
        text_config={**text, **shared, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1},
        vision_config={**vision, **shared, "image_size": 224},
        projection_dim=projection,
    )


def siglip_config(tower: dict[str, int], patch: int, side: int, vocabulary: int = 32000) -> SiglipConfig:
    text = {**tower, "vocab_size": vocabulary, "max_position_embeddings": 64}
    return SiglipConfig(text_config=text, vision_config={**tower, "patch_size": patch, "image_size": side})


def config(name: str, layers: int | None = None) -> Any:
    """The published configuration, of the published depth or of `layers` in each tower."""

    def deep(published: int) -> dict[str, int]:
        return {"num_hidden_layers": layers or published}

    narrow = {"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8, **deep(12)}
    base, large, so400m = {**BASE, **deep(12)}, {**LARGE, **deep(24)}, {**SO400M, **deep(27)}
    huge = {"hidden_size": 1280, "intermediate_size": 5120, "num_attention_heads": 16, **deep(32)}
    dino = {"image_size": 518, "patch_size": 14}
    small = {**dino, "hidden_size": 384, "num_attention_heads": 6, **deep(12)}
    giant = {**dino, "hidden_size": 1536, "num_attention_heads": 24, **deep(40)}
    return {
        "clip-vit-base-patch32": lambda: clip_config(narrow, {**base, "patch_size": 32}, 512, "quick_gelu"),
        "CLIP-ViT-B-32-laion2B": lambda: clip_config(narrow, {**base, "patch_size": 32}, 512, "gelu"),
        "clip-vit-large-patch14": lambda: clip_config(base, {**large, "patch_size": 14}, 768, "quick_gelu"),
        "CLIP-ViT-H-14-laion2B": lambda: clip_config(large, {**huge, "patch_size": 14}, 1024, "gelu"),
        "siglip-base-patch16-224": lambda: siglip_config(base, 16, 224),
        "siglip-so400m-patch14-384": lambda: siglip_config(so400m, 14, 384),
        "siglip2-base-patch16-224": lambda: siglip_config(base, 16, 224, vocabulary=256000),
        "dinov2-small": lambda: Dinov2Config(**small),
        "dinov2-with-registers-small": lambda: Dinov2WithRegistersConfig(**small, num_register_tokens=4),
        "dinov2-giant": lambda: Dinov2Config(**giant, use_swiglu_ffn=True),
    }[name]()


def preprocessor(name: str) -> dict[str, Any]:
    """What the published preprocessor_config.json says."""
    if name.startswith("dinov2"):
        sizes = {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}
        return {**sizes, **IMAGENET, "image_processor_type": "BitImageProcessor", "resample": 3}
    if name.startswith("siglip"):
        side = int(name.rpartition("-")[2])
        resample = 2 if name.startswith("siglip2") else 3
        size = {"height": side, "width": side}
        return {"size": size, **HALF, "image_processor_type": "SiglipImageProcessor", "resample": resample}
    return {"size": 224, "crop_size": 224, **CLIP, "feature_extractor_type": "CLIPFeatureExtractor", "resample": 3}


@cache
def sentence_pieces() -> bytes:
    """A SentencePiece model of a few dozen pieces, with SigLIP's marks: </s> is 1, and pads; <unk> is 2."""
    words = "a red castle on the hill at dusk with neon signs and rain over quiet meadow in watercolour print".split()
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(words[n:] + words[:n]) for n in range(len(words))]), model_writer=model,
        vocab_size=70, hard_vocab_limit=False, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=3,
    )  # fmt: skip
    return model.getvalue()


def encoder_folder(
    path: Path,
    name: str,
    layers: int | None = None,
    dtype: torch.dtype = torch.float32,
    weights_name: str = "model.safetensors",
) -> Path:
    """A folder as it is downloaded: config.json, preprocessor, tokenizer, weights."""
    found = config(name, layers)
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in AutoModel.from_config(found).state_dict().items()}
    path.mkdir()
    found.save_pretrained(path)
    write_json(path / "preprocessor_config.json", preprocessor(name))
    if name.startswith("siglip"):
        (path / "spiece.model").write_bytes(sentence_pieces())
        write_json(path / "tokenizer_config.json", {"tokenizer_class": "SiglipTokenizer", "model_max_length": 64})
    elif not name.startswith("dinov2"):
        tokenizer_folder(path, FULL)
    state = {key: value.to(dtype).reshape(shapes[key]) for key, value in draw(name, shapes, 0).items()}
    save(path / weights_name, as_published(state))
    return path


# DINOv2's layers in the published files, and in transformers 4; transformers 5 renames them when it loads.
DINOV2_NAMES = {
    ".attention.q_proj.": ".attention.attention.query.",
    ".attention.k_proj.": ".attention.attention.key.",
    ".attention.v_proj.": ".attention.attention.value.",
    ".attention.o_proj.": ".attention.output.dense.",
    ".mlp.down_proj.": ".mlp.weights_out.",
}


def as_published(state: State) -> State:
    """The giant's gated MLP has one layer, `weights_in`, where transformers 5 has two."""
    if "embeddings.mask_token" not in state:
        return state
    for key in [key for key in state if ".gate_proj." in key]:
        both = torch.cat([state.pop(key), state.pop(key.replace(".gate_proj.", ".up_proj."))])
        state[key.replace(".gate_proj.", ".weights_in.")] = both
    for ours, published in DINOV2_NAMES.items():
        state = {key.replace(ours, published): value for key, value in state.items()}
    return state
