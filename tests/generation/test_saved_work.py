"""What the loop leaves out: how much is computed, that it is the same, and that the models are whole afterwards."""

from dataclasses import replace

import pytest
import torch
from plain_diffusers import SETTINGS, edges, reference
from style_pack.generation.layers import cached_layers as saved_work
from style_pack.generation.layers.cached_layers import EqualHalves, forget_packed, packed_convolutions
from style_pack.generation.loading.pipeline import StylePipeline
from style_pack.generation.sampler import generate


def rows(layer: torch.nn.Module) -> tuple[list[int], torch.utils.hooks.RemovableHandle]:
    """The batch sizes that a layer is given from now on."""
    seen: list[int] = []
    return seen, layer.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))


def test_before_the_first_word_is_read_one_half_of_guidance_is_computed(pipeline: StylePipeline) -> None:
    unet, net = pipeline.denoiser.unet, pipeline.denoiser.controlnet
    first = unet.down_blocks[1].attentions[0].transformer_blocks[0]
    layers = (unet.down_blocks[0].resnets[0].conv1, first.attn1.to_q, first.attn2.to_q, net.mid_block.resnets[0].conv1)
    watched = [rows(layer) for layer in layers]
    for guidance in (4.0, 1.0):
        settings = replace(SETTINGS, guidance_scale=guidance, num_inference_steps=2, num_images=2)
        generate(pipeline, settings, edges(), [reference()])
    for _, hook in watched:
        hook.remove()
    halved, whole = [2, 2, 2, 2], [4, 4, 2, 2]  # rows at two guided steps, then at two without guidance
    assert [seen for seen, _ in watched] == [halved, halved, whole, halved]


def test_equal_halves_give_what_the_whole_batch_gives(pipeline: StylePipeline) -> None:
    unet = pipeline.denoiser.unet
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)).repeat(2, 1, 1, 1)
    words = torch.randn(2, 77, 128, generator=torch.Generator().manual_seed(2))
    embeds = {"image_embeds": [torch.zeros(2, 1, 192)]}

    def predict() -> torch.Tensor:
        return unet(latents, 500, encoder_hidden_states=words, added_cond_kwargs=embeds, return_dict=False)[0]

    with torch.inference_mode():
        whole = predict()
        with EqualHalves(pipeline.denoiser) as halves:
            halves.guided = True
            assert torch.allclose(predict(), whole, atol=1e-5)
    assert not any("forward" in layer.__dict__ for layer in pipeline.denoiser.modules())


@pytest.mark.parametrize("stride", [1, 2])
def test_packed_weights_give_the_plain_convolution(monkeypatch: pytest.MonkeyPatch, stride: int) -> None:
    monkeypatch.setattr(saved_work, "PACKED_CHANNELS", 16)
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(16, 24, 3, stride=stride, padding=1)
    given = torch.randn(2, 16, 9, 8)
    with torch.inference_mode():
        plain = conv(given)
        with packed_convolutions(torch.nn.Sequential(conv)):
            assert "forward" in conv.__dict__
            assert torch.allclose(conv(given), plain, atol=1e-5)
    assert "forward" not in conv.__dict__


def test_half_precision_is_not_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_work, "PACKED_CHANNELS", 16)
    conv = torch.nn.Conv2d(16, 16, 3).half()
    with packed_convolutions(conv):
        assert "forward" not in conv.__dict__


def test_a_torch_without_the_packed_kernels_computes_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_work, "PACKED_CHANNELS", 16)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    conv = torch.nn.Conv2d(16, 16, 3)
    with packed_convolutions(conv):
        assert "forward" not in conv.__dict__


def test_packed_weights_are_kept_while_the_weights_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_work, "PACKED_CHANNELS", 16)
    torch.manual_seed(0)
    conv, given = torch.nn.Conv2d(16, 24, 3), torch.randn(1, 16, 9, 8)
    own = conv.weight.data
    copies = []

    def run() -> None:
        with packed_convolutions(conv):
            assert torch.allclose(conv(given), torch.nn.functional.conv2d(given, conv.weight, conv.bias), atol=1e-5)
        copies.append(saved_work._kept[conv][1])

    with torch.no_grad():
        run()
        run()
        conv.weight.mul_(2)
        run()
        conv.weight.data = own + 1
        run()
    assert copies[0] is copies[1]
    assert len({id(copy) for copy in copies}) == 3
    forget_packed(torch.nn.Sequential(conv))
    assert conv not in saved_work._kept


def test_copies_of_one_model_are_kept_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_work, "PACKED_CHANNELS", 16)
    shared, first, second = (torch.nn.Conv2d(16, 16, 3) for _ in range(3))
    with packed_convolutions(torch.nn.Sequential(shared, first)):
        pass
    copy = saved_work._kept[shared][1]
    with packed_convolutions(torch.nn.Sequential(shared, second)):
        assert set(saved_work._kept) == {shared, second}
        assert saved_work._kept[shared][1] is copy
