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
            tooltip="For several references. joined: each place takes what suits it from all. averaged: one style "
            "between them.",
        ),
        io.String.Input(
            "reference_weights",
            default="",
            optional=True,
            tooltip="A number for each reference, best match first, such as 0.7, 0.3. Empty: by their scores, or equal "
            "without scores. info has the weights that were used.",
        ),
        io.Image.Input(
            "negative_reference",
            optional=True,
            tooltip="A picture with a style to avoid. It needs a reference, and a cfg above 1.",
        ),
        io.Mask.Input(
            "style_mask",
            optional=True,
            tooltip="Where the references are seen: where the mask is 1. One mask for all, or a batch with one for "
            "each.",
        ),
        io.Combo.Input(
            "reference_fit",
            options=list(REFERENCE_FITS),
            default="crop",
            optional=True,
            tooltip="What is seen of a reference that is not square. crop: its centre. pad: all of it, with a border. "
            "stretch: all of it, distorted. crops: squares from end to end, averaged.",
        ),
    ]
