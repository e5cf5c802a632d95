"""The sampler's inputs that say how references act beyond their number and strength."""

from comfy_api.latest import io

from ..generation.settings import COMBINATIONS, REFERENCE_FITS


def style_inputs() -> list[io.Input]:
    return [
        io.Combo.Input(
            "combine",
            options=list(COMBINATIONS),
            default="joined",
            optional=True,
            tooltip="Several references. joined: the picture takes from each what suits a place; averaged: one style "
            "between them.",
        ),
        io.String.Input(
            "reference_weights",
            default="",
            optional=True,
            tooltip="A number for each reference, best match first, such as 0.7, 0.3. Empty: by the scores, and equal "
            "where there are none. info has those that were used.",
        ),
        io.Image.Input(
            "negative_reference",
            optional=True,
            tooltip="A picture whose style is to be avoided: guidance leads away from it. It needs a reference, and a "
            "cfg above 1.",
        ),
        io.Mask.Input(
            "style_mask",
            optional=True,
            tooltip="Where the references are seen: 1 in the mask. One mask for all of them, or a batch with one each.",
        ),
        io.Combo.Input(
            "reference_fit",
            options=list(REFERENCE_FITS),
            default="crop",
            optional=True,
            tooltip="What is seen of a reference that is not square. crop: the middle; pad: all, with a border; "
            "stretch: all, squeezed; crops: squares from end to end, averaged.",
        ),
    ]
