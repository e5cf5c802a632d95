"""ScoreStyledImage: how well a picture follows its sketch, its style and its prompt."""

import json
from statistics import fmean
from typing import Any

import numpy as np
import torch
from comfy_api.latest import io

from ..generation.edges.score import score_edges
from ..generation.settings import check_prompt
from ..retrieval.ranking.calibration import score
from . import convert
from .host.requirements import OPENCV, RETRIEVAL, find_mistakes, require
from .sockets import KnowledgeBase, StyleKB, StyleReferences, StyleReferencesSocket


class ScoreStyledImage(io.ComfyNode):
    """Compares a picture with the edges, the references and the prompt that it was made from."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        share = "the share of unrelated pairs of the knowledge base that are less alike: 0.5 = chance."
        return io.Schema(
            node_id="ScoreStyledImage",
            display_name="Score Styled Image",
            category="Style RAG",
            description="Measures how well a picture follows the edges, the style references and the prompt that it "
            "was made from, each from 0 to 1. For comparing settings with one another.",
            inputs=[
                io.Image.Input("image", tooltip="The picture to score. Of a batch, the mean is given."),
                io.Image.Input("edges", tooltip="The edges that it was to follow, from Canny From Sketch."),
                StyleReferencesSocket.Input("references", tooltip="The references whose style it was to take."),
                io.String.Input("prompt", multiline=True, default="", tooltip="What it was to show, in which style."),
                StyleKB.Input("knowledge_base", tooltip="Its encoder compares, and its pictures say what chance is."),
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
        knowledge_base.store.require_encoder(knowledge_base.encoder.identity)
        edge_report = _against_edges(image, edges)
        embeds = knowledge_base.encoder.encode_images(convert.image_to_pil(image, "image"))
        report = {
            "edges": edge_report,
            "style": _against_references(embeds, references, knowledge_base),
            "prompt": _against_prompt(embeds, prompt, knowledge_base),
        }
        text = json.dumps(_rounded(report), ensure_ascii=False, indent=1)
        return io.NodeOutput(*(part["score"] for part in report.values()), text, ui={"text": (_in_short(report),)})


def _against_edges(image: torch.Tensor, edges: torch.Tensor) -> dict[str, Any]:
    pictures, lines = convert.image_to_arrays(image, "image"), convert.image_to_arrays(edges, "edges")
    if len(lines) not in (1, len(pictures)):
        raise ValueError(f"edges holds {len(lines)} pictures and image {len(pictures)}: give one, or one an image.")
    lines = lines if len(lines) == len(pictures) else lines * len(pictures)
    scores = [score_edges(picture, line[..., 0]) for picture, line in zip(pictures, lines, strict=True)]
    means = {name: fmean(getattr(one, name) for one in scores) for name in ("f1", "precision", "recall")}
    return {"score": means["f1"], **means, "tolerance_pixels": scores[0].tolerance}


def _against_references(
    embeds: np.ndarray, references: StyleReferences, knowledge_base: KnowledgeBase
) -> dict[str, Any]:
    if not references.pictures:
        return {"score": 0.0, "note": "there is no reference to compare with: none was retrieved."}
    cosines = embeds @ knowledge_base.encoder.encode_images(references.pictures).T
    background = _background(knowledge_base, "image")
    names = [match.record.name for match in references.matches]
    each = [fmean(score(float(cosine), background) for cosine in column) for column in cosines.T]
    return {
        "score": fmean(each),
        "cosine": float(cosines.mean()),
        "references": dict(zip(names, each, strict=True)),
    }


def _against_prompt(embeds: np.ndarray, prompt: str, knowledge_base: KnowledgeBase) -> dict[str, Any]:
    if not prompt.strip():
        return {"score": 0.0, "note": "there is no prompt to compare with."}
    cosines = embeds @ knowledge_base.encoder.encode_texts([prompt])[0]
    background = _background(knowledge_base, "text")
    return {"score": fmean(score(float(cosine), background) for cosine in cosines), "cosine": float(cosines.mean())}


def _background(knowledge_base: KnowledgeBase, kind: str) -> list[float] | None:
    origin = knowledge_base.store.origin
    return origin.background.get(kind) if origin else None


def _rounded(report: Any) -> Any:
    """The same with three decimals, which is what the scores are good for."""
    return json.loads(json.dumps(report), parse_float=lambda digits: round(float(digits), 3))


def _in_short(report: dict[str, dict[str, Any]]) -> str:
    """One line for the node itself."""
    return "  ".join(
        f"{name} {part['score']:.2f}" if "note" not in part else f"{name} –" for name, part in report.items()
    )
