"""CannyFromSketch: sketch to control picture."""

import torch
from comfy_api.latest import io, ui

from ..generation.edges.canny import edges_from_sketch
from . import convert
from .host.requirements import OPENCV, choose, require
from .sockets import SHOWS

MODES = ("auto", "canny", "lineart", "edge_map")
FITS = ("pad", "crop", "stretch")


class CannyFromSketch(io.ComfyNode):
    """Finds the lines of a sketch, white on black, for a Canny ControlNet."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        threshold = (
            "For mode canny alone: a pixel is an edge above high_threshold, and above low_threshold when it touches "
            "one (0-255). The other modes choose for themselves."
        )
        size = "In pixels, rounded to a multiple of 8. 0: keep the sketch's; with one of both 0, keep its proportions."
        return io.Schema(
            node_id="CannyFromSketch",
            display_name="Canny From Sketch",
            category="Style RAG",
            description="Turns a drawing, a photo of one, a coloured picture or a finished edge map into white lines "
            "on black, and shows them on top of it.",
            inputs=[
                io.Image.Input("image", tooltip="The sketch, light or dark."),
                io.Combo.Input(
                    "mode",
                    options=list(MODES),
                    default="auto",
                    tooltip="auto: recognises photographed paper, pencil, light on dark, transparent drawings, "
                    "coloured pictures and finished edges, and treats each as it needs. canny: exactly OpenCV's "
                    "Canny, two lines a stroke. lineart: a drawing, whatever it looks like. edge_map: finished edges.",
                ),
                io.Int.Input("low_threshold", default=50, min=0, max=255, tooltip=threshold),
                io.Int.Input("high_threshold", default=150, min=0, max=255, tooltip=threshold),
                io.Int.Input("width", default=0, min=0, max=8192, step=8, tooltip=size),
                io.Int.Input("height", default=0, min=0, max=8192, step=8, tooltip=size),
                io.Combo.Input(
                    "fit",
                    options=list(FITS),
                    default="pad",
                    tooltip="When the proportions differ: pad leaves the rest empty, crop cuts the middle out, "
                    "stretch bends.",
                ),
                io.Mask.Input(
                    "mask", optional=True, tooltip="Link LoadImage's MASK for a drawing on a transparent background."
                ),
            ],
            outputs=[
                io.Image.Output(display_name="edges", tooltip="White lines on black, for any Canny ControlNet."),
                io.String.Output(display_name="report", tooltip="What was detected and done, in a line a picture."),
            ],
            **SHOWS,
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
        transparent = convert.has_transparency(image, mask)
        thresholds, size = (low_threshold, high_threshold), (width, height)
        drawn = [edges_from_sketch(picture, mode, thresholds, size, fit, transparent) for picture in pictures]
        edges = torch.cat([convert.array_to_image(one.lines) for one in drawn])
        shown = torch.cat([convert.array_to_image(one.shown) for one in drawn])
        report = "\n".join(one.report for one in drawn)
        preview = ui.PreviewImage(shown, cls=cls).as_dict() | {"text": (report,)}
        return io.NodeOutput(edges, report, ui=preview)
