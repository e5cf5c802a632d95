"""What the tensors of a weights file, or the configuration of a model's folder, say that it is. Knows no model classes.

The facts come from the published files themselves: the key names that training code and diffusers write, and the
shapes that tell one family from another (cross-attention width 768 = SD 1.x, 1024 = SD 2.x, 2048 = SDXL).
"""

import re
from dataclasses import dataclass
from pathlib import Path

from .foreign import foreign_model, lone_part
from .json_files import JsonFile
from .lora_keys import is_lora, text_width
from .opening import Shapes, shape_of, shown

_FAMILIES = {768: "SD 1.5", 1024: "Stable Diffusion 2", 1280: "SDXL refiner", 2048: "SDXL"}
_CONTROL_LAYERS = ("controlnet_down_blocks.", "controlnet_mid_block.", "controlnet_cond_embedding.")  # diffusers' names
_MARKS = {"v_pred", "ztsnr"}
# IP-Adapter's kinds: what they are called, tensors of the image projection that only they have, and the one that reads
# the image encoder.
_ADAPTERS = (
    ("", ("proj.weight", "proj.bias"), "proj"),
    (" plus", ("latents", "proj_in.weight", "proj_in.bias"), "proj_in"),
    (" full-face", ("proj.3.weight", "proj.3.bias"), "proj.0"),
)


@dataclass(frozen=True)
class ModelFile:
    """One identified weights file or folder.

    kind: `checkpoint`, `controlnet`, `ip_adapter`, `image_encoder`, `clip`, `siglip`, `dinov2`, `sentence`, `lora` or
    `unknown`.
    description: what it is, as a message says it.
    cross_attention_dim: width of the text tokens that it was trained beside; 0 where that has no meaning.
    in_channels: of a checkpoint's UNet; 4, or more for inpainting and the like.
    hidden_size, projection_dim: of an image encoder; for an IP-Adapter, what its encoder must have (0 = any).
    original_layout: whether its tensors have the names of its makers, and not diffusers' or transformers'.
    is_difference: of a ControlNet that holds what is to be added to the base model's weights.
    marks: of a checkpoint, those of its tensors that only say how it was trained: `v_pred`, `ztsnr`.
    depth: of a UNet, how many of its layers' outputs a ControlNet adds to; of a ControlNet, to how many; 0 = not told.
    """

    path: Path
    kind: str
    description: str
    cross_attention_dim: int = 0
    in_channels: int = 0
    hidden_size: int = 0
    projection_dim: int = 0
    original_layout: bool = False
    is_difference: bool = False
    marks: frozenset[str] = frozenset()
    depth: int = 0

    @property
    def is_folder(self) -> bool:
        return self.path.is_dir()


def kind_of_file(path: Path, shapes: Shapes) -> ModelFile:
    """Raise ValueError in one sentence when a tensor by which a model is told has no such shape."""
    if other := foreign_model(shapes):
        return ModelFile(path, "unknown", other)
    for rule in (_controlnet, _checkpoint, _ip_adapter, _siglip, _clip, _open_clip, _dinov2, _lora):
        try:
            kind = rule(path, shapes)
        except ValueError as error:
            raise ValueError(f"{shown(path.name)} {error}: download it again or choose another.") from error
        if kind:
            return kind
    return ModelFile(path, "unknown", lone_part(shapes) or "a file of an unknown kind")


def _checkpoint(path: Path, shapes: Shapes) -> ModelFile | None:
    first = "model.diffusion_model.input_blocks.0.0.weight"
    keys = [key for key in shapes if "diffusion_model." in key and key.endswith("attn2.to_k.weight")]
    if first not in shapes and not keys:
        return None
    width = shape_of(shapes, keys[0], 2)[1] if keys else 0
    family = _FAMILIES.get(width, f"Stable Diffusion with {width}-wide text tokens")
    in_channels = shape_of(shapes, first, 4)[1] if first in shapes else 0
    task = {0: "", 4: "", 8: " instruct-pix2pix", 9: " inpainting"}.get(in_channels, f" {in_channels}-channel")
    article = "an" if family.startswith("S") and family != "Stable Diffusion 2" else "a"
    return ModelFile(
        path,
        "checkpoint",
        f"{article} {family}{task} checkpoint",
        width,
        in_channels,
        original_layout=True,
        marks=frozenset(_MARKS & shapes.keys()),
        depth=_count(shapes, r"model\.diffusion_model\.input_blocks\.(\d+)\."),
    )


