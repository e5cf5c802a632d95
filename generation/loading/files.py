"""Which weights make one pipeline: identified by their headers and checked to belong together. Loads nothing."""

from dataclasses import dataclass
from pathlib import Path

from ...model_files.identify import ModelFile, identify

# The published image encoders by hidden size and by numbers an image. All of SD 1.5's IP-Adapters but the vit-G one
# were trained with the first.
_HUB = "https://huggingface.co/h94/IP-Adapter/resolve/main"
_VIT_H = f"CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors ({_HUB}/models/image_encoder/model.safetensors)"
_VIT_G = f"CLIP-ViT-bigG-14-laion2B-39B-b160k.safetensors ({_HUB}/sdxl_models/image_encoder/model.safetensors)"
_BY_HIDDEN_SIZE = {1280: _VIT_H, 1664: _VIT_G}
_BY_PROJECTION = {1024: _VIT_H, 1280: _VIT_G}
_VARIANTS = "base, light, plus, plus-face or full-face"


@dataclass(frozen=True)
class PipelineFiles:
    """Which file or folder each part is loaded from, identified and known to fit together."""

    base_model: ModelFile
    controlnet: ModelFile
    ip_adapter: ModelFile
    image_encoder: ModelFile


def check_files(base_model: Path, controlnet: Path, ip_adapter: Path, image_encoders: list[Path]) -> PipelineFiles:
    """Identify the files by their headers and pair the IP-Adapter with an encoder of the width it was trained for.

    Raises ValueError in one sentence when one is not what it is used as, or does not fit the others. Loads nothing.
    """
    base = _expect(identify(base_model), "checkpoint", "base_model", "an SD 1.5 checkpoint or diffusers folder")
    if base.in_channels not in (0, 4) or base.cross_attention_dim >= 1024:
        raise ValueError(f"base_model {base_model.name} is {base.description}: choose an SD 1.5 text-to-image model.")
    control = _expect(identify(controlnet), "controlnet", "controlnet", "a ControlNet for SD 1.5")
    adapter = _expect(identify(ip_adapter), "ip_adapter", "ip_adapter", f"an IP-Adapter for SD 1.5 ({_VARIANTS})")
    for name, part in (("controlnet", control), ("ip_adapter", adapter)):
        if part.cross_attention_dim != base.cross_attention_dim:
            raise ValueError(
                f"{name} {part.path.name} is {part.description} ({part.cross_attention_dim} numbers a token), but "
                f"{base.path.name} is {base.description} ({base.cross_attention_dim}): choose one made for it."
            )
    if control.depth and base.depth and control.depth != base.depth:
        raise ValueError(
            f"controlnet {control.path.name} is made for a UNet of {control.depth} stages, and {base.path.name} has "
            f"{base.depth}, as shortened models such as small-sd have: choose a base model of SD 1.5's own depth."
        )
    return PipelineFiles(base, control, adapter, _pair_image_encoder(adapter, image_encoders))


def expect_lora(file: ModelFile) -> ModelFile:
    """Return the file when its header says that it is a LoRA which could fit SD 1.5, else raise ValueError."""
    _expect(file, "lora", "lora", "a LoRA for SD 1.5")
    if file.cross_attention_dim >= 1024:
        raise ValueError(f"lora {file.path.name} is {file.description}: choose one for SD 1.5.")
    return file


def _expect(file: ModelFile, kind: str, name: str, wanted: str) -> ModelFile:
    if file.kind != kind:
        raise ValueError(f"{name} {file.path.name} is {file.description}: choose {wanted}.")
    return file


def _identify_candidate(path: Path) -> ModelFile:
    """A damaged file among the candidates is no reason not to use another."""
    try:
        return identify(path)
    except (ValueError, OSError) as error:
        return ModelFile(path, "unknown", f"not readable ({error})")


def _pair_image_encoder(adapter: ModelFile, candidates: list[Path]) -> ModelFile:
    """Return the first image encoder whose widths are those that the adapter's projection was trained on."""
    identified = [_identify_candidate(path) for path in candidates]
    for file in identified:
        if file.kind not in ("image_encoder", "clip"):
            continue
        if adapter.hidden_size in (0, file.hidden_size) and adapter.projection_dim in (0, file.projection_dim):
            return file
    width = f"{adapter.hidden_size} wide" if adapter.hidden_size else f"{adapter.projection_dim} numbers an image"
    seen = "; ".join(f"{file.path.name} is {file.description}" for file in identified) or "it is empty"
    published = _BY_HIDDEN_SIZE.get(adapter.hidden_size) or _BY_PROJECTION.get(adapter.projection_dim)
    advice = f"put {published or 'one'} into models/clip_vision, or choose another ip_adapter"
    raise ValueError(
        f"ip_adapter {adapter.path.name} is {adapter.description}, which needs a CLIP image encoder of {width}, and "
        f"the clip_vision folder has none ({seen}): {advice}."
    )
