"""A VAE whose activations leave fp16's range: the picture is that of fp32, and the weights stay as they were."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from style_pack.generation.decoding import decode
from style_pack.generation.loading.pipeline import StylePipeline

LATENTS = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))


def overflowing(pipeline: StylePipeline) -> StylePipeline:
    vae = deepcopy(pipeline.vae)
    vae.decoder.conv_in.weight.mul_(2e4)
    return replace(pipeline, vae=vae.half())


def test_a_picture_that_overflows_in_fp16_is_decoded_in_fp32(pipeline: StylePipeline) -> None:
    narrow = overflowing(pipeline)
    before = {name: value.clone() for name, value in narrow.vae.state_dict().items()}
    with torch.no_grad():
        assert not narrow.vae.decode(LATENTS[:1].half() / 0.18215).sample.isfinite().all()
        images, dtypes = decode(narrow, LATENTS.half())
        wide = replace(pipeline, vae=deepcopy(narrow.vae).float())
        expected, _ = decode(wide, LATENTS.half().float())
    assert dtypes == ["float32", "float32"]
    assert (images - expected).abs().max() <= 1e-5
    for name, value in narrow.vae.state_dict().items():
        assert value.dtype == torch.float16
        assert torch.equal(value, before[name])


def test_a_picture_within_fp16_is_decoded_in_fp16(pipeline: StylePipeline) -> None:
    narrow = replace(pipeline, vae=deepcopy(pipeline.vae).half())
    with torch.no_grad():
        images, dtypes = decode(narrow, LATENTS.half())
        expected, _ = decode(pipeline, LATENTS)
    assert dtypes == ["float16", "float16"]
    assert (images - expected).abs().max() <= 0.02


def test_latents_that_are_not_finite_are_refused_by_their_dtype(pipeline: StylePipeline) -> None:
    with pytest.raises(ValueError, match="sampling in float16 gave latents that are not finite: choose precision fp32"):
        decode(replace(pipeline, denoiser=deepcopy(pipeline.denoiser).half()), torch.full((1, 4, 8, 8), float("inf")))
