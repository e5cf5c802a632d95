"""Encoders of every family that lack a tensor, or have one in another size: refused, with how many and one name."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from published_encoders import encoder_folder
from published_layouts import save
from safetensors.torch import load_file
from style_pack.model_files.identify import identify
from style_pack.retrieval.encoders.encoder import StyleEncoder, load_encoder
from style_pack.retrieval.encoders.families import FAMILIES
from style_pack.retrieval.encoders.sentences import SentenceEncoder
from test_sentences import FOLDER as SENTENCES

LACKS = r"lacks (at least )?\d+ of its tensors \(such as [\w.]+\)"
FREE = ("position_ids", "logit_scale", "logit_bias", "mask_token", "pooler.dense.weight", "pooler.dense.bias")
KINDS = (r"bias$", r"norm", r"embed", r"attn|attention", r"projection\.weight$|head\.")
NAMES = (
    *("CLIP-ViT-B-32-laion2B", "clip-vit-base-patch32", "siglip-base-patch16-224"),
    *("dinov2-small", "dinov2-with-registers-small"),
)


def samples(names: list[str]) -> list[str]:
    """The first and the last tensor, a bias, a norm, an embedding, one of an attention, a projection."""
    names = [name for name in names if not name.endswith(FREE)]
    found = [names[0], names[-1], *(next((n for n in names if re.search(kind, n)), names[0]) for kind in KINDS)]
    return list(dict.fromkeys(found))


def refused(folder: Path, file: Path, name: str, state: dict[str, torch.Tensor]) -> None:
    """By the folder, and by the file alone."""
    save(folder / "model.safetensors", {key: value for key, value in state.items() if key != name})
    with pytest.raises(ValueError, match=LACKS):
        load_encoder("e", folder)
    shutil.copyfile(folder / "model.safetensors", file)
    with pytest.raises(ValueError, match=LACKS) as caught:
        load_encoder("e", file, FAMILIES[identify(file).kind].config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_an_encoder_that_lacks_a_tensor_is_refused(tmp_path: Path, name: str) -> None:
    folder = encoder_folder(tmp_path / "e", name, 1, torch.float16)
    state = load_file(folder / "model.safetensors")
    for tensor in samples(list(state)):
        refused(folder, tmp_path / "single.safetensors", tensor, state)
    layer = next(key for key in state if re.search(r"layers?\.0\..*weight$", key) and state[key].ndim == 2)
    save(folder / "model.safetensors", state | {layer: state[layer][:5]})
    with pytest.raises(ValueError, match=r"do not fit its configuration \(\d+ of them, such as .* and not \["):
        load_encoder("e", folder)


def test_what_no_vector_depends_on_may_be_left_out(tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "e", "dinov2-small", 1)
    state = load_file(folder / "model.safetensors")
    save(folder / "model.safetensors", {key: value for key, value in state.items() if not key.endswith("mask_token")})
    assert load_encoder("e", folder) is not None
    shutil.copyfile(folder / "model.safetensors", tmp_path / "single.safetensors")
    StyleEncoder("e", tmp_path / "single.safetensors", folder)


def test_a_sentence_encoder_that_lacks_a_tensor_is_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(SENTENCES, tmp_path / "s")
    state = load_file(folder / "model.safetensors")
    for tensor in samples(list(state)):
        save(folder / "model.safetensors", {key: value for key, value in state.items() if key != tensor})
        with pytest.raises(ValueError, match=LACKS):
            SentenceEncoder("s", folder).encode_texts(["a castle"])
