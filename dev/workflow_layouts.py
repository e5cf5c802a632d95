"""The bundled workflows in the editor: nodes' places, groups, notes, and links to the model files.

Values and links of the nodes are in workflows/api/.
"""

from __future__ import annotations

from graph_layout import Group, Layout, Spot
from layout_parts import (
    CHECKPOINT,
    CLIP_L,
    CONTROLNET,
    CYAN,
    GREEN,
    IP_ADAPTER,
    IP_ADAPTER_ENCODER,
    PURPLE,
    RIGHT,
    STYLE_MODEL,
    diffusers_groups,
    read_me,
    sketch_group,
    style_group,
)
from study_layouts import COMPARE, KNOWLEDGE_BASE, SEVERAL, TURBO

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

LAYOUTS = (QUICKSTART, COMPARE, SEVERAL, KNOWLEDGE_BASE, TURBO, SD15, NATIVE)
