"""How the tensors of a LoRA file are named, of any kind and from any trainer: one layer's name, and a role in it."""

import re

from .opening import Shapes, shape_of

# kohya `.lora_down.weight`; peft `.lora_A.weight`, with the adapter's name or without `.weight`; diffusers
# `.lora.down.weight`, and before 0.20 `_lora.down.weight` and `.lora_linear_layer.down.weight`.
_HALVES = r"(?:\.lora_|[._]lora\.|\.lora_linear_layer\.)(?P<half>down|up|mid|[AB])(?:\.(?!bias$)\w+)?(?:\.weight)?"
# LyCORIS (https://github.com/KohakuBlueleaf/LyCORIS), and what ComfyUI's own extraction and training write.
_OTHERS = (
    r"\.(?P<other>hada_w[12]_[ab]|hada_t[12]|lokr_w[12](?:_[ab])?|lokr_t2|oft_blocks|rescale|dora_scale|diff|diff_b"
    r"|w_norm|b_norm|set_weight|reshape_weight|alpha)|\.(?P<glora>[ab][12])\.weight"
    r"|\.(?P<magnitude>lora_magnitude_vector)(?:\.\w+)?(?:\.weight)?"
)
_KEY = re.compile(rf"(?P<layer>.+?)(?:{_HALVES}|{_OTHERS})")
_ROLES = {"A": "down", "B": "up"}
# Roles that no file has which changes nothing.
_TELLING = re.compile(r"down|hada_w1_a|lokr_w[12](_a)?|a1|oft_blocks|diff|diff_b|w_norm|set_weight")
_CROSS_ATTENTION = re.compile(r"attn2[._](processor[._])?to_k$")


def split_key(key: str) -> tuple[str, str] | None:
    """Return (layer, role) of a tensor's name; None when it is no part of a LoRA.

    Roles: `down`, `up`, `mid`, `alpha`, `magnitude`, `a1`, and as LyCORIS names them (`hada_w1_a`, `diff`, ...).
    """
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    role = match["half"] or match["other"] or match["glora"] or "magnitude"
    return match["layer"], _ROLES.get(role, role)


def is_lora(shapes: Shapes) -> bool:
    """Tell whether a file changes layers of a model, and is no model."""
    return any(part is not None and _TELLING.fullmatch(part[1]) for part in map(split_key, shapes))


def text_width(shapes: Shapes) -> int:
    """Return how wide the text tokens are that the first changed cross-attention reads; 0 where that can't be told.

    Raises ValueError when a tensor that should tell has no such shape.
    """
    for key, shape in shapes.items():
        layer, role = split_key(key) or ("", "")
        if not _CROSS_ATTENTION.search(layer) or 0 in shape:  # a resize leaves empty factors
            continue
        if role in ("down", "hada_w1_b", "diff"):
            return shape_of(shapes, key, 2, 4)[1]
        if role in ("lokr_w2", "lokr_w2_b"):
            stem = f"{layer}.lokr_w1"
            first = stem if stem in shapes else f"{stem}_b"
            return shape_of(shapes, first, 2)[1] * shape_of(shapes, key, 2)[1]
    return 0
