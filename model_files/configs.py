"""Transformers' configurations of encoders in single files, derived from the shapes in their headers.

What a header cannot tell (attention heads, activation, the size of the pictures) is taken from the published models.
"""

import re
from typing import Any

from .opening import Shapes, shape_of

# Attention heads and activation of the published CLIP towers, by hidden size. Sources: config.json of
# openai/clip-vit-base-patch32, openai/clip-vit-large-patch14, laion/CLIP-ViT-H-14-laion2B-s32B-b79K and
# laion/CLIP-ViT-bigG-14-laion2B-39B-b160k. OpenCLIP's B and L towers have OpenAI's shapes with another activation: only
# their folders tell.
_VISION_TOWERS = {768: (12, "quick_gelu"), 1024: (16, "quick_gelu"), 1280: (16, "gelu"), 1664: (16, "gelu")}
_TEXT_TOWERS = {512: (8, "quick_gelu"), 768: (12, "quick_gelu")}
# Attention heads of SigLIP's towers: base 12, large, so400m and giant 16. Source: config.json of google/siglip-* and
# google/siglip2-*.
_SIGLIP_HEADS = {768: 12, 1024: 16, 1152: 16, 1536: 16}


def unbuildable() -> tuple[type[Exception], ...]:
    """Return what transformers and diffusers raise when a configuration or tensors describe none of their models."""
    from huggingface_hub import errors
    from safetensors import SafetensorError

    strict = getattr(errors, "StrictDataclassError", ValueError)  # which transformers 5 checks its configurations with
    plain = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, AssertionError, OSError)
    return *plain, SafetensorError, strict


def clip_vision_config(shapes: Shapes) -> dict[str, Any]:
    """Derive transformers' CLIPVisionConfig from the shapes of a published single-file image encoder."""
    hidden, _, patch, _ = shape_of(shapes, "vision_model.embeddings.patch_embedding.weight", 4)
    positions = shape_of(shapes, "vision_model.embeddings.position_embedding.weight", 2)[0]
    heads, activation = _VISION_TOWERS.get(hidden, (max(hidden // 64, 1), "gelu"))
    return {
        **_tower(shapes, "vision_model.", heads),
        "patch_size": patch,
        "image_size": round((positions - 1) ** 0.5) * patch,
        "projection_dim": shape_of(shapes, "visual_projection.weight", 2)[0],
        "hidden_act": activation,
    }


def clip_text_config(shapes: Shapes) -> dict[str, Any]:
    """Derive transformers' CLIPTextConfig from the shapes of a published two-tower CLIP file."""
    vocabulary, hidden = shape_of(shapes, "text_model.embeddings.token_embedding.weight", 2)
    heads, activation = _TEXT_TOWERS.get(hidden, (max(hidden // 64, 1), "gelu"))
    return {
        **_tower(shapes, "text_model.", heads),
        "vocab_size": vocabulary,
        "max_position_embeddings": shape_of(shapes, "text_model.embeddings.position_embedding.weight", 2)[0],
        "projection_dim": shape_of(shapes, "text_projection.weight", 2)[0],
        "hidden_act": activation,
    }


def siglip_vision_config(shapes: Shapes) -> dict[str, Any]:
    """Derive transformers' SiglipVisionConfig; its other values are the class's defaults."""
    hidden, _, patch, _ = shape_of(shapes, "vision_model.embeddings.patch_embedding.weight", 4)
    side = round(shape_of(shapes, "vision_model.embeddings.position_embedding.weight", 2)[0] ** 0.5) * patch
    image_size = {378: 384}.get(side, side)  # so400m-patch14-384: its last 6 rows and columns fill no patch
    heads = _SIGLIP_HEADS.get(hidden, max(hidden // 64, 1))
    return {**_tower(shapes, "vision_model.", heads), "patch_size": patch, "image_size": image_size}


def siglip_text_config(shapes: Shapes) -> dict[str, Any]:
    """Derive transformers' SiglipTextConfig; its other values are the class's defaults."""
    vocabulary, hidden = shape_of(shapes, "text_model.embeddings.token_embedding.weight", 2)
    return {
        **_tower(shapes, "text_model.", _SIGLIP_HEADS.get(hidden, max(hidden // 64, 1))),
        "vocab_size": vocabulary,
        "max_position_embeddings": shape_of(shapes, "text_model.embeddings.position_embedding.weight", 2)[0],
        "projection_size": shape_of(shapes, "text_model.head.weight", 2)[0],
    }


def dinov2_config(shapes: Shapes) -> dict[str, Any]:
    """Derive transformers' Dinov2Config, or Dinov2WithRegistersConfig's where there are registers."""
    hidden, _, patch, _ = shape_of(shapes, "embeddings.patch_embeddings.projection.weight", 4)
    positions = shape_of(shapes, "embeddings.position_embeddings", 3)[1]
    registers = "embeddings.register_tokens"
    return {
        "hidden_size": hidden,
        "num_hidden_layers": _layers(shapes, "encoder.layer."),
        "num_attention_heads": max(hidden // 64, 1),
        "patch_size": patch,
        "image_size": round((positions - 1) ** 0.5) * patch,
        "use_swiglu_ffn": "encoder.layer.0.mlp.fc1.weight" not in shapes,
        **({"num_register_tokens": shape_of(shapes, registers, 3)[1]} if registers in shapes else {}),
    }


def _tower(shapes: Shapes, prefix: str, heads: int) -> dict[str, Any]:
    layers = f"{prefix}encoder.layers."
    inner = next(
        (key for key in shapes if key.startswith(layers) and key.endswith(".mlp.fc1.weight")),
        f"{layers}0.mlp.fc1.weight",
    )
    width, hidden = shape_of(shapes, inner, 2)
    return {
        "hidden_size": hidden,
        "intermediate_size": width,
        "num_hidden_layers": _layers(shapes, layers),
        "num_attention_heads": heads,
    }


def _layers(shapes: Shapes, prefix: str) -> int:
    """Return the number that the last layer's tells; where one in between is gone, its tensors are missed by name."""
    matches = (re.match(rf"{re.escape(prefix)}([0-9]{{1,3}})\.", key) for key in shapes)
    return max((int(match[1]) for match in matches if match), default=-1) + 1
