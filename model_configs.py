"""Transformers' configurations of encoders in single files, derived from the shapes in their headers.

What a header cannot tell (attention heads, activation, the size of the pictures) is taken from the published models.
"""

from typing import Any

from .model_files import Shapes

# Attention heads and activation of the published CLIP towers, by hidden size. Sources: config.json of
# openai/clip-vit-base-patch32, openai/clip-vit-large-patch14, laion/CLIP-ViT-H-14-laion2B-s32B-b79K and
# laion/CLIP-ViT-bigG-14-laion2B-39B-b160k. OpenCLIP's B and L towers have OpenAI's shapes with another activation: only
# their folders tell.
_VISION_TOWERS = {768: (12, "quick_gelu"), 1024: (16, "quick_gelu"), 1280: (16, "gelu"), 1664: (16, "gelu")}
_TEXT_TOWERS = {512: (8, "quick_gelu"), 768: (12, "quick_gelu")}
# Attention heads of SigLIP's towers: base 12, large, so400m and giant 16. Source: config.json of google/siglip-* and
# google/siglip2-*.
_SIGLIP_HEADS = {768: 12, 1024: 16, 1152: 16, 1536: 16}


def clip_vision_config(shapes: Shapes) -> dict[str, Any]:
    """Derive transformers' CLIPVisionConfig from the shapes of a published single-file image encoder."""
    hidden, _, patch, _ = shapes["vision_model.embeddings.patch_embedding.weight"]
    positions = shapes["vision_model.embeddings.position_embedding.weight"][0]
    heads, activation = _VISION_TOWERS.get(hidden, (hidden // 64, "gelu"))
    return {
        **_tower(shapes, "vision_model.", heads),
        "patch_size": patch,
        "image_size": round((positions - 1) ** 0.5) * patch,
        "projection_dim": shapes["visual_projection.weight"][0],
        "hidden_act": activation,
    }


def clip_text_config(shapes: Shapes) -> dict[str, Any]:
    """Derive transformers' CLIPTextConfig from the shapes of a published two-tower CLIP file."""
    vocabulary, hidden = shapes["text_model.embeddings.token_embedding.weight"]
    heads, activation = _TEXT_TOWERS.get(hidden, (hidden // 64, "gelu"))
    return {
        **_tower(shapes, "text_model.", heads),
        "vocab_size": vocabulary,
        "max_position_embeddings": shapes["text_model.embeddings.position_embedding.weight"][0],
        "projection_dim": shapes["text_projection.weight"][0],
        "hidden_act": activation,
    }


def siglip_vision_config(shapes: Shapes) -> dict[str, Any]:
    """Derive transformers' SiglipVisionConfig; its other values are the class's defaults."""
    hidden, _, patch, _ = shapes["vision_model.embeddings.patch_embedding.weight"]
    side = round(shapes["vision_model.embeddings.position_embedding.weight"][0] ** 0.5) * patch
    image_size = {378: 384}.get(side, side)  # so400m-patch14-384: its last 6 rows and columns fill no patch
    heads = _SIGLIP_HEADS.get(hidden, hidden // 64)
    return {**_tower(shapes, "vision_model.", heads), "patch_size": patch, "image_size": image_size}


def siglip_text_config(shapes: Shapes) -> dict[str, Any]:
    """Derive transformers' SiglipTextConfig; its other values are the class's defaults."""
    vocabulary, hidden = shapes["text_model.embeddings.token_embedding.weight"]
    return {
        **_tower(shapes, "text_model.", _SIGLIP_HEADS.get(hidden, hidden // 64)),
        "vocab_size": vocabulary,
        "max_position_embeddings": shapes["text_model.embeddings.position_embedding.weight"][0],
        "projection_size": shapes["text_model.head.weight"][0],
    }


def dinov2_config(shapes: Shapes) -> dict[str, Any]:
    """Derive transformers' Dinov2Config, or Dinov2WithRegistersConfig's where there are registers."""
    hidden, _, patch, _ = shapes["embeddings.patch_embeddings.projection.weight"]
    positions = shapes["embeddings.position_embeddings"][1]
    registers = shapes.get("embeddings.register_tokens")
    return {
        "hidden_size": hidden,
        "num_hidden_layers": _layers(shapes, "encoder.layer."),
        "num_attention_heads": hidden // 64,
        "patch_size": patch,
        "image_size": round((positions - 1) ** 0.5) * patch,
        "use_swiglu_ffn": "encoder.layer.0.mlp.fc1.weight" not in shapes,
        **({"num_register_tokens": registers[1]} if registers else {}),
    }


def _tower(shapes: Shapes, prefix: str, heads: int) -> dict[str, Any]:
    width, hidden = shapes[f"{prefix}encoder.layers.0.mlp.fc1.weight"]
    layers = _layers(shapes, f"{prefix}encoder.layers.")
    return {
        "hidden_size": hidden,
        "intermediate_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
    }


def _layers(shapes: Shapes, prefix: str) -> int:
    return len({key[len(prefix) :].split(".")[0] for key in shapes if key.startswith(prefix)})
