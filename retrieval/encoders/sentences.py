"""Captions and prompts to unit vectors with a sentence encoder (Sentence-BERT). Knows nothing of pictures.

CLIP's text side was trained on what pictures show; a sentence encoder also knows words that no picture of the training
set had, and so finds a caption by its meaning. Its folder is as sentence-transformers writes it, whose pipeline
(transformer, pooling, normalising) is followed here with transformers alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...model_files.identify import identify
from ...model_files.json_files import JsonFile, read_json
from ...model_files.opening import shown
from .encoder import average_windows, check_no_own_code, identity_of, load_encoder, own_device

if TYPE_CHECKING:
    import torch

_MODULES = {"Transformer", "Pooling", "Normalize"}  # a further one, such as Dense, holds weights that are not read here


class SentenceEncoder:
    """Encodes texts with one sentence encoder. Weights are read at the first use.

    path: a folder in sentence-transformers' layout (config.json, 1_Pooling/config.json, tokenizer, weights).
    """

    def __init__(
        self, name: str, path: Path, on_device: Callable[[Any], Any] = own_device, batch_size: int = 32
    ) -> None:
        check_no_own_code(f"caption encoder {name}", path)
        file = identify(path)
        if file.kind != "sentence":
            raise ValueError(
                f"caption encoder {name} is {file.description}: choose a Sentence-BERT folder, one with "
                "1_Pooling/config.json."
            )
        self.name = name
        self.path = path
        self.batch_size = batch_size
        self._on_device = on_device
        self._pooling = _pooling(name, path)

    @cached_property
    def identity(self) -> str:
        """`name@weights`, as of every encoder: what tells whether stored vectors came from it."""
        return identity_of(self.name, self.path)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Return (N, D) float32, unit length. What is longer than the model reads is encoded in windows, averaged."""
        import torch

        device = self._on_device(self._model)
        pooled, counts = [], []
        with torch.inference_mode():
            for at in range(0, len(texts), self.batch_size):
                rows = self._tokenizer(
                    list(texts[at : at + self.batch_size]), max_length=self._length, truncation=True, padding=True,
                    return_overflowing_tokens=True, return_tensors="pt",
                )  # fmt: skip
                owners = rows.pop("overflow_to_sample_mapping")  # a text's windows are rows of their own
                counts += torch.bincount(owners).tolist()
                pooled.append(self._pool(rows.to(device)).cpu().numpy())
        return average_windows(np.concatenate(pooled), counts)

    def _pool(self, batch: Any) -> torch.Tensor:
        hidden = self._model(**batch)[0]  # (N, tokens, D)
        if self._pooling == "cls":
            return hidden[:, 0]
        mask = batch["attention_mask"][:, :, None].to(hidden.dtype)
        return (hidden * mask).sum(dim=1) / mask.sum(dim=1)

    @cached_property
    def _length(self) -> int:
        """How many tokens it reads at once, its marks among them: what it was trained on, if the folder says."""
        described = self.path / "sentence_bert_config.json"
        trained = JsonFile.read(described).size("max_seq_length", 0) if described.is_file() else 0
        return trained or min(self._tokenizer.model_max_length, self._model.config.max_position_embeddings)

    @cached_property
    def _model(self) -> Any:
        return load_encoder(self.name, self.path)

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.path, local_files_only=True, trust_remote_code=False)


def _pooling(name: str, path: Path) -> str:
    """Return `mean` or `cls`, by the folder's own description. Raises ValueError for any other pipeline."""
    described = path / "modules.json"
    modules = read_json(described) if described.is_file() else []
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise ValueError(f"{shown(str(described))} holds no list of a sentence encoder's modules: download it again.")
    other = {shown(str(module.get("type")).rpartition(".")[2]) for module in modules} - _MODULES
    settings = JsonFile.read(path / "1_Pooling" / "config.json").values
    modes = [shown(key) for key, value in settings.items() if key.startswith("pooling_mode_") and value is True]
    pooling = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}.get("".join(modes))
    if other or not pooling:
        parts = ", ".join([*sorted(other), *modes]) or "no pooling"
        raise ValueError(
            f"caption encoder {name} needs {parts}, and only mean and cls pooling are read: choose another, such as "
            "sentence-transformers/all-MiniLM-L6-v2."
        )
    return pooling
