"""What a weights file or folder is, read from its header or config, never from its name. Knows no model classes.

The facts come from the published files themselves: the key names that training code and diffusers write, and the
shapes that tell one family from another (cross-attention width 768 = SD 1.x, 1024 = SD 2.x, 2048 = SDXL).
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .weight_files import Shapes, load_pickle, read_safetensors_header

_FAMILIES = {768: "SD 1.5", 1024: "Stable Diffusion 2", 1280: "SDXL refiner", 2048: "SDXL"}


@dataclass(frozen=True)
class ModelFile:
    """One identified weights file or folder.

    kind: `checkpoint`, `controlnet`, `ip_adapter`, `image_encoder`, `clip`, `siglip`, `dinov2`, `sentence`, `lora` or
    `unknown`.
    cross_attention_dim: width of the text tokens that it was trained beside; 0 where that has no meaning.
    hidden_size, projection_dim: of an image encoder; for an IP-Adapter, what its encoder must have (0 = any).
    """

    path: Path
    kind: str
    description: str
    cross_attention_dim: int = 0
    in_channels: int = 0
    hidden_size: int = 0
    projection_dim: int = 0
    original_layout: bool = False

    @property
    def is_folder(self) -> bool:
        return self.path.is_dir()


def read_shapes(path: Path) -> Shapes:
    """Return {tensor name: shape} of a weights file without reading its tensors.

    Raises ValueError when the file is damaged or holds anything but tensors.
    """
    if path.suffix == ".safetensors":
        return read_safetensors_header(path)
    return {key: tuple(value.shape) for key, value in load_pickle(path, "meta").items()}


def load_state_dict(path: Path) -> dict[str, Any]:
    """Return {tensor name: torch.Tensor on the CPU}; nested dicts are joined with dots. Pickles load weights only."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return load_pickle(path, "cpu")


def identify(path: Path) -> ModelFile:
    """Say what a weights file, or a folder in diffusers' or transformers' layout, is."""
    return _identify_folder(path) if path.is_dir() else _identify_file(path)


def fingerprint(path: Path) -> str:
    """Return 16 hex digits that tell one weights file from another: SHA-256 of size, first and last megabyte.

    A full hash of a 4 GB checkpoint would cost more than making a picture. A folder is the hash of its weights files.
    """
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix in (".safetensors", ".bin"))
    for file in files:
        size = file.stat().st_size
        digest.update(str(size).encode())
        with file.open("rb") as stream:
            digest.update(stream.read(1 << 20))
            stream.seek(max(0, size - (1 << 20)))
            digest.update(stream.read())
    return digest.hexdigest()[:16]


def _identify_file(path: Path) -> ModelFile:
    shapes = read_shapes(path)
    for rule in (_checkpoint, _controlnet, _ip_adapter, _siglip, _clip, _dinov2, _lora):
        if found := rule(path, shapes):
            return found
    return ModelFile(path, "unknown", "a file of an unknown kind")


def _checkpoint(path: Path, shapes: Shapes) -> ModelFile | None:
    first = shapes.get("model.diffusion_model.input_blocks.0.0.weight")
    widths = [shape for key, shape in shapes.items() if "diffusion_model." in key and key.endswith("attn2.to_k.weight")]
    if first is None and not widths:
        return None
    width = widths[0][1] if widths else 0
    family = _FAMILIES.get(width, f"Stable Diffusion with {width}-wide text tokens")
    in_channels = first[1] if first else 0
    task = {4: "", 8: " instruct-pix2pix", 9: " inpainting"}.get(in_channels, f" {in_channels}-channel")
    article = "an" if family.startswith("S") and family != "Stable Diffusion 2" else "a"
    return ModelFile(
        path, "checkpoint", f"{article} {family}{task} checkpoint", width, in_channels, original_layout=True
    )


def _controlnet(path: Path, shapes: Shapes) -> ModelFile | None:
    original = any(key.removeprefix("control_model.").startswith("zero_convs.0.") for key in shapes)
    if not original and "controlnet_down_blocks.0.weight" not in shapes:
        return None
    width = next((shape[1] for key, shape in shapes.items() if key.endswith("attn2.to_k.weight")), 0)
    family = _FAMILIES.get(width, f"{width}-wide")
    return ModelFile(path, "controlnet", f"a ControlNet for {family}", width, original_layout=original)


def _ip_adapter(path: Path, shapes: Shapes) -> ModelFile | None:
    """Plus and plus-face have one layout, and base and light: they differ in what they were trained on."""
    if not any(key.startswith("image_proj.") for key in shapes):
        return None
    width = next((shape[1] for key, shape in shapes.items() if key.endswith("to_k_ip.weight")), 0)
    family = _FAMILIES.get(width, f"{width}-wide")
    if "image_proj.proj.weight" in shapes:
        projection = shapes["image_proj.proj.weight"][1]
        return ModelFile(path, "ip_adapter", f"an IP-Adapter for {family}", width, projection_dim=projection)
    for name, telling, reading in (("plus", "latents", "proj_in"), ("full-face", "proj.3.weight", "proj.0")):
        if f"image_proj.{telling}" in shapes:
            hidden = shapes[f"image_proj.{reading}.weight"][1]
            return ModelFile(path, "ip_adapter", f"an IP-Adapter {name} for {family}", width, hidden_size=hidden)
    return ModelFile(path, "unknown", f"an IP-Adapter variant for {family} that is not supported (such as FaceID)")


