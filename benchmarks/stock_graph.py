"""The stock ComfyUI graph on our weights: KSampler, ControlNetApplyAdvanced, VAEDecode, and a style's attention patch.

ComfyUI's core has no IP-Adapter node. `StyleAttention` is what the node of the widely used pack hands to ComfyUI: a
replacement for each cross-attention that adds a second attention, to the image tokens, with keys and values worked
out at every call; written here anew, on ComfyUI's own `set_model_attn2_replace`. Weights are shared with our models,
tensor by tensor, so both sides fit into one process.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import published_layouts as layouts
import torch
from pack import ROOT

sys.path.append(str(ROOT / "dev"))
from places import comfyui_path  # noqa: E402

# Our schedulers' names -> KSampler's sampler and scheduler of the same kind. Their sigmas differ, as
# docs/measurements/speed.md says.
SAMPLERS = {
    "dpmpp_2m_karras": ("dpmpp_2m", "karras"),
    "dpmpp_2m": ("dpmpp_2m", "normal"),
    "euler": ("euler", "normal"),
    "euler_karras": ("euler", "karras"),
    "ddim": ("ddim", "ddim_uniform"),
}


def import_comfyui(base: Path, device: torch.device) -> Any:
    """ComfyUI's module `nodes`. Its arguments are set before it reads them."""
    sys.path.insert(0, str(comfyui_path()))
    from comfy.cli_args import args

    args.cpu = device.type == "cpu"
    args.base_directory = str(base)
    import utils.install_util  # noqa: F401, I001
    import server  # noqa: F401
    import nodes

    return nodes


class StyleAttention:
    """Attention to the words plus `strength` times attention to the image tokens. tokens: (1, n, D) for each half."""

    def __init__(self, processor: Any, tokens: torch.Tensor, no_tokens: torch.Tensor, strength: float) -> None:
        self.to_k, self.to_v = processor.to_k_ip[0], processor.to_v_ip[0]
        self.halves = (tokens, no_tokens)  # ComfyUI's `cond_or_uncond`: 0 is the guided half
        self.strength = strength

    def __call__(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, options: dict[str, Any]
    ) -> torch.Tensor:
        from comfy.ldm.modules.attention import optimized_attention

        which, heads = options["cond_or_uncond"], options["n_heads"]
        count = query.shape[0] // len(which)
        tokens = torch.cat([self.halves[half].expand(count, -1, -1) for half in which])
        words = optimized_attention(query, key, value, heads)
        return words + self.strength * optimized_attention(query, self.to_k(tokens), self.to_v(tokens), heads)


