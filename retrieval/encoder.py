"""Pictures and words to unit vectors with a CLIP model in transformers' layout. The only owner of CLIP's calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..model_files import clip_text_config, clip_vision_config, fingerprint, load_state_dict, read_shapes

if TYPE_CHECKING:
    import torch


def _own_device(module: torch.nn.Module) -> torch.device:
    return next(module.parameters()).device


class ClipEncoder:
    """Encodes with both towers of one CLIP model. Weights are read at the first use.

    path: a folder with config.json, or a single .safetensors file of both towers. tokenizer: folder, for what brings
    none.
    name: how the user chose it. on_device: brings the model to the device that it should compute on, and returns that.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        tokenizer: Path,
        on_device: Callable[[Any], Any] = _own_device,
        batch_size: int = 32,
    ) -> None:
        self.name = name
        self.path = path
        self.batch_size = batch_size
        self._tokenizer_path = path if (path / "tokenizer_config.json").is_file() else tokenizer
        self._on_device = on_device

    @cached_property
    def identity(self) -> str:
        """`name@weights`: a knowledge base tells by the weights' fingerprint whether its vectors came from them."""
        weights = self.path / "model.safetensors"
        return f"{self.name}@{fingerprint(weights if weights.is_file() else self.path)}"

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Return (N, D) float32, unit length. A text beyond 77 tokens is encoded in windows that are averaged."""
        return np.stack([self._encode_text(text) for text in texts])

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Return (N, D) float32, unit length, of RGB pictures."""
        import torch

        device = self._on_device(self._model)
        rows = []
        with torch.inference_mode():
            for at in range(0, len(images), self.batch_size):
                batch = self._image_processor(list(images[at : at + self.batch_size]), return_tensors="pt").pixel_values
                pooled = self._model.vision_model(batch.to(device, self._model.dtype))[1]
                rows.append(self._model.visual_projection(pooled).float().cpu().numpy())
        return _unit(np.concatenate(rows))

    def _encode_text(self, text: str) -> np.ndarray:
        import torch

        device = self._on_device(self._model)
        limit = self._tokenizer.model_max_length - 2
        ids = self._tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        windows = [ids[at : at + limit] for at in range(0, max(len(ids), 1), limit)]
        vectors = []
        with torch.inference_mode():
            for window in windows:
                row = [self._tokenizer.bos_token_id, *window, self._tokenizer.eos_token_id]
                pooled = self._model.text_model(torch.tensor([row], device=device))[1]
                vectors.append(self._model.text_projection(pooled).float().cpu().numpy())
        return _unit(_unit(np.concatenate(vectors)).mean(axis=0, keepdims=True))[0]

    @cached_property
    def _model(self) -> Any:
        from transformers import CLIPConfig, CLIPModel

        if self.path.is_dir():
            model = CLIPModel.from_pretrained(self.path, local_files_only=True)
        else:
            shapes = read_shapes(self.path)
            text, vision = clip_text_config(shapes), clip_vision_config(shapes)
            config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=text["projection_dim"])
            model = CLIPModel.from_pretrained(None, config=config, state_dict=load_state_dict(self.path))
        return model.float().requires_grad_(False).eval()

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import CLIPTokenizer

        tokenizer = CLIPTokenizer.from_pretrained(self._tokenizer_path, local_files_only=True)
        tokenizer.model_max_length = 77  # ComfyUI's copy says 8192
        return tokenizer

    @cached_property
    def _image_processor(self) -> Any:
        from transformers import CLIPImageProcessor

        if (self.path / "preprocessor_config.json").is_file():
            return CLIPImageProcessor.from_pretrained(self.path, local_files_only=True)
        side = self._model.config.vision_config.image_size
        return CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
