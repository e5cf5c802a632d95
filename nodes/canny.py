"""CannyFromSketch: sketch to control picture."""

import numpy as np
import torch
from comfy_api.latest import io

from ..generation.canny import edges_from_sketch
from . import convert
from .requirements import OPENCV, choose, require

MODES = ("auto", "canny", "edge_map")
FITS = ("pad", "crop", "stretch")


class CannyFromSketch(io.ComfyNode):
    """Draws the edges of a sketch, white on black, as a Canny ControlNet was trained on."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        threshold = "A pixel is an edge above high_threshold, and above low_threshold when it touches one (0-255)."
        size = "In pixels, rounded to a multiple of 8. 0: keep the sketch's; with one of both 0, keep its proportions."
        return io.Schema(
            node_id="CannyFromSketch",
            display_name="Canny From Sketch",
            category="Style RAG",
            description="Turns a drawing, a photo of one, or a finished edge map into white lines on black for a Canny "
            "ControlNet.",
            inputs=[
                io.Image.Input("image", tooltip="The sketch, light or dark."),
                io.Combo.Input(
                    "mode",
                    options=list(MODES),
                    default="auto",
                    tooltip="auto: finished edges as they are, faint drawings with more contrast, then Canny. canny: "
                    "exactly OpenCV's Canny. edge_map: take the picture as finished edges.",
                ),
                io.Int.Input("low_threshold", default=50, min=0, max=255, tooltip=threshold),
                io.Int.Input("high_threshold", default=150, min=0, max=255, tooltip=threshold),
                io.Int.Input("width", default=0, min=0, max=8192, step=8, tooltip=size),
                io.Int.Input("height", default=0, min=0, max=8192, step=8, tooltip=size),
                io.Combo.Input(
                    "fit",
                    options=list(FITS),
                    default="pad",
                    tooltip="When the proportions differ: pad carries the paper on, crop cuts the middle out, "
                    "stretch bends.",
                ),
                io.Mask.Input(
                    "mask", optional=True, tooltip="Link LoadImage's MASK for a drawing on a transparent background."
                ),
            ],
            outputs=[
                io.Image.Output(display_name="edges", tooltip="White lines on black, for any Canny ControlNet."),
                io.String.Output(display_name="report", tooltip="What was detected and done."),
            ],
        )

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        mode: str,
        low_threshold: int,
        high_threshold: int,
        width: int,
        height: int,
        fit: str,
        mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        require(OPENCV)
        choose("mode", mode, MODES)
        choose("fit", fit, FITS)
        pictures = convert.image_to_arrays(image, "image", mask)
        drawn = [edges_from_sketch(p, mode, low_threshold, high_threshold, (width, height), fit) for p in pictures]
        edges = torch.cat([convert.array_to_image(np.ascontiguousarray(lines)) for lines, _ in drawn])
        return io.NodeOutput(edges, "\n".join(report for _, report in drawn))
