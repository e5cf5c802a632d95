"""Files that fit together to a ready pipeline; what another one has loaded already is shared with it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from transformers import CLIPImageProcessor, CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

from ...model_files.identify import ModelFile, fingerprint, identify
from ..device import Device, TorchDevice
from ..layers.int8 import keep_in
from .files import PipelineFiles
from .ip_adapter import add_ip_adapter
from .lora import Lora, load_lora
from .precision import Precision
from .shared_models import SharedModels, file_version, of_the_same_layers
from .weights import load_base, load_controlnet, load_image_encoder, load_scheduler_config, load_tokenizer

REMEMBERED = 32  # encodings a pipeline keeps: 0.1 to 1.3 MB each in SD 1.5


class Denoiser(torch.nn.Module):
    """UNet and ControlNet, which are needed on the device together.

    units: what is moved there, all at once: modules that hold all the layers of both, and may be other pipelines' too.
    """

    def __init__(
        self, unet: UNet2DConditionModel, controlnet: ControlNetModel, units: tuple[torch.nn.Module, ...] = ()
    ) -> None:
        super().__init__()
        self.unet = unet
        self.controlnet = controlnet
        self.units = units or (unet, controlnet)


def _no_embeddings(name: str) -> Path:
    raise FileNotFoundError(f"embedding '{name}' was not found: this pipeline knows no folder of embeddings.")


@dataclass
class StylePipeline:
    """A loaded SD 1.5 with ControlNet and IP-Adapter.

    denoiser: UNet and ControlNet.
    reads_hidden_states: the adapter (plus, full-face) reads the image encoder's last but one hidden state.
    identities: part -> file name, description and fingerprint of what it was loaded from.
    device: brings its models to where they compute, and takes them off again.
    loras: merged into UNet and text encoder while they run.
    find_embedding: the file of an embedding that a prompt names; raises FileNotFoundError.
    encodings: of the prompts and references that were used last, on the CPU.
    """

    denoiser: Denoiser
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    image_encoder: CLIPVisionModelWithProjection
    image_processor: Any
    scheduler_config: dict[str, Any]
    reads_hidden_states: bool
    identities: dict[str, dict[str, str]] = field(default_factory=dict)
    device: Device = field(default_factory=TorchDevice)
    loras: tuple[Lora, ...] = ()
    find_embedding: Callable[[str], Path] = _no_embeddings
    encodings: dict[Hashable, torch.Tensor] = field(default_factory=dict)

    @property
    def encoding_id(self) -> str:
        """Tells whether an encoding of a reference was made by this image encoder, in this way: letters and dashes."""
        layer = "hidden" if self.reads_hidden_states else "pooled"
        dtype = str(next(self.image_encoder.parameters()).dtype).removeprefix("torch.")
        return f"{self.identities['image_encoder']['fingerprint']}-{layer}-{dtype}"

    def remembered(self, key: Hashable, encode: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Return what `encode` makes, on the CPU; what it made for the key before, while it is among the last ones."""
        if key not in self.encodings:
            self.encodings[key] = encode().cpu()
        self.encodings[key] = self.encodings.pop(key)  # a dict keeps its order: the one used last is the last
        while len(self.encodings) > REMEMBERED:
            del self.encodings[next(iter(self.encodings))]
        return self.encodings[key]


def load_pipeline(
    files: PipelineFiles,
    tokenizer: Path,
    precision: Precision,
    device: Device | None = None,
    shared: SharedModels | None = None,
    find_embedding: Callable[[str], Path] = _no_embeddings,
) -> StylePipeline:
    """Load the weights on the CPU. tokenizer: folder for a base model that is a single file.

    device: what the pipeline will run on, asked between files whether the user has ended the run; None = plain torch.
    shared: where models of the same file and precision are taken from, if they are in use. find_embedding: the file of
    an embedding that a prompt names.
    """
    device = TorchDevice() if device is None else device
    shared = SharedModels() if shared is None else shared
    own_tokenizer = files.base_model.path / "tokenizer"
    dtype, kept = precision.computed, precision.denoiser
    parts = _share_base(files.base_model, dtype, shared, kept)
    device.check_interrupted()
    image_encoder = _share_image_encoder(files, dtype, shared, precision.image_encoder)
    encoder = image_encoder, _image_processor(image_encoder)
    device.check_interrupted()
    denoiser = _share_denoiser(files, parts.pop("unet"), encoder, dtype, shared, kept)
    for module in (denoiser, *denoiser.units, parts["vae"], parts["text_encoder"], encoder[0]):
        module.requires_grad_(False).eval()
    parts["vae"].to(dtype=precision.vae or dtype)
    parts["text_encoder"].to(precision.text_encoder or dtype)
    return StylePipeline(
        denoiser=denoiser,
        image_encoder=encoder[0],
        image_processor=encoder[1],
        tokenizer=load_tokenizer(own_tokenizer if own_tokenizer.is_dir() else tokenizer),
        scheduler_config=load_scheduler_config(files.base_model),
        reads_hidden_states=bool(files.ip_adapter.hidden_size),
        device=device,
        find_embedding=find_embedding,
        identities={part: _identity(file) for part, file in vars(files).items()},
        **parts,
    )


