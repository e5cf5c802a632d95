"""ScoreStyledImage: how well a picture follows its sketch, its style and its prompt."""

import json
from typing import Any

import torch
from comfy_api.latest import io

from ..generation.edges.score import mean_edge_score
from ..generation.settings import check_prompt
from ..retrieval.likeness import score_likeness
from . import convert
from .host.requirements import OPENCV, RETRIEVAL, find_mistakes, require
from .sockets import KnowledgeBase, StyleKB, StyleReferences, StyleReferencesSocket


class ScoreStyledImage(io.ComfyNode):
    """Compares a picture with the edges, the references and the prompt that it was made from."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        share = "the share of unrelated pairs of the knowledge base that are less alike. 0.5 is chance."
        return io.Schema(
            node_id="ScoreStyledImage",
            display_name="Score Styled Image",
            category="Style RAG",
            description="Measures how well a picture follows the edges, the style references and the prompt that it "
            "was made from, each from 0 to 1. Use it to compare settings.",
            inputs=[
                io.Image.Input("image", tooltip="The picture to score. For a batch the scores are means."),
                io.Image.Input("edges", tooltip="The edges that it should follow, from Canny From Sketch."),
                StyleReferencesSocket.Input("references", tooltip="The references whose style it should have."),
                io.String.Input(
                    "prompt",
                    multiline=True,
                    default="",
                    dynamic_prompts=True,
                    tooltip="What it should show, in which style.",
                ),
                StyleKB.Input("knowledge_base", tooltip="Its encoder compares. Its pictures say what chance is."),
            ],
            outputs=[
                io.Float.Output(
                    display_name="edge_f1",
                    tooltip="F1 of the picture's Canny edges against `edges`, with a tolerance of 0.75 % of the "
                    "diagonal (2 pixels at 256x256).",
                ),
                io.Float.Output(display_name="style_score", tooltip=f"Picture against references: {share}"),
                io.Float.Output(display_name="prompt_score", tooltip=f"Picture against prompt: {share}"),
                io.String.Output(display_name="report", tooltip="JSON: the scores and what they were computed from."),
            ],
            is_output_node=True,
        )

    @classmethod
    def mistakes(cls, prompt: str | None = None) -> dict[str, str]:
        """Return input -> sentence when the prompt is wrong. None: linked."""
        return find_mistakes({"prompt": (prompt, lambda value: check_prompt(value, "prompt"))})

    @classmethod
    def validate_inputs(cls, prompt: str | None = None) -> bool | str:
        """Check the prompt before anything runs: what came past `mistakes`, without HTTP."""
        return next(iter(cls.mistakes(prompt).values()), True)

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        edges: torch.Tensor,
        references: StyleReferences,
        prompt: str,
        knowledge_base: KnowledgeBase,
    ) -> io.NodeOutput:
        require(RETRIEVAL)
        require(OPENCV)
        check_prompt(prompt, "prompt")
        pictures, lines = convert.image_to_arrays(image, "image"), convert.image_to_arrays(edges, "edges")
        report: dict[str, dict[str, Any]] = {"edges": mean_edge_score(pictures, [line[..., 0] for line in lines])}
        store, encoder, given = knowledge_base.store, knowledge_base.encoder, convert.image_to_pil(image, "image")
        report |= score_likeness(store, encoder, given, references.named(), prompt)
        text = json.dumps(_rounded(report), ensure_ascii=False, indent=1)
        return io.NodeOutput(*(part["score"] for part in report.values()), text, ui={"text": (_in_short(report),)})


def _rounded(report: Any) -> Any:
    """The same with three decimals, which is what the scores are good for."""
    return json.loads(json.dumps(report), parse_float=lambda digits: round(float(digits), 3))


def _in_short(report: dict[str, dict[str, Any]]) -> str:
    """One line for the node itself."""
    return "  ".join(
        f"{name} {part['score']:.2f}" if "note" not in part else f"{name} –" for name, part in report.items()
    )
