"""Pictures and words to unit vectors with CLIP or SigLIP, pictures alone with DINOv2, in transformers' layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ...model_files.configs import unbuildable
from ...model_files.identify import fingerprint, identify, load_state_dict, read_shapes
from ...model_files.json_files import JsonFile
from ...model_files.opening import shown
from ...model_files.preprocessing import large_enough
from .families import FAMILIES, TEXT_FAMILIES, TextFamily

if TYPE_CHECKING:
    import torch

# What published files may leave out, for no vector depends on it.
_UNUSED = ("position_ids", "logit_scale", "logit_bias", "mask_token", "pooler.dense.weight", "pooler.dense.bias")
# What of a model's folder can name code to run.
_DESCRIPTIONS = ("config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json")
WORD_STRATEGIES = ("semantic", "keyword", "hybrid")  # whose score compares a prompt with pictures


def own_device(module: torch.nn.Module) -> torch.device:
    """Return where a module is: it computes there."""
    return next(module.parameters()).device


class StyleEncoder:
    """Encodes pictures, and words if its family reads them, with one model. Weights are read at the first use.

    name: how the user chose it.
    path: a folder with config.json, or a single weights file.
    tokenizer: CLIP's, for what brings none.
    on_device: brings the model to the device that it should compute on, and returns that.

    It computes in float32 on every device, whatever the file's precision, so that a knowledge base made on a card
    answers the same on a CPU.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        tokenizer: Path,
        on_device: Callable[[Any], Any] = own_device,
        batch_size: int = 32,
    ) -> None:
        check_no_own_code(f"encoder {name}", path)
        file = identify(path)
        if file.kind not in FAMILIES:
            titles = ", ".join(family.title for family in FAMILIES.values())
            raise ValueError(f"encoder {name} is {file.description}: choose one of the families {titles}.")
        self.name = name
        self.path = path
        self.batch_size = batch_size
        self._family = FAMILIES[file.kind]
        self._words = TEXT_FAMILIES.get(file.kind)
        self._own_folder = path if path.is_dir() else path.parent
        has_tokenizer = path.is_dir() and (path / "tokenizer_config.json").is_file()
        self._tokenizer_folder = tokenizer if file.kind == "clip" and not has_tokenizer else self._own_folder
        self._on_device = on_device

    @property
    def reads_text(self) -> bool:
        """Tell whether it has vectors for words too."""
        return self._words is not None

    @cached_property
    def identity(self) -> str:
        """`name@weights`: a knowledge base tells by the weights' fingerprint whether its vectors came from them."""
        return identity_of(self.name, self.path)

    def check_strategy(self, strategy: str) -> None:
        """Raise ValueError when a search strategy needs what this encoder can't do."""
        if strategy in WORD_STRATEGIES and not self.reads_text:
            raise ValueError(
                f"strategy {strategy} compares the prompt with pictures, and encoder {self.name} "
                f"({self._family.title}) reads only pictures: choose strategy image, or an encoder that "
                "reads words too (CLIP, SigLIP) with update set to rebuild."
            )

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Return (N, D) float32, unit length. What is longer than the model reads is encoded in windows, averaged."""
        import torch

        family = self._require_words()
        device = self._on_device(self._model)
        config = self._model.config
        cut = [_windows(self._tokens(text), family.room(config)) for text in texts]
        windows = [window for windows_of_text in cut for window in windows_of_text]
        pooled = []
        with torch.inference_mode():
            for at in range(0, len(windows), self.batch_size):
                rows = family.rows(windows[at : at + self.batch_size], self._tokenizer, config)
                pooled.append(family.pool_texts(self._model, torch.tensor(rows, device=device)).cpu().numpy())
        return average_windows(np.concatenate(pooled), [len(windows_of_text) for windows_of_text in cut])

    def share_unfamiliar(self, words: Sequence[str]) -> float:
        """Return the share, 0..1, of words that its tokenizer breaks into pieces: rare in what it learned from."""
        return float(np.mean([len(self._tokens(word)) > 1 for word in words])) if words else 0.0

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Return (N, D) float32, unit length, of RGB pictures."""
        import torch

        device = self._on_device(self._model)
        pooled = []
        with torch.inference_mode():
            for at in range(0, len(images), self.batch_size):
                batch = list(map(large_enough, images[at : at + self.batch_size]))
                pixels = self._image_processor(batch, return_tensors="pt").pixel_values
                pooled.append(self._family.pool_images(self._model, pixels.to(device)).cpu().numpy())
        return unit(np.concatenate(pooled))

    def _require_words(self) -> TextFamily:
        if self._words is None:
            raise ValueError(
                f"encoder {self.name} ({self._family.title}) reads only pictures and has no vector for words: choose "
                "strategy image without words to avoid, or an encoder that reads words too (CLIP, SigLIP) with update "
                "set to rebuild."
            )
        return self._words

    def _tokens(self, text: str) -> list[int]:
        """All families learned on lower-case text; SigLIP 2's tokenizer leaves that to its caller."""
        return self._tokenizer(text.lower(), add_special_tokens=False, verbose=False).input_ids

    @cached_property
    def _model(self) -> Any:
        return load_encoder(self.name, self.path, self._family.config)

    @cached_property
    def _tokenizer(self) -> Any:
        family = self._require_words()
        try:
            tokenizer = family.tokenizer(self._tokenizer_folder)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"the tokenizer of encoder {self.name} is damaged ({error}): download {self._tokenizer_folder} again."
            ) from error
        known, words = self._model.config.text_config.vocab_size, len(tokenizer)
        if words > known or (words < known and self._tokenizer_folder != self._own_folder):
            raise ValueError(
                f"encoder {self.name} knows {known} tokens, and the tokenizer in {self._tokenizer_folder} has {words}: "
                "give the encoder's whole folder, which holds its own."
            )
        return tokenizer

    @cached_property
    def _image_processor(self) -> Any:
        described = self.path.is_dir() and (self.path / "preprocessor_config.json").is_file()
        return self._family.image_processor(self.path if described else None, self._model.config)


