"""One set of weights on a card, and the same picture by the pack, plain diffusers and the stock graph; for `gpu.py`."""

from __future__ import annotations

import copy
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import published_layouts as layouts
import torch
from full_size import plain_pipeline
from pack import MODELS
from PIL import Image
from sampler import LORA_LAYERS, LORA_RANK
from stock_graph import StockGraph, comfyui_path
from style_pack.generation.conditioning.references import Reference, encode_references
from style_pack.generation.conditioning.text import encode_prompts
from style_pack.generation.device import OUT_OF_MEMORY, TorchDevice
from style_pack.generation.loading.ip_adapter import add_ip_adapter
from style_pack.generation.loading.pipeline import Denoiser, StylePipeline
from style_pack.generation.loading.shared_models import of_the_same_layers
from style_pack.generation.loading.weights import load_tokenizer
from style_pack.generation.sampler import GenerationResult, generate
from style_pack.generation.schedulers import build_scheduler
from style_pack.generation.settings import GenerationSettings
from style_pack.model_files.identify import identify
from transformers import CLIPImageProcessor

SIZES = {"full": layouts.FULL, "small": replace(layouts.SMALL, vocabulary=layouts.FULL.vocabulary)}
LCM = (LORA_RANK, LORA_LAYERS)
FP32_BYTES = 9 * 10**9  # a second set of weights, in fp32, with what computing takes


class Interrupted(Exception):
    """The user has ended the run."""


class Card(TorchDevice):
    """A device on which everything lies; a shortage moves what is not needed off it.

    modules: all that may lie there. check: raises when the user has ended the run.
    """

    def __init__(
        self, device: torch.device, modules: list[torch.nn.Module], check: Callable[[], None] = lambda: None
    ) -> None:
        self.device, self.modules, self.check_interrupted = device, modules, check

    def load(self, *modules: torch.nn.Module, needed: int = 0) -> torch.device:
        for module in modules:
            module.to(self.device)
        return self.device

    def unload(self, module: torch.nn.Module) -> None:
        module.to("cpu")

    def free_memory(self, *kept: torch.nn.Module) -> None:
        for module in self.modules:
            if not any(module is each for each in kept):
                module.to("cpu")
        torch.cuda.empty_cache()


class Bench:
    """settings: of an exact picture. Everything lies on the card; a shortage moves what is not needed off it."""

    def __init__(self, folder: Path, size: str, device: str, side: int, steps: int) -> None:
        self.device, self.steps = torch.device(device), steps
        if self.device.type == "cuda" and self.device.index is None:  # a cap on memory asks for a number
            self.device = torch.device("cuda", torch.cuda.current_device())
        self.dtype = torch.float16 if self.device.type == "cuda" else torch.float32
        self.pipeline = self._managed(drawn(folder, SIZES[size], self.device, self.dtype))
        self.settings = GenerationSettings("a castle on a hill", "blurry", 3, steps, 5.0, "dpmpp_2m_karras", side, side)
        noise = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
        self.reference = Image.fromarray(noise)

    @staticmethod
    def machine(device: str) -> dict[str, Any]:
        versions = {"torch": torch.__version__, "cuda": torch.version.cuda}
        if torch.device(device).type != "cuda":
            return versions | {"device": device}
        about = torch.cuda.get_device_properties(device)
        capability = f"{about.major}.{about.minor}"
        return versions | {"device": about.name, "memory": about.total_memory, "capability": capability}

    def now(self) -> float:
        """Seconds, once the card is idle."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def edges(self, settings: GenerationSettings) -> torch.Tensor:
        lines = torch.zeros(1, 3, settings.height, settings.width)
        lines[:, :, settings.height // 4] = lines[:, :, :, settings.width // 2] = 1
        return lines

    def ours(
        self, settings: GenerationSettings, pipeline: StylePipeline | None = None, on_step: Any = lambda *step: None
    ) -> GenerationResult:
        chosen = self.pipeline if pipeline is None else pipeline
        return generate(chosen, settings, self.edges(settings), [Reference(self.reference)], on_step)

    def diffusers(self, settings: GenerationSettings, output_type: str = "np") -> Any:
        self.everything_back()  # ours takes both encoders off the card
        scheduler = build_scheduler(settings.scheduler, self.pipeline.scheduler_config)
        plain = plain_pipeline(self.pipeline, scheduler)
        plain.set_ip_adapter_scale(settings.ip_adapter_scale)
        return plain(
            settings.prompt,
            negative_prompt=settings.negative_prompt,
            image=self.edges(settings),
            ip_adapter_image=self.reference,
            num_inference_steps=settings.num_inference_steps,
            guidance_scale=settings.guidance_scale,
            generator=torch.Generator().manual_seed(settings.seed),
            output_type=output_type,
        ).images

    def has_comfyui(self) -> bool:
        return (comfyui_path() / "comfy").is_dir()

    def stock(self, base: Path) -> Callable[[], Any]:
        """Return what paints the picture by ComfyUI's own nodes."""
        graph = StockGraph(self.pipeline, base)
        settings = self.settings
        prompts = {"prompt": settings.prompt, "negative_prompt": settings.negative_prompt}
        strengths = (settings.controlnet_conditioning_scale, settings.ip_adapter_scale)
        with torch.inference_mode():
            text, no_text = encode_prompts(self.pipeline, prompts)
            style, no_style, _ = encode_references(self.pipeline, [Reference(self.reference)], settings)
            weight = next(self.pipeline.denoiser.unet.parameters())
            graph.prepare(text, no_text, style.to(weight), no_style.to(weight), self.edges(settings), strengths)

        def paint() -> Any:
            with torch.inference_mode():
                chosen = (settings.guidance_scale, settings.scheduler, settings.height)
                return graph.decode(graph.sample(settings.seed, settings.num_inference_steps, *chosen))

        return paint

    def until(self, ended: threading.Event) -> bool:
        """Paint, and end as soon as the event is set; return whether that was before the picture was done."""

        def check(*step: Any) -> None:
            if ended.is_set():
                raise Interrupted

        try:
            card = Card(self.device, self._modules(self.pipeline), check)
            self.ours(self.settings, replace(self.pipeline, device=card), check)
        except Interrupted:
            return True
        return False

    def start_of_peak(self) -> int | None:
        """Return what is allocated before a run whose `peak` is asked for."""
        if self.device.type != "cuda":
            return None
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.device)
        return torch.cuda.memory_allocated(self.device)

    def peak(self) -> int | None:
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None

    def has_room_for_fp32(self) -> bool:
        return self.device.type == "cuda" and torch.cuda.mem_get_info(self.device)[0] > FP32_BYTES

    def widened(self) -> Bench:
        """The same with a copy of the weights, in fp32."""
        wide = copy.copy(self)
        names = ("denoiser", "vae", "text_encoder", "image_encoder")
        parts = {name: copy.deepcopy(getattr(self.pipeline, name)).float() for name in names}
        wide.dtype, wide.pipeline = torch.float32, replace(self.pipeline, **parts, encodings={})
        return wide

    @contextmanager
    def capped(self, beside: int) -> Iterator[int | None]:
        """Leave a run so many bytes beside the denoiser's weights. Without CUDA its first two passes fail instead."""
        unet = self.pipeline.denoiser.unet
        if self.device.type != "cuda":
            failing = _failing(2)
            hook = unet.register_forward_pre_hook(failing)
            try:
                yield None
            finally:
                hook.remove()
            return
        torch.cuda.empty_cache()
        weights = sum(value.nbytes for value in self.pipeline.denoiser.state_dict().values())
        cap = weights + beside
        torch.cuda.set_per_process_memory_fraction(cap / torch.cuda.mem_get_info(self.device)[1], self.device)
        Card(self.device, self._modules(self.pipeline)).free_memory(self.pipeline.text_encoder)
        try:
            yield cap
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, self.device)

    def everything_back(self) -> None:
        for module in self._modules(self.pipeline):
            module.to(self.device)

    def _managed(self, pipeline: StylePipeline) -> StylePipeline:
        for module in self._modules(pipeline):
            module.to(self.device)
        pipeline.device = Card(self.device, self._modules(pipeline))
        return pipeline

    def _modules(self, pipeline: StylePipeline) -> list[torch.nn.Module]:
        return [*pipeline.denoiser.units, pipeline.vae, pipeline.text_encoder, pipeline.image_encoder]


