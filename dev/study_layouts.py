"""The bundled workflows that show one thing each, on the bundled models. Values and links are in workflows/api/."""

from __future__ import annotations

from graph_layout import Group, Layout, Spot
from layout_parts import (
    BLUE,
    CYAN,
    GREEN,
    LEFT,
    LOWER,
    OCHRE,
    PURPLE,
    RIGHT,
    diffusers_groups,
    read_me,
    sketch_group,
    style_group,
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

CHOICES = ("The best one", "The best four", "Four that differ")


def choice_group(number: int) -> Group:
    """One of the three ways to choose references, and its picture."""
    columns = ((Spot(7 + number, 460, 620),), (Spot(10 + number, 340, 840),))
    return Group(CHOICES[number], (CYAN, BLUE, PURPLE)[number], (RIGHT + number * 940, 0), columns)


SEVERAL = Layout(
    "several_references",
    "5d1c4f0e-7a34-4b60-9c55-2f6f1a3d8e05",
    (
        sketch_group(6),
        Group(
            "Style",
            OCHRE,
            (LEFT, LOWER),
            ((Spot(3, 320, 130, "Prompt", to_change=True), Spot(5, 320, 130)), (Spot(4, 320, 416),)),
        ),
        *(choice_group(number) for number in range(len(CHOICES))),
        Group(
            "Side by side",
            GREEN,
            (RIGHT, 960),
            ((Spot(13, 300, 154), Spot(14, 300, 154)), (Spot(15, 800, 400, "Side by side"),)),
        ),
    ),
    read_me(
        """
## One reference, or several?

The same **sketch**, **prompt** and seed with three choices of references, each made by *Retrieve Style*:

- *The best one*: `top_k` 1.
- *The best four*: `top_k` 4. The picture takes something of each; the prompt here names two styles, and both are found.
- *Four that differ*: `diversity` 0.5 passes over what looks like a reference that is already chosen.

Press **Run**, then change the two green nodes. The picture at the end of the graph shows all three, from left to right.

### Choose them yourself

Link *explanation* of *Retrieve Style* to a *Preview as Text* node, and put the ids that you want into **pinned**, a
line each. Or drag a style from the **Styles** tab onto the node.

A *filter* such as `tag:ukiyo-e OR tag:watercolour` narrows what is searched.
"""
    ),
    seed="fixed",
)

KNOWLEDGE_BASE = Layout(
    "build_knowledge_base",
    "5d1c4f0e-7a34-4b60-9c55-2f6f1a3d8e06",
    (
        Group("A picture from the graph", BLUE, (LEFT, 0), ((Spot(1, 320, 370, "New picture", to_change=True),),)),
        Group("Models", GREEN, (LEFT, LOWER), ((Spot(3, 320, 130),),)),
        Group(
            "Knowledge base",
            OCHRE,
            (LEFT + 400, 0),
            ((Spot(2, 380, 440, to_change=True), Spot(4, 380, 240, "Report")),),
        ),
        Group(
            "Try it",
            PURPLE,
            (LEFT + 860, 0),
            ((Spot(5, 500, 640, to_change=True),), (Spot(6, 400, 300, "References"), Spot(7, 400, 286, "Why these"))),
        ),
    ),
    read_me(
        """
## A knowledge base of your own

Press **Run**: the starter library and one **new picture** become the knowledge base `my library`. *Report* counts what
was added; run it again, and all is unchanged. *Retrieve Style* then finds the new picture.

### With your own pictures

- Put a folder of pictures into ComfyUI's `input/`, and write its name into *sources*, a line each. With *update* at
`sync` the knowledge base follows the folder: new ones are added, changed ones embedded again, vanished ones dropped.
- *images*, *captions* and *tags* take pictures from the graph, such as a result that you like. The knowledge base keeps
a copy.
- A caption beside a picture, `castle.txt` beside `castle.png`, lets words find it.
- The **Styles** tab in the sidebar shows what is in it, and takes pictures by drop.

### What each part does

*encoder* compares pictures with prompts; choose `openai/clip-vit-base-patch32` for real work (a download of 0.6 GB).
*pipeline* is optional: with it, what the IP-Adapter sees of each picture is kept too, and sampling starts sooner.

Other workflows open it by its name, with *update* at `open`.
"""
    ),
    seed="fixed",
)

TURBO = Layout(
    "turbo",
    "5d1c4f0e-7a34-4b60-9c55-2f6f1a3d8e07",
    diffusers_groups(256),
    read_me(
        """
## A picture in eight steps

The graph of **quickstart** with *speed* at `turbo`: eight steps without guidance instead of twenty with it, by a LoRA
that was distilled for few steps. *cfg* and *scheduler* are set by it, *steps* is kept between 4 and 8.

Press **Run**, then change the two green nodes. Set *speed* to `exact`, *steps* to 20 and *cfg* to 1.5 to compare.

### With Stable Diffusion 1.5

Put `lcm-lora-sdv1-5`, saved under a name with `lcm`, or `Hyper-SD15-8steps-lora.safetensors` into `models/loras`. It
is found by its name; no *Load Style LoRA* is needed.

Few steps cost detail: try *control_strength* and *style_strength* again.
"""
    ),
    seed="fixed",
)