def _clip(path: Path, shapes: Shapes) -> ModelFile | None:
    if "vision_model.embeddings.patch_embedding.weight" not in shapes:
        return None
    hidden = shapes["vision_model.embeddings.patch_embedding.weight"][0]
    projection = shapes.get("visual_projection.weight", (0,))[0]
    size = f"{hidden} wide, {projection} numbers an image"
    if "text_projection.weight" in shapes:
        return ModelFile(path, "clip", f"a CLIP model ({size})", hidden_size=hidden, projection_dim=projection)
    return ModelFile(path, "image_encoder", f"a CLIP image encoder ({size})", 0, 0, hidden, projection)


def _siglip(path: Path, shapes: Shapes) -> ModelFile | None:
    """Its towers have CLIP's names; what CLIP has not is the learned query that pools the patches."""
    if "vision_model.head.probe" not in shapes:
        return None
    hidden = shapes["vision_model.head.probe"][2]
    if "text_model.head.weight" in shapes:
        return ModelFile(path, "siglip", f"a SigLIP model ({hidden} wide)", hidden_size=hidden)
    return ModelFile(path, "unknown", f"a SigLIP image encoder without its text encoder ({hidden} wide)")


def _dinov2(path: Path, shapes: Shapes) -> ModelFile | None:
    if "embeddings.mask_token" not in shapes or "encoder.layer.0.layer_scale1.lambda1" not in shapes:
        return None
    hidden = shapes["embeddings.mask_token"][1]
    return ModelFile(path, "dinov2", f"a DINOv2 image encoder ({hidden} wide)", hidden_size=hidden)


def _lora(path: Path, shapes: Shapes) -> ModelFile | None:
    """A LoRA names the layers of the model that it was trained on, and the width of its text tokens."""
    if not any(
        re.search(r"\.lora_down\.|\.lora_A\.|[._]lora\.down\.|\.lora_linear_layer\.down\.", key) for key in shapes
    ):
        return None
    if any(
        re.search(r"double_blocks|single_blocks|transformer\.|lora_transformer|joint_blocks", key) for key in shapes
    ):
        return ModelFile(path, "lora", "a LoRA for a diffusion transformer (Flux, SD 3 or the like)", 4096)
    to_keys = [shape for key, shape in shapes.items() if re.search(r"attn2[._].*to_k[._].*(down|lora_A)", key)]
    second = any(re.match(r"lora_te2_|text_encoder_2\.", key) for key in shapes)
    width = 2048 if second else to_keys[0][1] if to_keys else 0
    family = f" for {_FAMILIES.get(width, f'{width}-wide Stable Diffusion')}" if width else ""
    return ModelFile(path, "lora", f"a LoRA{family}", width)


def _identify_folder(path: Path) -> ModelFile:
    unet = path / "unet" / "config.json"
    if unet.is_file():
        config = _read_json(unet)
        width = config.get("cross_attention_dim", 0)
        family = _FAMILIES.get(width, f"{width}-wide Stable Diffusion")
        return ModelFile(path, "checkpoint", f"a diffusers folder of {family}", width, config.get("in_channels", 4))
    if not (path / "config.json").is_file():
        return ModelFile(path, "unknown", "a folder without config.json")
    config = _read_json(path / "config.json")
    if config.get("_class_name") == "ControlNetModel":
        width = config.get("cross_attention_dim", 0)
        return ModelFile(path, "controlnet", f"a ControlNet for {_FAMILIES.get(width, f'{width}-wide')}", width)
    return _identify_encoder_folder(path, config)


def _identify_encoder_folder(path: Path, config: dict[str, Any]) -> ModelFile:
    family = config.get("model_type")
    vision = (config.get("vision_config") or {}).get("hidden_size", 768)  # transformers' own default
    if family == "clip":
        return ModelFile(path, "clip", "a CLIP model", 0, 0, vision, config.get("projection_dim", 512))
    if family == "clip_vision_model":
        sizes = config.get("hidden_size", 768), config.get("projection_dim", 512)
        return ModelFile(path, "image_encoder", f"a CLIP image encoder ({sizes[0]} wide)", 0, 0, *sizes)
    if family == "siglip":
        return ModelFile(path, "siglip", f"a SigLIP model ({vision} wide)", hidden_size=vision)
    if family in ("dinov2", "dinov2_with_registers"):
        hidden = config.get("hidden_size", 768)
        return ModelFile(path, "dinov2", f"a DINOv2 image encoder ({hidden} wide)", hidden_size=hidden)
    if (path / "1_Pooling" / "config.json").is_file():  # what sentence-transformers adds to a language model's folder
        hidden = config.get("hidden_size", config.get("dim", 768))
        return ModelFile(path, "sentence", f"a sentence encoder ({hidden} wide)", hidden_size=hidden)
    return ModelFile(path, "unknown", f"a folder of {config.get('_class_name') or family or 'unknown'}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}): download it again.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no JSON object: download it again.")
    return found
