"""What peft and diffusers write of a LoRA's strength beside its tensors: alpha, rank-stabilised scales, patterns."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...model_files.identify import fingerprint, read_metadata
from ...model_files.json_files import JsonFile
from ...model_files.opening import shown

PARTS = ("unet", "text_encoder")


def settings_file(lora: Path) -> Path | None:
    """Return what peft writes beside its `adapter_model.safetensors`, where it is there."""
    beside = lora.with_name("adapter_config.json")
    return beside if lora.name.startswith("adapter_model.") and beside.is_file() else None


def whole_fingerprint(file: Path) -> str:
    """Return 16 hex digits that also change with the settings beside the file."""
    beside = settings_file(file)
    if beside is None:
        return fingerprint(file)
    return hashlib.sha256((fingerprint(file) + fingerprint(beside)).encode()).hexdigest()[:16]


def read_settings(file: Path) -> dict[str, Any]:
    """Return {part + name: value}: `unet.lora_alpha`, `text_encoder.alpha_pattern`, ...

    diffusers writes them into the header since 0.34; peft into a file of its own, without the part's name.
    """
    if beside := settings_file(file):
        values = JsonFile.read(beside).values
        return {f"{part}.{name}": value for part in PARTS for name, value in values.items()}
    try:
        settings = json.loads(read_metadata(file).get("lora_adapter_metadata", "{}"))
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise ValueError(f"lora {file.name} says nothing readable of its settings: download it again.")
    return settings


def scale_of(settings: Mapping[str, Any], part: str, layer: str, rank: int) -> float:
    """Return alpha / rank, or alpha / sqrt(rank) for rank-stabilised LoRA, by peft's rules; without alpha 1."""
    alpha = settings.get(f"{part}.lora_alpha", settings.get(f"{part}.alpha", rank))
    patterns = settings.get(f"{part}.alpha_pattern") or {}
    try:
        for pattern, value in patterns.items():
            if re.fullmatch(rf"(.*\.)?({pattern})", layer):
                alpha = value
        return float(alpha) / (rank**0.5 if settings.get(f"{part}.use_rslora") else rank)
    except (re.error, AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"the LoRA's own settings have no number as alpha of layer '{shown(layer)}': download it again."
        ) from error
