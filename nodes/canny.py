"""CannyFromSketch: sketch to control picture."""

import torch
from comfy_api.latest import io, ui

from ..generation.edges.canny import edges_from_sketch
from . import convert
from .host.animations import first_frame
from .host.requirements import OPENCV, choose, require
from .sockets import SHOWS

MODES = ("auto", "canny", "lineart", "edge_map")
FITS = ("pad", "crop", "stretch")


class CannyFromSketch(io.ComfyNode):
    """Finds the lines of a sketch, white on black, for a Canny ControlNet."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        threshold = (
            "Only for mode canny (0-255). A pixel is an edge above high_threshold. Above low_threshold it is one only "
            "where it touches another. The other modes choose for themselves."
        )
        size = (
            "In pixels, rounded to a multiple of 8. 0 keeps the sketch's size. Set only one side to scale in "
            "proportion."
        )
        return io.Schema(
            node_id="CannyFromSketch",
            display_name="Canny From Sketch",
            category="Style RAG",
            description="Draws the lines of a sketch white on black, and shows them on top of it. Takes drawings, "
            "photos of them, coloured pictures and finished edge maps.",
            inputs=[
                io.Image.Input("image", tooltip="The sketch, light or dark."),
                io.Combo.Input(
                    "mode",
                    options=list(MODES),
                    default="auto",
                    tooltip="auto: recognise the kind of sketch and treat it as it needs (pencil, photographed paper, "
                    "light on dark, transparent, coloured, finished edges). canny: exactly OpenCV's Canny, two lines "
                    "a stroke. lineart: treat it as a drawing. edge_map: finished edges.",
                ),
                io.Int.Input("low_threshold", default=50, min=0, max=255, tooltip=threshold),
                io.Int.Input("high_threshold", default=150, min=0, max=255, tooltip=threshold),
                io.Int.Input("width", default=0, min=0, max=8192, step=8, tooltip=size),
                io.Int.Input("height", default=0, min=0, max=8192, step=8, tooltip=size),
                io.Combo.Input(
                    "fit",
                    options=list(FITS),
                    default="pad",
                    tooltip="For other proportions. pad: add an empty border. crop: keep the centre. stretch: "
                    "distort to fit.",
                ),
                io.Mask.Input(
                    "mask", optional=True, tooltip="Link LoadImage's MASK for a drawing on a transparent background."
                ),
            ],
            outputs=[
                io.Image.Output(display_name="edges", tooltip="White lines on black, for any Canny ControlNet."),
                io.String.Output(display_name="report", tooltip="What was recognised and done, one line per picture."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
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
        image, mask, said = first_frame(cls, "image", image, mask)
        pictures = convert.image_to_arrays(image, "image", mask)
        transparent = convert.has_transparency(image, mask)
        thresholds, size = (low_threshold, high_threshold), (width, height)
        drawn = [edges_from_sketch(picture, mode, thresholds, size, fit, transparent) for picture in pictures]
        edges = torch.cat([convert.array_to_image(one.lines) for one in drawn])
        shown = torch.cat([convert.array_to_image(one.shown) for one in drawn])
        report = "\n".join(one.report + said for one in drawn)
        return io.NodeOutput(edges, report, ui=ui.PreviewImage(shown, cls=cls).as_dict() | {"text": (report,)})
