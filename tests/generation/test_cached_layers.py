"""What the loop computes once: how much that is, that it is the same, and that the models are whole afterwards."""

from dataclasses import replace

import torch
from plain_diffusers import SETTINGS, edges, reference
from style_pack.generation.layers.cached_layers import EqualHalves
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