class StockGraph:
    """The nodes, with all in front of KSampler done once, as ComfyUI's cache leaves it from the second run on."""

    def __init__(self, pipeline: Any, base: Path) -> None:
        device = next(pipeline.denoiser.unet.parameters()).device
        self.nodes = import_comfyui(base, device)
        import comfy.model_patcher

        self.unet = pipeline.denoiser.unet
        model = _stock_model(_stock_names(self.unet))
        self.model = comfy.model_patcher.ModelPatcher(model, load_device=device, offload_device=device)
        self.scale = model.latent_format.scale_factor
        control = _stock_names(pipeline.denoiser.controlnet)
        self.controlnet = _stock_controlnet(control, model.model_config, device)
        self.vae = _stock_vae(pipeline.vae)

    def prepare(
        self, text: torch.Tensor, no_text: torch.Tensor, style: torch.Tensor, no_style: torch.Tensor,
        edges: torch.Tensor, strengths: tuple[float, float], middle: bool = True,
    ) -> None:  # fmt: skip
        """Set what is told: encodings as our sampler takes them, edges (1, 3, H, W), strengths of edges and style.

        middle: replace the middle block's attention too. The pack names it ("middle", 1), and ComfyUI looks for
        ("middle", 0).
        """
        project = self.unet.encoder_hid_proj
        tokens, no_tokens = (project([embeds])[0].flatten(1, 2) for embeds in (style, no_style))
        self.styled = self.model.clone()
        for name, processor in self.unet.attn_processors.items():
            if hasattr(processor, "to_k_ip") and (middle or not name.startswith("mid_block.")):
                patch = StyleAttention(processor, tokens, no_tokens, strengths[1])
                self.styled.set_model_attn2_replace(patch, *_block(name))
        apply = self.nodes.ControlNetApplyAdvanced().apply_controlnet
        conditions = ([[text, {}]], [[no_text, {}]])
        self.told = apply(*conditions, self.controlnet, edges.permute(0, 2, 3, 1), strengths[0], 0.0, 1.0)

    def sample(self, seed: int, steps: int, cfg: float, scheduler: str, side: int) -> dict[str, torch.Tensor]:
        """LATENT of KSampler: diffusers' latents (1, 4, side/8, side/8) divided by 0.18215."""
        empty = {"samples": torch.zeros(1, 4, side // 8, side // 8)}
        named = SAMPLERS[scheduler]
        return self.nodes.KSampler().sample(self.styled, seed, steps, cfg, *named, *self.told, empty)[0]

    def euler(self, seed: int, cfg: float, side: int, sigmas: torch.Tensor, start: float | None) -> torch.Tensor:
        """Latents, in diffusers' scale, of ComfyUI's euler sampler over any sigmas.

        start: the scale of the noise that it begins with; None = ComfyUI's own, which is the first sigma, or the root
        of 1 + sigma^2 where that is the model's largest.
        """
        import comfy.sample
        import comfy.samplers

        empty = torch.zeros(1, 4, side // 8, side // 8)
        first, largest = float(sigmas[0]), float(self.model.model.model_sampling.sigma_max)
        own = (1 + first**2) ** 0.5 if first > largest * (1 - 1e-5) else first
        noise = comfy.sample.prepare_noise(empty, seed) * (1.0 if start is None else start / own)
        sampler = comfy.samplers.sampler_object("euler")
        positive, negative = self.told
        made = comfy.sample.sample_custom(
            self.styled, noise, cfg, sampler, sigmas, positive, negative, empty, disable_pbar=True
        )
        return made * self.scale

    def decode(self, latent: dict[str, torch.Tensor]) -> torch.Tensor:
        """(1, H, W, 3) float 0..1 of VAEDecode."""
        return self.nodes.VAEDecode().decode(self.vae, latent)[0]


@contextmanager
def each_step(told: Callable[[], None]) -> Iterator[None]:
    """Call after the model has predicted, at every step of KSampler's."""
    import comfy.utils

    comfy.utils.set_progress_bar_global_hook(lambda *place, **about: told())
    try:
        yield
    finally:
        comfy.utils.set_progress_bar_global_hook(None)


def _stock_names(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The weights of a UNet or ControlNet under their original names, without the IP-Adapter's."""
    own = {name: value for name, value in model.state_dict().items() if not re.search(r"\.processor\.|_hid_proj", name)}
    return layouts.original_unet(own)


def _stock_model(state: dict[str, torch.Tensor]) -> Any:
    """ComfyUI's SD 1.5 around these tensors: made without memory of its own, so that nothing is held twice."""
    from comfy.model_detection import detect_unet_config
    from comfy.supported_models import SD15

    config = SD15(detect_unet_config(state, ""))
    config.set_inference_dtype(_dtype(state), None)
    model = config.get_model(state, "", device=torch.device("meta"))
    model.diffusion_model.load_state_dict(state, assign=True)
    return model.requires_grad_(False).eval()


def _dtype(state: dict[str, torch.Tensor]) -> torch.dtype:
    return next(iter(state.values())).dtype


def _stock_controlnet(state: dict[str, torch.Tensor], config: Any, device: torch.device) -> Any:
    import comfy.cldm.cldm
    import comfy.controlnet
    import comfy.ops

    shape = {name: value for name, value in config.unet_config.items() if name != "out_channels"}
    shape |= {"hint_channels": 3, "device": torch.device("meta"), "operations": comfy.ops.disable_weight_init}
    shape |= {"dtype": _dtype(state)}
    control = comfy.cldm.cldm.ControlNet(**shape)
    control.load_state_dict(state, assign=True)
    return comfy.controlnet.ControlNet(control.requires_grad_(False).eval(), load_device=device)


def _stock_vae(vae: Any) -> Any:
    import comfy.sd

    channels = vae.config.block_out_channels
    shape = {"ch": channels[0], "ch_mult": [wide // channels[0] for wide in channels], "num_res_blocks": 2}
    shape |= {"double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3}
    shape |= {"attn_resolutions": [], "dropout": 0.0}
    state = layouts.original_vae(dict(vae.state_dict()))
    return comfy.sd.VAE(sd=state, config={"params": {"ddconfig": shape, "embed_dim": 4}}, dtype=_dtype(state))


def _block(name: str) -> tuple[str, int]:
    """ComfyUI's name of the block of a diffusers attention layer: three blocks a level, the middle is number 0."""
    if name.startswith("mid_block."):
        return "middle", 0
    found = re.match(r"(down|up)_blocks\.(\d)\.attentions\.(\d)\.", name)
    assert found is not None, name
    level, place = int(found[2]), int(found[3])
    return ("input", 3 * level + place + 1) if found[1] == "down" else ("output", 3 * level + place)
