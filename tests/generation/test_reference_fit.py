"""References that are not square: what is encoded of them, and that no encoding is taken for another fit's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from plain_diffusers import LATENTS, SETTINGS, plain, reference
from style_pack.generation.conditioning.fit import PAPER, squares
from style_pack.generation.conditioning.references import Reference, encode_pictures
from style_pack.generation.loading.pipeline import StylePipeline
from style_pack.generation.sampler import generate
from style_pack.generation.settings import REFERENCE_FITS

NOISE = np.random.default_rng(3).integers(0, 256, (60, 150, 3), dtype=np.uint8)
WIDE = Image.fromarray(NOISE)
SIDE = 224


def latents(pipeline: StylePipeline, fit: str, *styles: Reference, negative: Reference | None = None) -> torch.Tensor:
    return generate(pipeline, replace(SETTINGS, reference_fit=fit), None, styles, negative=negative).latents


def differ(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


def test_pad_keeps_the_whole_picture_on_a_border_of_clips_mean_colour() -> None:
    for picture in (WIDE, WIDE.transpose(Image.Transpose.ROTATE_90)):
        (padded,) = squares(picture, "pad", SIDE)
        assert padded.size == (150, 150)
        pixels = np.asarray(padded)
        assert tuple(pixels[0, 0]) == tuple(pixels[-1, -1]) == PAPER
        middle = padded.crop((0, 45, 150, 105) if picture is WIDE else (45, 0, 105, 150))
        assert np.array_equal(np.asarray(middle), np.asarray(picture))


def test_stretch_makes_the_encoders_own_square() -> None:
    (stretched,) = squares(WIDE, "stretch", SIDE)
    assert np.array_equal(np.asarray(stretched), np.asarray(WIDE.resize((SIDE, SIDE), Image.Resampling.BICUBIC)))


def test_crops_go_from_end_to_end_and_leave_nothing_out() -> None:
    parts = squares(WIDE, "crops", SIDE)
    assert [np.array_equal(np.asarray(part), NOISE[:, left : left + 60]) for part, left in
            zip(parts, (0, 45, 90), strict=True)] == [True] * 3  # fmt: skip
    tall = [np.asarray(part) for part in squares(Image.fromarray(NOISE.swapaxes(0, 1)), "crops", SIDE)]
    assert all(np.array_equal(one, np.asarray(part).swapaxes(0, 1)) for one, part in zip(tall, parts, strict=True))
    assert [part.size for part in squares(Image.new("RGB", (101, 100)), "crops", SIDE)] == [(100, 100)] * 2
    assert len(squares(Image.new("RGB", (2000, 20)), "crops", SIDE)) == 6


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_a_fit_is_diffusers_picture_of_what_was_fitted(pipeline: StylePipeline, fit: str) -> None:
    fitted = squares(WIDE, fit, pipeline.image_encoder.config.image_size)
    expected = plain(SETTINGS, None, Reference(fitted[0]))
    assert differ(latents(pipeline, fit, Reference(WIDE)), expected) <= LATENTS


def test_crops_are_diffusers_picture_of_their_mean(pipeline: StylePipeline) -> None:
    mean = encode_pictures(pipeline, squares(WIDE, "crops", SIDE)).mean(0)[None]
    embeds = [torch.stack([torch.zeros_like(mean), mean])]
    expected = plain(SETTINGS, None, reference(), ip_adapter_image=None, ip_adapter_image_embeds=embeds)
    assert differ(latents(pipeline, "crops", Reference(WIDE)), expected) <= LATENTS


def test_fits_differ_and_what_is_remembered_of_one_is_not_taken_for_another(pipeline: StylePipeline) -> None:
    pipeline.encodings.clear()
    fresh = {}
    for fit in REFERENCE_FITS:
        fresh[fit] = latents(pipeline, fit, Reference(WIDE))
        pipeline.encodings.clear()
    assert all(differ(fresh[a], fresh[b]) > 1e-3 for a in fresh for b in fresh if a < b)
    for fit in (*REFERENCE_FITS, *reversed(REFERENCE_FITS)):
        assert torch.equal(latents(pipeline, fit, Reference(WIDE)), fresh[fit])


def test_a_stored_encoding_serves_crop_alone_unless_the_picture_is_square(pipeline: StylePipeline) -> None:
    stored = np.full((1, pipeline.image_encoder.config.projection_dim), 0.5, np.float32)[0]
    for fit in REFERENCE_FITS:
        used = torch.equal(
            latents(pipeline, fit, Reference(WIDE, stored)), latents(pipeline, "crop", Reference(WIDE, stored))
        )
        assert used == (fit == "crop")
        square = Reference(reference().picture, stored)
        assert torch.equal(latents(pipeline, fit, square), latents(pipeline, "crop", square))
        assert torch.equal(latents(pipeline, fit, reference()), latents(pipeline, "crop", reference()))


def test_the_negative_reference_is_fitted_too(pipeline: StylePipeline) -> None:
    cropped, padded = (latents(pipeline, fit, reference(), negative=Reference(WIDE)) for fit in ("crop", "pad"))
    assert differ(cropped, padded) > 1e-3


@pytest.mark.parametrize("size", [(1, 1), (5, 1), (3, 3), (40, 3)])
def test_a_tiny_picture_is_encoded_as_what_its_pixels_repeated_show(
    pipeline: StylePipeline, size: tuple[int, int]
) -> None:
    plain_red = Image.new("RGB", size, (200, 30, 10))
    same = Image.new("RGB", (64, 64), (200, 30, 10))
    tiny, large = encode_pictures(pipeline, [plain_red]), encode_pictures(pipeline, [same])
    assert differ(tiny, large) < 1e-4
