"""What the bundled workflows have in common in the editor: colours, model files, groups, and the note that explains."""

from __future__ import annotations

import re

from graph_layout import Group, Model, Note, Spot

BLUE, OCHRE, GREEN, CYAN, PURPLE = "#3f789e", "#b58b2a", "#8A8", "#8AA", "#a1309b"

HUB = "https://huggingface.co"
CHECKPOINT = Model(
    "v1-5-pruned-emaonly-fp16.safetensors",
    f"{HUB}/Comfy-Org/stable-diffusion-v1-5-archive/resolve/main/v1-5-pruned-emaonly-fp16.safetensors",
    "checkpoints",
)
CONTROLNET = Model(
    "control_v11p_sd15_canny_fp16.safetensors",
    f"{HUB}/comfyanonymous/ControlNet-v1-1_fp16_safetensors/resolve/main/control_v11p_sd15_canny_fp16.safetensors",
    "controlnet",
)
IP_ADAPTER = Model(
    "ip-adapter_sd15.safetensors", f"{HUB}/h94/IP-Adapter/resolve/main/models/ip-adapter_sd15.safetensors", "ipadapter"
)
IP_ADAPTER_ENCODER = Model(
    "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors",
    f"{HUB}/h94/IP-Adapter/resolve/main/models/image_encoder/model.safetensors",
    "clip_vision",
)
CLIP_L = Model(
    "clip-vit-large-patch14.safetensors",
    f"{HUB}/openai/clip-vit-large-patch14/resolve/main/model.safetensors",
    "clip_vision",
)
STYLE_MODEL = Model(
    "t2iadapter_style_sd14v1.pth",
    f"{HUB}/TencentARC/T2I-Adapter/resolve/main/models/t2iadapter_style_sd14v1.pth",
    "style_models",
)

# Every workflow has its note at the far left, then its sketch above its style; what differs lies to the right of them.
LEFT, RIGHT, LOWER = 400, 1560, 500


def sketch_group(edges_id: int) -> Group:
    sketch = Spot(1, 320, 370, "Sketch", to_change=True)
    return Group("Sketch", BLUE, (LEFT, 0), ((sketch,), (Spot(2, 320, 198),), (Spot(edges_id, 320, 370, "Edges"),)))


def style_group(reference_id: int) -> Group:
    words = (Spot(3, 320, 130, "Prompt", to_change=True), Spot(4, 320, 416))
    return Group(
        "Style", OCHRE, (LEFT, LOWER), (words, (Spot(5, 320, 600),), (Spot(reference_id, 320, 370, "Reference"),))
    )


def diffusers_groups(side: int, models: tuple[Model, ...] = ()) -> tuple[Group, ...]:
    """What quickstart and style_rag_sd15 share: the pack's own nodes. `side`: of the picture, in pixels."""
    picture = ((Spot(7, 380, 840),), (Spot(8, side + 60, side + 140),))
    return (
        sketch_group(9),
        style_group(10),
        Group("Models", GREEN, (RIGHT, 0), ((Spot(6, 380, 130, models=models),),)),
        Group("Picture", PURPLE, (RIGHT, 260), picture),
    )


def read_me(text: str) -> Note:
    """The note at the far left. Its lines are joined to paragraphs, since the editor would break each of them."""
    return Note("Read me", re.sub(r"(?<!\n)\n(?!\n|#|- )", " ", text).strip(), (0, 30, 360, 460))
