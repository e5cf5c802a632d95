from dataclasses import replace

import pytest
from style_pack.generation.settings import GenerationSettings

GOOD = GenerationSettings("a house", "", 1, 4, 7.5, "ddim", 256, 256)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"prompt": "word " * 10_000}, r"prompt has 50,000 characters \(10,000 words\); at most 8,000"),
        ({"negative_prompt": "x" * 8001}, "negative_prompt has 8,001 characters"),
        ({"width": 8}, "a picture of 8x256 can't be made"),
        ({"height": 8192}, "a picture of 256x8192 can't be made"),
        ({"width": 260}, "both sides must be multiples of 8"),
        ({"seed": -1}, "seed is -1: choose a whole number from 0 to 18446744073709551615"),
        ({"seed": float("nan")}, "seed is nan: choose a whole number"),
        ({"seed": 1.5}, "seed is 1.5: choose a whole number"),
        ({"num_inference_steps": 0}, "steps is 0: choose a whole number from 1 to 150"),
        ({"num_images": 0}, "batch_size is 0: choose a whole number from 1 to 16"),
        ({"num_images": 17}, "batch_size is 17: choose a whole number from 1 to 16"),
        ({"guidance_scale": float("nan")}, "cfg is nan: choose a number from 1 to 30"),
        ({"guidance_scale": 0.5}, "cfg is 0.5: choose a number from 1 to 30"),
        ({"controlnet_conditioning_scale": float("inf")}, "control_strength is inf: choose a number from 0 to 2"),
        ({"ip_adapter_scale": -1.0}, "style_strength is -1.0: choose a number from 0 to 2"),
        ({"scheduler": "magic"}, "scheduler 'magic' does not exist: choose one of dpmpp_2m_karras"),
        ({"style_mode": "loud"}, "style_mode 'loud' does not exist: choose one of full, style, composition"),
        ({"speed": "warp"}, "speed 'warp' does not exist: choose one of exact, balanced, turbo"),
        ({"reference_fit": "bend"}, "reference_fit 'bend' does not exist: choose one of crop, pad, stretch, crops"),
        ({"combine": "mixed"}, "combine 'mixed' does not exist: choose one of joined, averaged"),
        ({"clip_skip": 0}, r"clip_skip is 0: choose 1 \(the last layer\) to 4"),
        ({"scheduler": "lcm", "num_inference_steps": 60}, "steps is 60, and the scheduler lcm takes at most 50"),
        ({"control_guidance_start": 0.5, "control_guidance_end": 0.5}, "control_start is 0.5 and control_end is 0.5"),
        ({"ip_adapter_start": 0.9, "ip_adapter_end": 0.1}, "style_start is 0.9 and style_end is 0.1"),
    ],
)
def test_what_cannot_be_is_refused_with_its_value(change: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replace(GOOD, **change)
