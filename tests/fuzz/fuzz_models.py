"""Odd weights files, configurations and prompts: the ways into the pack that models come by."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from bundled_models import MODELS, load_bundled
from fuzz_watch import Target, text_of
from safetensors.torch import save
from style_pack.generation.conditioning import prompts
from style_pack.generation.loading import files, pipeline
from style_pack.generation.settings import check_prompt
from style_pack.model_files.identify import fingerprint, identify

HEADER = 8  # bytes of the length in front of a safetensors header
bundled = cache(load_bundled)


def with_header(data: bytes) -> bytes:
    """A safetensors file whose header is this text, and whose tensors are all there, as far as the text is true."""
    return len(data).to_bytes(8, "little") + data + bytes(4096)


def header_of(file: bytes) -> bytes:
    return file[HEADER : HEADER + int.from_bytes(file[:HEADER], "little")]


def identify_file(data: bytes, folder: Path, suffix: str = ".safetensors") -> None:
    path = folder / f"model{suffix}"
    path.write_bytes(data)
    fingerprint(path)
    identify(path)


def pair_file(data: bytes, folder: Path) -> None:
    """One odd file in each place of a pipeline, beside files that are good."""
    path = folder / "model.safetensors"
    path.write_bytes(with_header(data))
    good = MODELS / "sd-tiny", MODELS / "controlnet-canny-tiny", MODELS / "ip-adapter-tiny/ip-adapter_tiny.safetensors"
    for part in range(3):
        chosen = [path if part == place else file for place, file in enumerate(good)]
        try:
            files.check_files(chosen[0], chosen[1], chosen[2], [path, MODELS / "ip-adapter-tiny" / "image_encoder"])
        except ValueError as error:
            assert str(error)  # noqa: PT017 - two more places are to be tried


def identify_folder(data: bytes, folder: Path) -> None:
    """One config.json as that of an encoder, of a UNet, and of a sentence encoder."""
    for config in ("config.json", "base/unet/config.json", "sentence/config.json", "sentence/1_Pooling/config.json"):
        (folder / config).parent.mkdir(parents=True, exist_ok=True)
        (folder / config).write_bytes(data)
    for path in (folder, folder / "base", folder / "sentence"):
        try:
            identify(path)
        except ValueError as error:
            assert str(error)  # noqa: PT017


@cache
def headers() -> Sequence[bytes]:
    """Headers of the bundled models, cut down to tensors that tell what they are, and of one of each other family."""
    found = []
    for file in sorted(MODELS.rglob("*.safetensors")):
        table = json.loads(header_of(file.read_bytes()))
        kept = list(table.items())[:6] + [item for item in table.items() if "image_proj" in item[0]][:8]
        found.append({key: value if key == "__metadata__" else _tensor(value["shape"]) for key, value in kept})
    for key, shape in {
        "model.diffusion_model.input_blocks.0.0.weight": (8, 4, 3, 3),
        "vision_model.embeddings.patch_embedding.weight": (8, 3, 4, 4),
        "vision_model.head.probe": (1, 1, 8),
        "embeddings.mask_token": (1, 8),
    }.items():
        more = {"visual_projection.weight": _tensor((4, 8)), "encoder.layer.0.layer_scale1.lambda1": _tensor((8,))}
        found.append({key: _tensor(shape), "down.0.attn2.to_k.weight": _tensor((8, 768))} | more)
    return [json.dumps(table).encode() for table in found]


def _tensor(shape: Sequence[int]) -> dict[str, Any]:
    return {"dtype": "F32", "shape": list(shape), "data_offsets": [0, 64]}


@cache
def configs() -> Sequence[bytes]:
    return [file.read_bytes() for file in sorted(MODELS.rglob("config.json"))]


@cache
def pickles() -> Sequence[bytes]:
    import torch

    found = []
    for table in ({"emb": torch.ones(2, 4)}, {"state_dict": {"a": {"b": torch.zeros(1)}}}):
        for zipped in (True, False):
            stream = io.BytesIO()
            torch.save(table, stream, _use_new_zipfile_serialization=zipped)
            found.append(stream.getvalue())
    return found


@cache
def loras() -> Sequence[bytes]:
    import torch

    unet = bundled().denoiser.unet
    layer = next(name for name, _ in unet.named_modules() if name.endswith("attn1.to_q"))
    weight = unet.get_submodule(layer).weight
    down, up = torch.ones(2, weight.shape[1]), torch.ones(weight.shape[0], 2)
    peft = {f"unet.{layer}.lora_A.weight": down, f"unet.{layer}.lora_B.weight": up}
    kohya = f"lora_unet_{layer.replace('.', '_')}"
    settings = json.dumps({"unet.lora_alpha": 4, "unet.alpha_pattern": {"to_q": 2}, "unet.use_rslora": True})
    return [
        save(peft, {"lora_adapter_metadata": settings}),
        save({f"{kohya}.lora_down.weight": down, f"{kohya}.lora_up.weight": up, f"{kohya}.alpha": torch.tensor(2.0)}),
    ]


def add_lora(data: bytes, folder: Path) -> None:
    file = folder / "ink.safetensors"
    file.write_bytes(data)
    pipeline.add_lora(bundled(), file, 1.0)


def load_embedding(data: bytes, folder: Path, suffix: str) -> None:
    file = folder / f"ink{suffix}"
    file.write_bytes(data)
    prompts.load_embedding(file, 4)


@cache
def embeddings() -> Sequence[bytes]:
    import torch

    return [save({"emb_params": torch.ones(2, 4)}), save({"clip_l": torch.ones(3, 768, dtype=torch.float16)})]


def cut_prompt(data: bytes, folder: Path) -> None:
    text = text_of(data)
    check_prompt(text, "prompt")
    segments = prompts.read_segments(text, "prompt")
    tokenizer = bundled().tokenizer
    width = 4

    def load(name: str) -> Any:
        return prompts.load_embedding(folder / "none", width) if name == "x" else []

    windows = prompts.cut_windows(segments, tokenizer, load)
    assert all(len(window) == tokenizer.model_max_length for window in windows)


_TENSORS = ("shape", "dtype", "data_offsets", "__metadata__", "F32", "image_proj.latents", "attn2.to_k.weight")
_CONFIG = ("model_type", "vision_config", "text_config", "hidden_size", "projection_dim", "cross_attention_dim", "clip")
_WEIGHTS = ("(", ")", ":", "(ink:", "1.3)", "embedding:", "embedding:x", "\\(", "\\)", "nan)", "inf)", "1e999)", " ")

TARGETS: dict[str, Target] = {
    "safetensors header": Target(
        lambda data, folder: identify_file(with_header(data), folder), headers, form="json", words=_TENSORS
    ),
    "safetensors file": Target(identify_file, lambda: [with_header(header) for header in headers()]),
    "files of a pipeline": Target(pair_file, headers, form="json", words=_TENSORS, cost=4),
    "config.json": Target(identify_folder, configs, form="json", words=_CONFIG, cost=2),
    "pickled weights": Target(partial(identify_file, suffix=".pt"), pickles, cost=4),
    "LoRA": Target(add_lora, loras, cost=4),
    "LoRA header": Target(
        lambda data, folder: add_lora(with_header(data), folder),
        lambda: [header_of(file) for file in loras()],
        form="json",
        words=(*_TENSORS, "lora_adapter_metadata", "unet.lora_alpha", ".lora_down.weight", ".alpha"),
        cost=4,
    ),
    "embedding": Target(partial(load_embedding, suffix=".safetensors"), embeddings),
    "pickled embedding": Target(partial(load_embedding, suffix=".pt"), pickles, cost=4),
    "prompt": Target(
        cut_prompt,
        lambda: [b"a (harbour:1.2) at dusk, embedding:ink", b"((ink)) \\(wash\\)"],
        (ValueError, FileNotFoundError),
        form="text",
        words=_WEIGHTS,
    ),
}
