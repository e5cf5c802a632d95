"""What sets the families of encoders apart: their configuration, preprocessing, tokens and pooling.

One class a family, without state. Preprocessing and models are transformers' own; what is here chooses among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ...model_files.configs import (
    clip_text_config,
    clip_vision_config,
    dinov2_config,
    siglip_text_config,
    siglip_vision_config,
)
from ...model_files.identify import Shapes

if TYPE_CHECKING:
    import torch

_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_BILINEAR, _BICUBIC = 2, 3  # Pillow's numbers of these filters, which the preprocessor files use
_SIGLIP2_VOCABULARY = 256000  # Gemma's; the first SigLIP has 32,000 words, its multilingual one 250,000


class Family(Protocol):
    """How the models of one family take pictures.

    title: the family's name, as messages have it.
    """

    title: str

    def config(self, shapes: Shapes) -> Any:
        """Return transformers' configuration of a single file, with its class as `architectures`."""
        ...

    def image_processor(self, folder: Path | None, config: Any) -> Any:
        """Return transformers' own preprocessing: as the folder says, or as published for this configuration."""
        ...

    def pool_images(self, model: Any, pixels: torch.Tensor) -> torch.Tensor:
        """Return one vector a picture, (N, D). pixels: (N, 3, H, W) as the preprocessing gives them."""
        ...


class TextFamily(Family, Protocol):
    """How the models of one family take text as well."""

    def tokenizer(self, folder: Path) -> Any:
        """Return transformers' tokenizer out of a folder."""
        ...

    def room(self, config: Any) -> int:
        """Return how many tokens of a text one row holds beside the family's own marks."""
        ...

    def rows(self, windows: Sequence[list[int]], tokenizer: Any, config: Any) -> list[list[int]]:
        """Return the windows of tokens with the family's marks and padding, all of one length."""
        ...

    def pool_texts(self, model: Any, rows: torch.Tensor) -> torch.Tensor:
        """Return one vector a row, (N, D). rows: (N, tokens) int64, as `rows` gives them."""
        ...


class Clip:
    """CLIP, OpenAI's and OpenCLIP's: causal text of 77 tokens, read at its end mark; both sides are projected."""

    title = "CLIP"

    def config(self, shapes: Shapes) -> Any:
        from transformers import CLIPConfig

        text, vision = clip_text_config(shapes), clip_vision_config(shapes)
        projection = text["projection_dim"]
        return CLIPConfig(
            text_config=text, vision_config=vision, projection_dim=projection, architectures=["CLIPModel"]
        )

    def image_processor(self, folder: Path | None, config: Any) -> Any:
        from transformers import CLIPImageProcessor

        if folder:
            return CLIPImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        side = config.vision_config.image_size
        return CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})

    def pool_images(self, model: Any, pixels: torch.Tensor) -> torch.Tensor:
        return model.visual_projection(model.vision_model(pixels)[1])

    def tokenizer(self, folder: Path) -> Any:
        from transformers import CLIPTokenizer

        return CLIPTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)

    def room(self, config: Any) -> int:
        return config.text_config.max_position_embeddings - 2

    def rows(self, windows: Sequence[list[int]], tokenizer: Any, config: Any) -> list[list[int]]:
        """What follows the first end mark is never seen by it, so padding with more of them changes nothing."""
        longest = max(len(window) for window in windows)
        begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
        return [[begin, *window, *[end] * (longest - len(window) + 1)] for window in windows]

    def pool_texts(self, model: Any, rows: torch.Tensor) -> torch.Tensor:
        return model.text_projection(model.text_model(rows)[1])


class Siglip:
    """SigLIP and SigLIP 2 of fixed resolution: text is padded to its full length, as in training, and not masked."""

    title = "SigLIP"

    def config(self, shapes: Shapes) -> Any:
        from transformers import SiglipConfig

        text, vision = siglip_text_config(shapes), siglip_vision_config(shapes)
        return SiglipConfig(text_config=text, vision_config=vision, architectures=["SiglipModel"])

    def image_processor(self, folder: Path | None, config: Any) -> Any:
        from transformers import SiglipImageProcessor

        if folder:
            return SiglipImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        side = config.vision_config.image_size
        # preprocessor_config.json of google/siglip-base-patch16-224 and google/siglip2-base-patch16-224
        resample = _BILINEAR if config.text_config.vocab_size == _SIGLIP2_VOCABULARY else _BICUBIC
        half = [0.5, 0.5, 0.5]
        size = {"height": side, "width": side}
        return SiglipImageProcessor(size=size, resample=resample, image_mean=half, image_std=half)

    def pool_images(self, model: Any, pixels: torch.Tensor) -> torch.Tensor:
        return model.vision_model(pixels)[1]

    def tokenizer(self, folder: Path) -> Any:
        from transformers import AutoTokenizer, SiglipTokenizer

        if (folder / "spiece.model").is_file():
            return SiglipTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if (folder / "tokenizer_config.json").is_file():
            return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        raise FileNotFoundError(
            f"the SigLIP encoder in {folder} has no tokenizer beside it: put spiece.model (SigLIP) or tokenizer.json "
            "and tokenizer_config.json (SigLIP 2) there, from where the encoder came."
        )

    def room(self, config: Any) -> int:
        return config.text_config.max_position_embeddings - 1

    def rows(self, windows: Sequence[list[int]], tokenizer: Any, config: Any) -> list[list[int]]:
        length = config.text_config.max_position_embeddings
        rows = [[*window, tokenizer.eos_token_id] for window in windows]
        return [row + [tokenizer.pad_token_id] * (length - len(row)) for row in rows]

    def pool_texts(self, model: Any, rows: torch.Tensor) -> torch.Tensor:
        return model.text_model(rows)[1]


class Dinov2:
    """DINOv2, with registers or without: pictures alone, by the class token."""

    title = "DINOv2"

    def config(self, shapes: Shapes) -> Any:
        from transformers import Dinov2Config, Dinov2WithRegistersConfig

        values = dinov2_config(shapes)
        if "num_register_tokens" in values:
            return Dinov2WithRegistersConfig(**values, architectures=["Dinov2WithRegistersModel"])
        return Dinov2Config(**values, architectures=["Dinov2Model"])

    def image_processor(self, folder: Path | None, config: Any) -> Any:
        from transformers import BitImageProcessor

        if folder:
            return BitImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        # preprocessor_config.json of facebook/dinov2-base, the same for every size
        crop = {"height": 224, "width": 224}
        return BitImageProcessor(size={"shortest_edge": 256}, crop_size=crop, resample=_BICUBIC, **_IMAGENET)

    def pool_images(self, model: Any, pixels: torch.Tensor) -> torch.Tensor:
        return model(pixels)[1]


# By the kind that `model_files.identify` gives.
TEXT_FAMILIES: dict[str, TextFamily] = {"clip": Clip(), "siglip": Siglip()}
FAMILIES: dict[str, Family] = {**TEXT_FAMILIES, "dinov2": Dinov2()}
