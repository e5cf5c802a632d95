"""Prompts against ComfyUI's own tokenizer and text encoder, with the bundled text encoder's weights in both."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from bundled_models import load_bundled
from places import ROOT
from published_layouts import save
from safetensors.torch import load_file
from style_pack.generation.conditioning.text import encode_prompts
from style_pack.generation.loading.pipeline import StylePipeline

TINY = ROOT / "models" / "sd-tiny"
PROMPTS = [
    "",
    "a castle at night, watercolour",
    "a (castle) at ((night)), (watercolour:1.35)",
    "(a (red:1.5) boat:0.7) on (the sea",
    r"a \(small\) house) by (night (moon:x))",
    "(:1.2) ( ) castle (a:b:0.5)",
    "a house " * 60 + "blueprint",
    "(" + "a house " * 60 + ":1.2) blueprint",
    "a " * 73 + "(red castle by night:1.2) and a boat",
    "a castle BREAK at (night:0) (red:-0.5)\n\nBREAK\tAND [boat] {sea|land}",
    "(deep (deeper (deepest:1.1):0.9)) (a: 1.2 ) (a:1e0) 水彩 é 🙂 &amp; <x>",
    "a castle embedding:ink, at night",
    "a " * 70 + "(embedding:ink:1.3) (embedding:sub.pt big) boat",
]


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, generator = tmp_path_factory.mktemp("embeddings"), torch.Generator().manual_seed(1)
    torch.save({"string_to_param": {"*": torch.randn(9, 128, generator=generator) * 0.02}}, folder / "sub.pt")
    ink = save(folder / "ink.safetensors", {"emb_params": torch.randn(3, 128, generator=generator) * 0.02})
    return {"ink": ink, "sub.pt": folder / "sub.pt"}


@pytest.fixture(scope="module")
def pipeline(embeddings: dict[str, Path]) -> StylePipeline:
    return replace(load_bundled(), find_embedding=embeddings.__getitem__)


@pytest.fixture(scope="module")
def comfy_encode(comfy_nodes: dict[str, Any], embeddings: dict[str, Path]) -> Any:
    """Text to (1, 77 n, 128) by ComfyUI's classes."""
    from comfy.sd1_clip import SDClipModel, SDTokenizer

    config = json.loads((TINY / "text_encoder" / "config.json").read_text("utf-8"))
    special = {"start": config["bos_token_id"], "end": config["eos_token_id"], "pad": config["eos_token_id"]}
    folder = str(embeddings["ink"].parent)
    tokenizer = SDTokenizer(str(TINY / "tokenizer"), embedding_directory=folder, embedding_size=128)
    model = SDClipModel(textmodel_json_config=config, dtype=torch.float32, special_tokens=special)
    state = {}
    for name, value in load_file(TINY / "text_encoder" / "model.safetensors").items():
        state[f"text_model.{name.removeprefix('text_model.')}"] = value.float()
    words = "text_model.embeddings.token_embedding.weight"
    state[words] = torch.cat([state[words], torch.zeros(49408 - len(state[words]), 128)])  # ComfyUI's size is fixed
    missing = model.load_sd(state).missing_keys
    assert missing == ["text_projection.weight"]  # of the pooled embedding, which SD 1.5 does not use
    torch.nn.init.zeros_(model.transformer.text_projection.weight)

    def encode(text: str, clip_skip: int = 1) -> Any:
        model.reset_clip_options()
        model.set_clip_options({"layer": -clip_skip})  # as CLIPSetLastLayer does
        return model.encode_token_weights(tokenizer.tokenize_with_weights(text))[0]

    return encode


@pytest.mark.parametrize("text", PROMPTS)
def test_a_prompt_is_encoded_as_comfyui_encodes_it(comfy_encode: Any, pipeline: StylePipeline, text: str) -> None:
    with torch.inference_mode():
        theirs = comfy_encode(text)
        ours = encode_prompts(pipeline, {"prompt": text})[0]
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-4


@pytest.mark.parametrize("clip_skip", [1, 2, 3, 4])
@pytest.mark.parametrize("text", PROMPTS[2:4] + PROMPTS[-1:])
def test_clip_skip_is_comfyuis_last_layer(
    comfy_encode: Any, pipeline: StylePipeline, text: str, clip_skip: int
) -> None:
    """The bundled encoder has three layers; more than there are is the last, in both."""
    with torch.inference_mode():
        theirs = comfy_encode(text, clip_skip)
        ours = encode_prompts(pipeline, {"prompt": text}, clip_skip)[0]
        plain = encode_prompts(pipeline, {"prompt": text})[0]
    assert (ours - theirs).abs().max() <= 1e-4
    assert ((ours - plain).abs().max() > 0.01) == (clip_skip in (2, 3))
