"""RetrieveStyle: prompt to reference."""

import json
from contextlib import nullcontext
from typing import Any

import torch
from comfy_api.latest import io, ui
from comfy_execution.graph_utils import ExecutionBlocker
from PIL import Image

from ..generation.settings import check_prompt
from ..retrieval.pictures.matched import open_matches
from ..retrieval.ranking.pins import split_lines
from ..retrieval.records import STRATEGIES
from ..retrieval.search import StyleQuery, search
from ..retrieval.view.filters import parse_filter
from . import contact_sheet, convert
from .host import threads
from .host.requirements import RETRIEVAL, choose, find_mistakes, require
from .sockets import SHOWS, KnowledgeBase, StyleKB, StyleReferences, StyleReferencesSocket


class RetrieveStyle(io.ComfyNode):
    """Finds the pictures of a knowledge base that fit a prompt best."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RetrieveStyle",
            display_name="Retrieve Style",
            category="Style RAG",
            description="Finds the pictures of a knowledge base that fit the prompt best, and shows them with ranks "
            "and scores. When nothing reaches min_score it returns none, and the sampler paints without a style.",
            inputs=[
                StyleKB.Input("knowledge_base", tooltip="From Style Knowledge Base."),
                io.String.Input(
                    "prompt",
                    multiline=True,
                    dynamic_prompts=True,
                    default="",
                    tooltip="What the picture should be. Its style words find the reference.",
                ),
                io.Combo.Input(
                    "strategy",
                    options=list(STRATEGIES),
                    default="hybrid",
                    tooltip="semantic: compare the prompt with the pictures (CLIP). keyword: look for its words in "
                    "name, caption and tags (BM25). image: compare query_image with the pictures. hybrid: all that "
                    "apply.",
                ),
                io.Int.Input("top_k", default=1, min=1, max=16, tooltip="How many references to return."),
                io.Float.Input(
                    "min_score",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Drop matches with a lower score. The score is the share of unrelated pairs of this "
                    "knowledge base that are less alike. 0.5 is chance.",
                ),
                io.Float.Input(
                    "diversity",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="0: the best matches. Higher: references that differ more from each other (MMR).",
                ),
                io.String.Input(
                    "filter",
                    default="",
                    tooltip="Only return pictures that match, for example (tag:ukiyo-e OR tag:ink) license:CC0 "
                    "date:>=2024 -size:<512. Fields: tag, license, folder, name, date, size, width, height.",
                ),
                io.Image.Input(
                    "query_image",
                    optional=True,
                    tooltip="A picture with the look that you want. For the strategies image and hybrid.",
                ),
                io.String.Input(
                    "avoid",
                    optional=True,
                    default="",
                    dynamic_prompts=True,
                    tooltip="Words for what the style must not be.",
                ),
                io.String.Input(
                    "pinned",
                    optional=True,
                    default="",
                    multiline=True,
                    tooltip="Ids from an explanation, one a line, with or without a score after them. Only these are "
                    "returned. 'none' returns nothing. The workflow in a PNG has the ids of its picture.",
                ),
            ],
            outputs=[
                StyleReferencesSocket.Output(display_name="references", tooltip="To ControlNet + IP-Adapter Sampler."),
                io.Image.Output(display_name="image", tooltip="The best match, in its own size, for any other node."),
                io.Image.Output(display_name="images", is_output_list=True, tooltip="All matches, best first."),
                io.String.Output(
                    display_name="explanation",
                    tooltip="A JSON list with one object per match (id, name, file, tags, licence, score, cosine, "
                    "ranks, matching words and tags, runner-up, margin), or one object that says why nothing "
                    "matched.",
                ),
            ],
            **SHOWS,
        )

    @classmethod
    def mistakes(
        cls, prompt: str | None = None, filter: str | None = None, strategy: str | None = None
    ) -> dict[str, str]:
        """Return input -> sentence of each widget that is wrong, as words alone decide it. None: linked."""
        return find_mistakes(
            {
                "prompt": (prompt, lambda value: check_prompt(value, "prompt")),
                "filter": (filter, parse_filter),
                "strategy": (strategy, lambda value: choose("strategy", value, STRATEGIES)),
            }
        )

    @classmethod
    def validate_inputs(cls, prompt: str | None = None, filter: str | None = None) -> bool | str:
        """Check what words alone decide, before anything runs: what came past `mistakes`, without HTTP."""
        return next(iter(cls.mistakes(prompt, filter).values()), True)

    @classmethod
    def execute(
        cls,
        knowledge_base: KnowledgeBase,
        prompt: str,
        strategy: str,
        top_k: int,
        min_score: float,
        diversity: float,
        filter: str,
        query_image: torch.Tensor | None = None,
        avoid: str = "",
        pinned: str = "",
    ) -> io.NodeOutput:
        require(RETRIEVAL)
        check_prompt(prompt, "prompt")
        image = None if query_image is None else convert.image_to_pil(query_image, "query_image")[0]
        query = StyleQuery(prompt, strategy, top_k, min_score, diversity, filter, image, avoid, split_lines(pinned))
        with threads.alone() if image is None else nullcontext():  # a few words to encode
            matches = search(knowledge_base.store, knowledge_base.encoder, query, knowledge_base.caption_encoder)
        pictures = open_matches(matches)
        explanation = json.dumps(matches.explain(), ensure_ascii=False, indent=1)
        images = [convert.pil_to_image(picture) for picture in pictures] or [ExecutionBlocker(None)]
        references = StyleReferences(knowledge_base.store, tuple(matches), tuple(pictures))
        shown = _shown(cls, contact_sheet.draw(matches, pictures), explanation)
        return io.NodeOutput(references, images[0], images, explanation, ui=shown)


def _shown(node: type[io.ComfyNode], sheet: Image.Image, text: str) -> dict[str, Any]:
    """Return what the page shows on the node."""
    return ui.PreviewImage(convert.pil_to_image(sheet), cls=node).as_dict() | {"text": (text,)}