def add_lora(pipeline: StylePipeline, file: Path, strength: float) -> StylePipeline:
    """Return a pipeline of the same weights that samples with one LoRA more; the given one stays as it is.

    Raises ValueError in one sentence when the file is no LoRA for this base model.
    """
    parts = {"unet": pipeline.denoiser.unet, "text_encoder": pipeline.text_encoder}
    lora = load_lora(file, strength, parts, pipeline.identities["base_model"])
    return replace(pipeline, loras=(*pipeline.loras, lora))


def first_fitting(pipeline: StylePipeline, loras: Iterable[Path]) -> Path | None:
    """Return the first LoRA whose header says that it is for models as wide as the pipeline's."""
    width = pipeline.text_encoder.config.hidden_size
    return next((file for file in loras if identify(file).cross_attention_dim == width), None)


def _identity(file: ModelFile) -> dict[str, str]:
    return {"file": file.path.name, "is": file.description, "fingerprint": fingerprint(file.path)}


def _image_processor(encoder: CLIPVisionModelWithProjection) -> CLIPImageProcessor:
    side = encoder.config.image_size
    return CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})


def _share_base(file: ModelFile, dtype: torch.dtype, shared: SharedModels, kept: torch.dtype | None) -> dict[str, Any]:
    """Return UNet, VAE and text encoder."""
    version = file_version(file.path)

    def load() -> dict[str, Any]:
        models = load_base(file, dtype)
        keep_in(models["unet"], kept)
        return models

    keys = {"unet": (version, dtype, kept), "vae": (version, dtype), "text_encoder": (version, dtype)}
    return shared.get(keys, load)


def _share_image_encoder(
    files: PipelineFiles, dtype: torch.dtype, shared: SharedModels, kept: torch.dtype | None
) -> CLIPVisionModelWithProjection:
    file = files.image_encoder

    def load() -> dict[str, Any]:
        model = load_image_encoder(file, dtype, projected=not files.ip_adapter.hidden_size)
        keep_in(model, kept)
        return {"image_encoder": model}

    return shared.get({"image_encoder": (file_version(file.path), dtype, kept)}, load)["image_encoder"]


def _share_denoiser(
    files: PipelineFiles,
    base: UNet2DConditionModel,
    encoder: tuple[CLIPVisionModelWithProjection, Any],
    dtype: torch.dtype,
    shared: SharedModels,
    kept: torch.dtype | None,
) -> Denoiser:
    """Put the base model's layers, an IP-Adapter and a ControlNet together. encoder: the image encoder, its processor.

    The base's UNet itself is given no adapter: other pipelines may compute with its layers and another one.
    """

    def load() -> dict[str, Any]:
        model = load_controlnet(files.controlnet, dtype, files.base_model)
        keep_in(model, kept)
        return {"controlnet": model}

    def add_adapter() -> dict[str, Any]:
        unet = of_the_same_layers(base)
        adapter = add_ip_adapter(unet, *encoder, files.ip_adapter).to("cpu")  # the base may be on a device already
        keep_in(adapter, kept)
        return {"with_adapter": unet, "adapter": adapter}

    of_base, of_adapter, of_control = (
        file_version(file.path) for file in (files.base_model, files.ip_adapter, files.controlnet)
    )
    control = of_control, dtype, kept, of_base if files.controlnet.is_difference else None
    controlnet = shared.get({"controlnet": control}, load)["controlnet"]
    added = (of_base, of_adapter, dtype, kept)
    unet = shared.get({"with_adapter": added, "adapter": added}, add_adapter)
    return Denoiser(unet["with_adapter"], controlnet, (base, unet["adapter"], controlnet))