def _count(shapes: Shapes, numbered: str) -> int:
    """Return how many numbers the names of tensors have at one place."""
    return len({match[1] for key in shapes if (match := re.match(numbered, key))})


def _width(shapes: Shapes, ending: str) -> int:
    """Return the width of the text tokens that the first such layer reads; 0 where there is none."""
    key = next((key for key in shapes if key.endswith(ending)), None)
    return shape_of(shapes, key, 2)[1] if key else 0


def _controlnet(path: Path, shapes: Shapes) -> ModelFile | None:
    original = any(key.removeprefix("control_model.").startswith("zero_convs.") for key in shapes)
    if not original and not any(key.startswith(_CONTROL_LAYERS) for key in shapes):
        return None
    width = _width(shapes, "attn2.to_k.weight")
    family = _FAMILIES.get(width, f"{width}-wide")
    difference = "difference" in shapes
    description = f"a difference ControlNet for {family}" if difference else f"a ControlNet for {family}"
    depth = _count(shapes, r"(?:control_model\.)?(?:zero_convs|controlnet_down_blocks)\.(\d+)\.")
    return ModelFile(
        path, "controlnet", description, width, original_layout=original, is_difference=difference, depth=depth
    )


def _ip_adapter(path: Path, shapes: Shapes) -> ModelFile | None:
    """Plus and plus-face have one layout, and base and light: they differ in what they were trained on."""
    inside = {key.removeprefix("image_proj.") for key in shapes if key.startswith("image_proj.")}
    if not inside:
        return None
    width = _width(shapes, "to_k_ip.weight")
    family = _FAMILIES.get(width, f"{width}-wide")
    for name, telling, reading in _ADAPTERS:
        if not inside.isdisjoint(telling):
            read = shape_of(shapes, f"image_proj.{reading}.weight", 2)[1]
            if not width:
                raise ValueError("lacks at least 1 of its tensors (such as ip_adapter.1.to_k_ip.weight)")
            hidden, projection = (read, 0) if name else (0, read)
            return ModelFile(path, "ip_adapter", f"an IP-Adapter{name} for {family}", width, 0, hidden, projection)
    return ModelFile(path, "unknown", f"an IP-Adapter variant for {family} that is not supported (such as FaceID)")


def _clip(path: Path, shapes: Shapes) -> ModelFile | None:
    patches, projected = "vision_model.embeddings.patch_embedding.weight", "visual_projection.weight"
    if patches not in shapes and not any(key.startswith("vision_model.encoder.layers.") for key in shapes):
        return None
    hidden = shape_of(shapes, patches, 4)[0]
    projection = shape_of(shapes, projected, 2)[0] if projected in shapes else 0
    if any(key.startswith("text_model.") for key in shapes):
        size = f"{hidden} wide, {projection} numbers an image"
        return ModelFile(path, "clip", f"a CLIP model ({size})", hidden_size=hidden, projection_dim=projection)
    return _image_encoder(path, hidden, projection)


def _siglip(path: Path, shapes: Shapes) -> ModelFile | None:
    """Its towers have CLIP's names; what CLIP has not is the head that pools the patches, with a learned query."""
    if not any(key.startswith("vision_model.head.") for key in shapes):
        return None
    hidden = shape_of(shapes, "vision_model.head.probe", 3)[2]
    if any(key.startswith("text_model.") for key in shapes):
        return ModelFile(path, "siglip", f"a SigLIP model ({hidden} wide)", hidden_size=hidden)
    return ModelFile(path, "unknown", f"a SigLIP image encoder without its text encoder ({hidden} wide)")


def _open_clip(path: Path, shapes: Shapes) -> ModelFile | None:
    """OpenCLIP's own layout; of a model with a text encoder the image encoder is meant."""
    if not any(key.startswith("visual.transformer.resblocks.") for key in shapes):
        return None
    hidden, projection = shape_of(shapes, "visual.conv1.weight", 4)[0], shape_of(shapes, "visual.proj", 2)[1]
    return _image_encoder(path, hidden, projection, original_layout=True)


def _image_encoder(path: Path, hidden: int, projection: int, original_layout: bool = False) -> ModelFile:
    description = f"a CLIP image encoder ({hidden} wide, {projection} numbers an image)"
    return ModelFile(path, "image_encoder", description, 0, 0, hidden, projection, original_layout)


