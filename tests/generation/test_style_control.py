"""Several references in one picture, against plain diffusers on the bundled models."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers.image_processor import IPAdapterMaskProcessor
from plain_diffusers import LATENTS, SETTINGS, edges, plain, reference
from style_pack.generation.conditioning.references import Reference, encode_pictures
from style_pack.generation.conditioning.weights import read_weights, shares, weigh
from style_pack.generation.layers.style_attention import Region, SharedStyle
from style_pack.generation.loading.pipeline import StylePipeline
from style_pack.generation.sampler import generate

AVERAGED = replace(SETTINGS, combine="averaged")
BALANCED = replace(SETTINGS, num_inference_steps=6, speed="balanced")


def weighted(*weights: float) -> list[Reference]:
    return [replace(reference(seed), weight=weight) for seed, weight in enumerate(weights)]


def pictures(*seeds: int) -> list[list[object]]:
    """As diffusers takes several pictures for its one adapter."""
    return [[reference(seed).picture for seed in seeds]]


def embeds(positive: torch.Tensor, negative: torch.Tensor | None = None) -> dict[str, Any]:
    """Encodings (n, E), as diffusers takes them: both halves of guidance, the negative one first."""
    negative = torch.zeros_like(positive) if negative is None else negative
    return {"ip_adapter_image": None, "ip_adapter_image_embeds": [torch.stack([negative, positive])]}


def differ(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


def test_references_of_one_weight_are_joined_as_diffusers_joins_them(pipeline: StylePipeline) -> None:
    expected = plain(SETTINGS, edges(), reference(), ip_adapter_image=pictures(0, 1))
    assert differ(generate(pipeline, SETTINGS, edges(), weighted(0.5, 0.5)).latents, expected) <= LATENTS


@pytest.mark.parametrize(("weights", "seeds"), [((2.0, 1.0), (0, 0, 1)), ((0.75, 0.25), (0, 0, 0, 1))])
def test_a_reference_of_twice_the_weight_is_one_that_diffusers_is_given_twice(
    pipeline: StylePipeline, weights: Sequence[float], seeds: Sequence[int]
) -> None:
    expected = plain(SETTINGS, edges(), reference(), ip_adapter_image=pictures(*seeds))
    ours = generate(pipeline, SETTINGS, edges(), weighted(*weights)).latents
    assert differ(ours, expected) <= LATENTS
    assert differ(ours, generate(pipeline, SETTINGS, edges(), weighted(1.0, 1.0)).latents) > 1e-3


def test_a_weight_is_nothing_to_a_reference_alone_and_0_leaves_one_out(pipeline: StylePipeline) -> None:
    alone = generate(pipeline, SETTINGS, edges(), [reference()]).latents
    for settings in (SETTINGS, AVERAGED):
        assert torch.equal(generate(pipeline, settings, edges(), weighted(0.3)).latents, alone)
        assert torch.equal(generate(pipeline, settings, edges(), weighted(0.3, 0.0)).latents, alone)
    none = generate(pipeline, SETTINGS, edges(), []).latents
    assert torch.equal(generate(pipeline, SETTINGS, edges(), weighted(0.0)).latents, none)


def test_averaged_references_are_diffusers_picture_of_the_weighted_mean(pipeline: StylePipeline) -> None:
    first, second = encode_pictures(pipeline, [reference(0).picture, reference(1).picture])
    expected = plain(SETTINGS, edges(), reference(), **embeds((0.7 * first + 0.3 * second)[None]))
    ours = generate(pipeline, AVERAGED, edges(), weighted(0.7, 0.3)).latents
    assert differ(ours, expected) <= LATENTS
    assert differ(ours, generate(pipeline, AVERAGED, edges(), weighted(0.5, 0.5)).latents) > 1e-3


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 1.0)])
def test_a_negative_reference_is_diffusers_unconditional_half(
    pipeline: StylePipeline, weights: Sequence[float]
) -> None:
    positive, other = weighted(*weights), reference(7)
    encoded = encode_pictures(pipeline, [one.picture for one in positive])
    avoided = encode_pictures(pipeline, [other.picture]).expand_as(encoded)
    expected = plain(SETTINGS, edges(), reference(), **embeds(encoded, avoided))
    before = generate(pipeline, SETTINGS, edges(), positive).latents
    ours = generate(pipeline, SETTINGS, edges(), positive, negative=other).latents
    assert differ(ours, expected) <= LATENTS
    assert differ(ours, before) > 1e-3
    assert torch.equal(generate(pipeline, SETTINGS, edges(), positive).latents, before)


def test_a_negative_reference_is_nothing_without_a_reference_or_without_guidance(pipeline: StylePipeline) -> None:
    unguided = replace(SETTINGS, guidance_scale=1.0)
    for settings, styles in ((SETTINGS, []), (unguided, [reference()])):
        with_negative = generate(pipeline, settings, edges(), styles, negative=reference(7)).latents
        assert torch.equal(with_negative, generate(pipeline, settings, edges(), styles).latents)


def half(side: str, width: int = 64, height: int = 64) -> torch.Tensor:
    """(H, W), with a slanted border, so that rows and columns can't be mixed up."""
    across = torch.arange(width)[None] + torch.arange(height)[:, None] / 4 < width / 2
    return (across if side == "left" else ~across).float()


def masked(*masks: torch.Tensor | None) -> list[Reference]:
    return [replace(reference(seed), mask=mask) for seed, mask in enumerate(masks)]


