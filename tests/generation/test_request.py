"""What a request says of its references, and what it refuses, without any model."""

from dataclasses import replace

import pytest
import torch
from PIL import Image
from style_pack.generation.loading.pipeline import StylePipeline
from style_pack.generation.painting import paint
from style_pack.generation.request import SamplingRequest, StylePicture
from style_pack.generation.settings import GenerationSettings

SETTINGS = GenerationSettings("a house", "", 1, 2, 2.0, "ddim", 64, 64)
PICTURES = tuple(StylePicture(Image.new("RGB", (32, 32), colour), score) for colour, score in (("red", 1), ("blue", 0)))


def test_weights_are_as_written_and_else_by_the_scores() -> None:
    request = SamplingRequest(SETTINGS, references=PICTURES)
    assert request.weights[0] > request.weights[1] > 0
    assert replace(request, reference_weights="1, 3").weights == (0.25, 0.75)
    assert replace(request, references=(), reference_weights="1, 3").weights == ()


def test_it_is_checked_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="reference_weights holds 1 number, and there are 2 references"):
        SamplingRequest(SETTINGS, references=PICTURES, reference_weights="1")
    with pytest.raises(ValueError, match="style_mask holds 3 masks, and there are 2 references"):
        SamplingRequest(SETTINGS, references=PICTURES, masks=torch.ones(3, 64, 64))
    with pytest.raises(ValueError, match="style_mask is 0 everywhere"):
        SamplingRequest(SETTINGS, masks=torch.zeros(1, 64, 64))
    with pytest.raises(ValueError, match="speed turbo needs a LoRA that was distilled"):
        SamplingRequest(replace(SETTINGS, speed="turbo"))


def test_settings_are_read_by_their_widgets_names() -> None:
    texts = {"prompt": "a house", "negative_prompt": "", "scheduler": "ddim"}
    read = GenerationSettings.from_widgets(**texts, seed=1, steps=2, cfg=2.0, width=64, height=64, style_end=0.5)
    assert read == replace(SETTINGS, ip_adapter_end=0.5)
    with pytest.raises(TypeError, match="sharpness"):
        GenerationSettings.from_widgets(**texts, sharpness=1)


def test_masks_without_references_are_nothing(pipeline: StylePipeline) -> None:
    named = replace(pipeline, identities={"image_encoder": {"fingerprint": "0"}})
    plain = paint(named, SamplingRequest(SETTINGS), lambda picture: "")
    masked = paint(named, SamplingRequest(SETTINGS, masks=torch.ones(3, 64, 64)), lambda picture: "")
    assert torch.equal(masked.images, plain.images)
    assert masked.info["references"] == []


def test_several_sketches_become_a_picture_each(pipeline: StylePipeline) -> None:
    sketches = torch.zeros(2, 3, 64, 64)
    sketches[0, :, 20], sketches[1, :, :, 40] = 1, 1
    request = SamplingRequest(replace(SETTINGS, num_images=2), sketches, PICTURES)
    seen: list[tuple[int, int]] = []
    both = paint(pipeline, request, lambda picture: str(picture.getpixel((0, 20))), lambda *at: seen.append(at[:2]))
    single = [paint(pipeline, replace(request, edges=one), lambda picture: "") for one in sketches.split(1)]
    assert torch.equal(both.images, torch.cat([painting.images for painting in single]))
    assert len(both.images) == 4
    assert both.info["edges"] == ["(255, 255, 255)", "(0, 0, 0)"]
    assert len(both.info["decoded_in"]) == 4  # pyright: ignore[reportArgumentType]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