def _dinov2(path: Path, shapes: Shapes) -> ModelFile | None:
    scales = [key for key in shapes if key.startswith("encoder.layer.") and key.endswith(".layer_scale1.lambda1")]
    if not scales:
        return None
    hidden = shape_of(shapes, scales[0], 1)[0]
    return ModelFile(path, "dinov2", f"a DINOv2 image encoder ({hidden} wide)", hidden_size=hidden)


def _lora(path: Path, shapes: Shapes) -> ModelFile | None:
    """A LoRA names the layers of the model that it was trained on, and the width of its text tokens."""
    if not is_lora(shapes):
        return None
    if any(
        re.search(
            r"(double|single|joint|single_transformer)_blocks|^(base_model\.model\.)?transformer\.|lora_transformer",
            key,
        )
        for key in shapes
    ):
        return ModelFile(path, "lora", "a LoRA for a diffusion transformer (Flux, SD 3 or the like)", 4096)
    second = any(re.match(r"lora_te2_|text_encoder_2\.", key) for key in shapes)
    width = 2048 if second else text_width(shapes)
    family = f" for {_FAMILIES.get(width, f'{width}-wide Stable Diffusion')}" if width else ""
    return ModelFile(path, "lora", f"a LoRA{family}", width)


def kind_of_folder(path: Path) -> ModelFile:
    """Raise ValueError in one sentence when its configuration is damaged."""
    unet = path / "unet" / "config.json"
    if unet.is_file():
        config = JsonFile.read(unet)
        width = config.size("cross_attention_dim", 0)
        family = _FAMILIES.get(width, f"{width}-wide Stable Diffusion")
        channels = config.size("in_channels", 4)
        return ModelFile(
            path, "checkpoint", f"a diffusers folder of {family}", width, channels, depth=_configured_depth(config)
        )
    if not (path / "config.json").is_file():
        return ModelFile(path, "unknown", "a folder without config.json")
    config = JsonFile.read(path / "config.json")
    if config.text("_class_name") == "ControlNetModel":
        width = config.size("cross_attention_dim", 0)
        family = _FAMILIES.get(width, f"{width}-wide")
        return ModelFile(path, "controlnet", f"a ControlNet for {family}", width, depth=_configured_depth(config))
    return _identify_encoder_folder(path, config)


def _configured_depth(config: JsonFile) -> int:
    """Return the depth of a UNet or ControlNet: its first layer's output, each block's layers, and what leads on."""
    blocks, layers = config.values.get("block_out_channels"), config.values.get("layers_per_block", 2)
    if not isinstance(blocks, list):
        return 0
    each = layers if isinstance(layers, list) else [layers] * len(blocks)
    return sum(each) + len(blocks) if all(isinstance(count, int) for count in each) else 0


def _identify_encoder_folder(path: Path, config: JsonFile) -> ModelFile:
    """What config.json leaves out is transformers' own default."""
    family = config.text("model_type")
    if "auto_map" in config.values:
        return ModelFile(
            path, "unknown", "a model that brings its own code (auto_map in config.json), which is not run"
        )
    if family in ("clip", "siglip"):
        vision = config.part("vision_config").size("hidden_size", 768)
        if family == "siglip":
            return ModelFile(path, "siglip", f"a SigLIP model ({vision} wide)", hidden_size=vision)
        return ModelFile(path, "clip", "a CLIP model", 0, 0, vision, config.size("projection_dim", 512))
    if family == "clip_vision_model":
        sizes = config.size("hidden_size", 768), config.size("projection_dim", 512)
        return ModelFile(path, "image_encoder", f"a CLIP image encoder ({sizes[0]} wide)", 0, 0, *sizes)
    if family in ("dinov2", "dinov2_with_registers"):
        hidden = config.size("hidden_size", 768)
        return ModelFile(path, "dinov2", f"a DINOv2 image encoder ({hidden} wide)", hidden_size=hidden)
    if (path / "1_Pooling" / "config.json").is_file():  # what sentence-transformers adds to a language model's folder
        hidden = config.size("hidden_size", config.size("dim", 768))
        return ModelFile(path, "sentence", f"a sentence encoder ({hidden} wide)", hidden_size=hidden)
    return ModelFile(path, "unknown", f"a folder of {shown(config.text('_class_name') or family or 'unknown')}")