def masks_of(*masks: torch.Tensor) -> dict[str, Any]:
    """As diffusers takes masks for the pictures of its one adapter."""
    height, width = masks[0].shape
    made = IPAdapterMaskProcessor().preprocess(list(torch.stack(masks)[:, None]), height=height, width=width)
    return {"cross_attention_kwargs": {"ip_adapter_masks": [made.reshape(1, len(masks), height, width)]}}


@pytest.mark.parametrize(("width", "height"), [(64, 64), (72, 64), (64, 120)])
@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_a_mask_is_diffusers_mask(pipeline: StylePipeline, width: int, height: int, guidance: float) -> None:
    settings = replace(SETTINGS, width=width, height=height, guidance_scale=guidance, num_images=2)
    left = half("left", width, height)
    expected = plain(settings, None, reference(), **masks_of(left))
    assert differ(generate(pipeline, settings, None, masked(left)).latents, expected) <= LATENTS
    assert differ(generate(pipeline, settings, None, [reference()]).latents, expected) > 1e-3


def test_a_mask_for_each_reference_is_diffusers_mask_for_each_picture(pipeline: StylePipeline) -> None:
    masks = half("left"), half("right")
    expected = plain(SETTINGS, edges(), reference(), ip_adapter_image=pictures(0, 1), **masks_of(*masks))
    for settings in (SETTINGS, AVERAGED):
        assert differ(generate(pipeline, settings, edges(), masked(*masks)).latents, expected) <= LATENTS
    swapped = generate(pipeline, SETTINGS, edges(), masked(*reversed(masks))).latents
    assert differ(swapped, expected) > 1e-3


def test_references_of_one_mask_are_combined_inside_it(pipeline: StylePipeline) -> None:
    everywhere, left = torch.ones(64, 64), half("left")
    for settings in (SETTINGS, AVERAGED):
        unmasked = generate(pipeline, settings, edges(), weighted(2.0, 1.0)).latents
        both = [replace(one, mask=everywhere) for one in weighted(2.0, 1.0)]
        assert differ(generate(pipeline, settings, edges(), both).latents, unmasked) <= LATENTS
        inside = [replace(one, mask=left) for one in weighted(2.0, 1.0)]
        assert differ(generate(pipeline, settings, edges(), inside).latents, unmasked) > 1e-3


def test_a_mask_leaves_nothing_behind_and_counts_where_deep_features_are_used_again(pipeline: StylePipeline) -> None:
    before = generate(pipeline, BALANCED, edges(), [reference()]).latents
    none = generate(pipeline, BALANCED, edges(), []).latents
    ours = generate(pipeline, BALANCED, edges(), masked(half("left"))).latents
    assert differ(ours, before) > 1e-3
    assert differ(ours, none) > 1e-3
    assert torch.equal(generate(pipeline, BALANCED, edges(), [reference()]).latents, before)
    assert differ(generate(pipeline, BALANCED, edges(), masked(torch.zeros(64, 64))).latents, none) <= LATENTS


def test_a_mask_lies_right_where_the_height_cannot_be_guessed_from_the_ratio() -> None:
    left = half("left", width=88, height=8)
    shared = SharedStyle([Region((1.0,), left)], 1, 11)
    for queries, level in ((11, (1, 11)), (6, (1, 6)), (3, (1, 3))):
        found = shared.mask(shared.regions[0], queries, torch.zeros(()))
        assert found is not None
        small = torch.nn.functional.interpolate(left[None, None], size=level, mode="bicubic")
        assert torch.equal(found[0, :, 0], small.flatten())


def test_weights_count_where_deep_features_are_used_again_and_leave_nothing_behind(pipeline: StylePipeline) -> None:
    before = generate(pipeline, BALANCED, edges(), weighted(1.0, 1.0)).latents
    ours = generate(pipeline, BALANCED, edges(), weighted(2.0, 1.0)).latents
    tripled = [reference(0), reference(0), reference(1)]
    assert differ(ours, generate(pipeline, BALANCED, edges(), tripled).latents) <= LATENTS
    assert differ(ours, before) > 1e-3
    assert torch.equal(generate(pipeline, BALANCED, edges(), weighted(1.0, 1.0)).latents, before)


def test_a_score_weighs_by_how_far_it_lies_above_chance() -> None:
    assert weigh([0.9, 0.6]) == (0.8, 0.2)
    assert weigh([0.2, 0.5]) == (0.5, 0.5)
    assert weigh([1.0, 0.1]) == (0.9091, 0.0909)
    assert weigh([0.7]) == (1.0,)
    assert weigh([]) == ()


def test_weights_that_were_written_down_are_read_as_they_were() -> None:
    for values in ([0.99, 0.98, 0.7], [3, 1, 1, 1, 1, 1, 1], [1, 1, 1], [1e-9, 5.0], [7, 2, 0]):
        first = shares(values)
        assert read_weights(", ".join(map(str, first)), len(first)) == first
        assert sum(first) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0.5", "reference_weights holds 1 number, and there are 2 references: write one for each"),
        ("0.5, 0.2 0.3", "reference_weights holds 3 numbers, and there are 2 references"),
        ("0.5, much", "reference_weights holds 'much': write numbers from 0 on"),
        ("-1, 2", "reference_weights holds '-1': write numbers from 0 on"),
        ("nan 1", "reference_weights holds 'nan'"),
        ("0, 0", "reference_weights is 0, 0: at least one number must lie above 0"),
    ],
)
def test_weights_that_are_none_are_refused(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        read_weights(text, 2)
