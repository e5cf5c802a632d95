"""The bundled CLIP through our encoder against transformers' own calls."""

import numpy as np
import pytest
import torch
from PIL import Image
from places import ROOT
from style_pack.retrieval.encoders.encoder import StyleEncoder
from transformers import CLIPModel, CLIPProcessor

FOLDER = ROOT / "models" / "clip-tiny"


@pytest.fixture(scope="module")
def encoder() -> StyleEncoder:
    return StyleEncoder("bundled/clip-tiny", FOLDER, FOLDER, batch_size=2)


def test_vectors_are_those_of_transformers_own_forward(encoder: StyleEncoder) -> None:
    pictures = [
        Image.fromarray(np.random.default_rng(n).integers(0, 256, (70, 50 + n, 3), dtype=np.uint8)) for n in range(3)
    ]
    texts = ["a castle", "a blueprint of a bridge"]
    model = CLIPModel.from_pretrained(FOLDER).float().eval()
    inputs = CLIPProcessor.from_pretrained(FOLDER)(text=texts, images=pictures, padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = model(**inputs)
    np.testing.assert_allclose(encoder.encode_images(pictures), expected.image_embeds.numpy(), atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(texts), expected.text_embeds.numpy(), atol=1e-5)


def test_a_long_text_is_the_mean_of_its_windows(encoder: StyleEncoder) -> None:
    words = "castle " * 75
    long = encoder.encode_texts([words + "bridge " * 75])[0]
    parts = encoder.encode_texts([words, "bridge " * 75])
    mean = parts.mean(axis=0)
    np.testing.assert_allclose(long, mean / np.linalg.norm(mean), atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (5, 1), (1, 3)])
def test_a_tiny_picture_is_its_colour(encoder: StyleEncoder, size: tuple[int, int]) -> None:
    tiny, large = (Image.new("RGB", each, (200, 30, 10)) for each in (size, (64, 64)))
    assert encoder.encode_images([tiny])[0] @ encoder.encode_images([large])[0] > 0.9999


def test_identity_tells_weights_apart(encoder: StyleEncoder, tmp_path) -> None:
    copy = tmp_path / "clip"
    copy.mkdir()
    for file in FOLDER.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert StyleEncoder("bundled/clip-tiny", copy, copy).identity == encoder.identity
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert StyleEncoder("bundled/clip-tiny", copy, copy).identity != encoder.identity