def _failing(times: int) -> Callable[..., None]:
    left = [times]

    def fail(*given: Any) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise OUT_OF_MEMORY("CUDA out of memory, as it is pretended.")

    return fail


def drawn(folder: Path, size: layouts.Size, device: torch.device, dtype: torch.dtype) -> StylePipeline:
    """SD 1.5, its ControlNet, IP-Adapter and image encoder, in a size, drawn at random on the device."""
    names = ("unet", "controlnet", "vae", "text_encoder", "vit-h")
    base, controlnet, vae, text, image = (_draw(name, size, device, dtype) for name in names)
    processor, file = CLIPImageProcessor(), layouts.ip_adapter(folder / "ip_adapter.safetensors", size)
    unet = of_the_same_layers(base)
    adapter = add_ip_adapter(unet, image, processor, identify(file)).to(device, dtype)
    parts = {"vae": vae, "text_encoder": text, "image_encoder": image}
    pipeline = StylePipeline(
        Denoiser(unet, controlnet, (base, adapter, controlnet)),
        **parts,
        tokenizer=load_tokenizer(MODELS / "sd-tiny" / "tokenizer"),
        image_processor=processor,
        scheduler_config=json.loads((MODELS / "sd-tiny" / "scheduler" / "scheduler_config.json").read_text("utf-8")),
        reads_hidden_states=False,
        identities={"base_model": {"file": "random weights", "is": "SD 1.5"}},
    )
    for module in (pipeline.denoiser, *parts.values()):
        module.requires_grad_(False).eval()
    return pipeline


def _draw(name: str, size: layouts.Size, device: torch.device, dtype: torch.dtype) -> Any:
    model = layouts.meta_model(name, size)
    generator = torch.Generator(device).manual_seed(1)
    with torch.device(device):
        state = {key: layouts.random_tensor(key, tuple(value.shape), generator).to(dtype)
                 for key, value in model.state_dict().items()}  # fmt: skip
        model.load_state_dict(state, assign=True)
        for key, value in list(model.named_buffers()):  # those that no file holds: places in a row
            if value.is_meta:
                owner, _, leaf = key.rpartition(".")
                setattr(model.get_submodule(owner), leaf, torch.arange(value.shape[-1]).expand(value.shape).clone())
    return model