def load_encoder(name: str, path: Path, config_of: Callable[[Any], Any] | None = None) -> Any:
    """Load a transformers model in float32, for inference; config_of: shapes of a single file to its configuration.

    Raises ValueError in one sentence when weights are missing, which transformers would draw at random, or do not fit.
    """
    check_no_own_code(f"encoder {name}", path)
    try:
        model, info = _read_encoder(path, config_of)
    except unbuildable() as error:
        raise ValueError(f"encoder {name} does not load: {shown(str(error), 500)}") from error
    missing = sorted(key for key in info["missing_keys"] if not key.endswith(_UNUSED))
    if missing:
        raise ValueError(
            f"encoder {name} lacks {len(missing)} of its tensors (such as {missing[0]}): download {path.name} again."
        )
    if other := sorted(info["mismatched_keys"], key=lambda tensor: tensor[0]):
        key, has, wants = other[0]
        raise ValueError(
            f"encoder {name} does not load, for its weights do not fit its configuration ({len(other)} of them, such "
            f"as {key}: {list(has)} and not {list(wants)}): download {path.name} again."
        )
    return model.float().requires_grad_(False).eval()


def _read_encoder(path: Path, config_of: Callable[[Any], Any] | None) -> tuple[Any, dict[str, Any]]:
    """Return the model and transformers' report of what its file lacked."""
    import torch
    import transformers

    options: dict[str, Any] = {
        "local_files_only": True, "output_loading_info": True, "ignore_mismatched_sizes": True,
    }  # fmt: skip
    if config_of is None or path.is_dir():
        if (path / "model.safetensors").is_file():
            read_shapes(path / "model.safetensors")  # which says so when it is damaged
        config = transformers.AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
        config.dtype = torch.float32  # else transformers 5 may halve a file of float32, as the folder says
        return transformers.AutoModel.from_pretrained(path, config=config, trust_remote_code=False, **options)
    config = config_of(read_shapes(path))
    config.dtype = torch.float32
    model, state = getattr(transformers, config.architectures[0]), load_state_dict(path)
    return model.from_pretrained(None, config=config, state_dict=state, trust_remote_code=False, **options)


def check_no_own_code(name: str, path: Path) -> None:
    """Raise ValueError when a model's folder asks for code of its own, which is never run.

    Where it does, what it describes is not what the classes of transformers build.
    """
    for file in _DESCRIPTIONS:
        if path.is_dir() and (path / file).is_file() and "auto_map" in JsonFile.read(path / file).values:
            raise ValueError(
                f"{name} brings its own code ({file} says auto_map), which is not run, for it could do anything: "
                "choose a model that needs none."
            )


def identity_of(name: str, path: Path) -> str:
    """Return `name@weights` of an encoder's folder or file, without reading all of it."""
    weights = path / "model.safetensors"
    return f"{name}@{fingerprint(weights if weights.is_file() else path)}"


def average_windows(vectors: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """Return a unit vector a text from those of its windows: counts says how many each text has."""
    ends = np.cumsum(counts)
    unitary = unit(vectors)
    return unit(
        np.stack([unitary[end - count : end].mean(axis=0) for end, count in zip(ends, counts, strict=True)])
    ).astype(np.float32)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _windows(tokens: list[int], room: int) -> list[list[int]]:
    return [tokens[at : at + room] for at in range(0, max(len(tokens), 1), room)]
