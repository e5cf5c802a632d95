"""The bundled workflows in the editor: nodes' places, groups, notes, and links to the model files.

Values and links of the nodes are in workflows/api/.
"""

from __future__ import annotations

import re

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


QUICKSTART = Layout(
    "quickstart",
    "5d1c4f0e-7a34-4b60-9c55-2f6f1a3d8e01",
    diffusers_groups(256),
    read_me(
        """
## A sketch and a prompt become a picture

Its structure follows the **sketch**. Its style follows a **reference** that is found for the **prompt** in a library
of pictures.

Press **Run**: seconds on a processor, and nothing is downloaded.

### Then change the two green nodes

- **Sketch**: *choose file to upload*. Any drawing will do, or a photo of one.
- **Prompt**: what to paint, and in which style. Try `a castle as stained glass`, `a harbour as a woodblock print`,
`mountains in pixel art`.

*Retrieve Style* shows which reference it found, and why. The seed is fixed, so that the same input gives the same
picture: set *control after generate* to `randomize` for a new one each time.

### Your own styles

Put pictures into `input/my styles/` and write `my styles` into *sources*.

### What this is

A **demonstration** with miniature models that come with the pack: 256 × 256 pixels, simple scenes, some 800 words. For
pictures to keep, open the template **style_rag_sd15**: the same graph with Stable Diffusion 1.5.
"""
    ),
    seed="fixed",
)

SD15 = Layout(
    "style_rag_sd15",
    "5d1c4f0e-7a34-4b60-9c55-2f6f1a3d8e02",
    diffusers_groups(512, (CHECKPOINT, CONTROLNET, IP_ADAPTER, IP_ADAPTER_ENCODER)),
    read_me(
        f"""
## Style RAG with Stable Diffusion 1.5

The graph of **quickstart** with models for real pictures. Put these files into ComfyUI's `models/`, then press **R**:

- `checkpoints/` {CHECKPOINT.link}, 2.1 GB
- `controlnet/` {CONTROLNET.link}, 0.7 GB
- `ipadapter/` {IP_ADAPTER.link}, 45 MB
- `clip_vision/` {IP_ADAPTER_ENCODER.link}, 2.5 GB: the IP-Adapter's image encoder

They are recognised by their headers, so that any other Stable Diffusion 1.5 checkpoint, Canny ControlNet or IP-Adapter
(base, light, plus) can be chosen. The CLIP model of the retrieval, `openai/clip-vit-base-patch32` (0.6 GB), is
downloaded at the first run.

### On a T4

Keep *precision* at `fp16`, which a T4 is fast at; it has no `bf16`. The picture is as large as the edges: 512 × 512,
what Stable Diffusion 1.5 was trained at. Change it in *Canny From Sketch*.

### What to turn

- *style_strength*: how much of the reference; a higher one also copies what it shows.
- *control_end* below 1 lets the last steps leave the lines.
- *top_k* above 1 takes several references.
"""
    ),
)

NATIVE = Layout(
    "style_rag_native",
    "5d1c4f0e-7a34-4b60-9c55-2f6f1a3d8e03",
    (
        sketch_group(19),
        style_group(20),
        Group(
            "Models",
            GREEN,
            (RIGHT, 0),
            (
                (Spot(6, 340, 98, models=(CHECKPOINT,)), Spot(9, 340, 58, models=(CLIP_L,))),
                (Spot(13, 340, 58, models=(CONTROLNET,)), Spot(11, 340, 58, models=(STYLE_MODEL,))),
            ),
        ),
        Group(
            "Conditioning",
            CYAN,
            (RIGHT, 340),
            (
                (Spot(7, 340, 130, "Prompt to conditioning"), Spot(8, 340, 130, "Negative prompt"), Spot(10, 340, 78)),
                (Spot(12, 340, 122), Spot(14, 340, 186)),
            ),
        ),
        Group(
            "Picture",
            PURPLE,
            (2380, 0),
            ((Spot(15, 440, 106, "Size"), Spot(16, 440, 262), Spot(17, 440, 46), Spot(18, 440, 524)),),
        ),
    ),
    read_me(
        f"""
## Style RAG with ComfyUI's own nodes

The pack draws the edges and retrieves the style; *KSampler*, *ControlNet* and *style model* are ComfyUI's. Put these
files into ComfyUI's `models/`, then press **R**:

- `checkpoints/` {CHECKPOINT.link}, 2.1 GB
- `controlnet/` {CONTROLNET.link}, 0.7 GB
- `clip_vision/` {CLIP_L.link}, 1.7 GB: save it under this name
- `style_models/` {STYLE_MODEL.link}, 0.2 GB

The CLIP model of the retrieval, `openai/clip-vit-base-patch32` (0.6 GB), is downloaded at the first run.

### With an IP-Adapter instead

Install the pack [ComfyUI_IPAdapter_plus](https://github.com/cubiq/ComfyUI_IPAdapter_plus)
(cubiq/ComfyUI_IPAdapter_plus). Lead the MODEL of *Load Checkpoint* through its IPAdapter node into *KSampler*, and link
**image** of *Retrieve Style* to that node's image. *Load Style Model*, *Apply Style Model* and the two CLIP Vision
nodes can go.

### How it is wired

**image** of *Retrieve Style* is the best match and **edges** of *Canny From Sketch* are white lines on black, both
plain IMAGE: any node takes them.
"""
    ),
)

ATTEMPTS = ("Words alone", "With the sketch", "With the reference", "With both")


def attempt_group(number: int) -> Group:
    """One of the four pictures: its sampler, its scores, and their text."""
    spots = (Spot(9 + number, 340, 840), Spot(13 + number, 340, 190), Spot(17 + number, 340, 560, "Scores"))
    return Group(ATTEMPTS[number], (CYAN, BLUE, OCHRE, PURPLE)[number], (RIGHT + 440 + number * 400, 0), (spots,))


COMPARE = Layout(
    "compare_with_and_without_rag",
    "5d1c4f0e-7a34-4b60-9c55-2f6f1a3d8e04",
    (
        sketch_group(7),
        style_group(8),
        Group("Models", GREEN, (RIGHT, 0), ((Spot(6, 380, 130),),)),
        *(attempt_group(number) for number in range(len(ATTEMPTS))),
        Group(
            "Side by side",
            PURPLE,
            (RIGHT + 440, 1760),
            (
                (Spot(21, 300, 154),),
                (Spot(22, 300, 154),),
                (Spot(23, 300, 154),),
                (Spot(24, 480, 400, "Side by side"),),
            ),
        ),
    ),
    read_me(
        """
## What do the sketch and the reference do?

Four pictures of the same **prompt** and the same **seed**: from words alone, with the sketch, with the retrieved
reference, and with both. Each gets scores, from 0 to 1, against the same edges, reference and prompt:

- *edges*: does it follow the sketch? F1 of its edges.
- *style*: is it like the reference? 0.5 is chance.
- *prompt*: does it fit the words? 0.5 is chance.

Press **Run**, then change the two green nodes. The picture at the end of the graph shows all four, from left to right.

For pictures to keep, choose other models in *Load Style Pipeline*; the two samplers without edges need *width* and
*height* to be 512 then.
"""
    ),
    seed="fixed",
)

LAYOUTS = (QUICKSTART, COMPARE, SD15, NATIVE)
