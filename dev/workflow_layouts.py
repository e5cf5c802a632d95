"""The bundled workflows in the editor: nodes' places, groups, notes, and links to the model files.

Values and links of the nodes are in workflows/api/.
"""

from __future__ import annotations

from graph_layout import Group, Layout, Model, Note, Spot

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

# Every workflow has its sketch and its style at the left, the note beside them.
NOTE = (0, 70, 400, 640)
LEFT, LOWER = 440, 500
RIGHT = 1600

SKETCH = Group(
    "Sketch",
    BLUE,
    (LEFT, 0),
    (
        (Spot(1, 320, 370, "Sketch", to_change=True),),
        (Spot(2, 320, 230),),
        (Spot(9, 320, 370, "Edges"),),
    ),
)
