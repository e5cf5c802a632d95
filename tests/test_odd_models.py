"""Thousands of odd headers and configurations, through the functions that say what a model is: they refuse, in one
sentence, by ValueError or OSError, and raise nothing else."""

import json
import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pack_names import PACK_FOLDER  # noqa: F401  the pack's import name is made by conftest
from places import ROOT
from style_pack.generation.loading.files import check_files
from style_pack.model_files.configs import clip_vision_config
from style_pack.model_files.identify import identify, load_state_dict, read_shapes
from style_pack.retrieval.encoders.encoder import StyleEncoder
from style_pack.retrieval.encoders.families import FAMILIES
from style_pack.retrieval.encoders.sentences import SentenceEncoder

FUZZ = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TOKENIZER = ROOT / "models" / "clip-tiny"
NAMES = (
    "model.diffusion_model.input_blocks.0.0.weight",
    "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
    "control_model.zero_convs.0.0.weight",
    "controlnet_down_blocks.0.weight",
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight",
    "image_proj.proj.weight",
    "image_proj.latents",
    "image_proj.proj_in.weight",
    "image_proj.proj.0.weight",
    "image_proj.proj.3.weight",
    "image_proj.norm.weight",
    "ip_adapter.1.to_k_ip.weight",
    "vision_model.embeddings.patch_embedding.weight",
    "vision_model.embeddings.position_embedding.weight",
    "vision_model.encoder.layers.0.mlp.fc1.weight",
    "vision_model.encoder.layers.x.mlp.fc1.weight",
    "vision_model.head.probe",
    "visual_projection.weight",
    "text_model.embeddings.token_embedding.weight",
    "text_model.embeddings.position_embedding.weight",
    "text_model.encoder.layers.0.mlp.fc1.weight",
    "text_model.head.weight",
    "text_projection.weight",
    "embeddings.mask_token",
    "embeddings.patch_embeddings.projection.weight",
    "embeddings.position_embeddings",
    "embeddings.register_tokens",
    "encoder.layer.0.layer_scale1.lambda1",
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight",
    "lora_te2_text_model.lora_down.weight",
    "unet.down_blocks.0.attn2.to_k.lora_A.weight",
    "\ud800 odd\n name",
    "",
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5) | st.just("x" * 5000),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
ENTRIES = VALUES | st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "F16", "F4", "BOOL", "X9", 5, None]),
        "shape": st.lists(st.none() | st.integers(-2, 5) | st.just(2**80) | st.floats(), max_size=5) | VALUES,
        "data_offsets": st.lists(st.integers(-1, 40), max_size=3) | st.just([0, 4]) | VALUES,
    },
)
CONFIG_KEYS = (
    *("model_type", "_class_name", "cross_attention_dim", "in_channels", "vision_config", "text_config"),
    *("hidden_size", "projection_dim", "dim", "auto_map", "architectures"),
)
CONFIGS = VALUES | st.dictionaries(
    st.sampled_from(CONFIG_KEYS),
    VALUES | st.sampled_from(["clip", "siglip", "dinov2", "bert", "clip_vision_model", "ControlNetModel", 768, {}]),
    max_size=6,
)


def refuses(call: Callable[[], Any]) -> Any:
    """What is returned; or that what it raises is a sentence that can be shown anywhere."""
    try:
        return call()
    except (ValueError, OSError) as error:
        sentence = str(error)
        sentence.encode()
        assert sentence and "\n" not in sentence and len(sentence) < 1000, sentence
        return None


def safetensors(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def of_shapes(shapes: dict[str, list[int]]) -> bytes:
    """A whole file of bytes that says such shapes."""
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + torch.Size(shape).numel()
        header[name] = {"dtype": "U8", "shape": shape, "data_offsets": [begin, end]}
    return safetensors(json.dumps(header).encode(), bytes(end))


def look_at(file: Path) -> None:
    """What nodes, routes and commands ask of a file before they load it."""
    found = refuses(lambda: identify(file))
    shapes = refuses(lambda: read_shapes(file))
    refuses(lambda: load_state_dict(file))
    whole = ROOT / "models" / "controlnet-canny-tiny"
    refuses(lambda: check_files(file, whole, whole, []))
    refuses(lambda: check_files(ROOT / "models" / "sd-tiny", file, whole, []))
    refuses(lambda: check_files(ROOT / "models" / "sd-tiny", whole, file, [file]))
    refuses(lambda: StyleEncoder("e", file, TOKENIZER))
    if shapes is not None:
        refuses(lambda: clip_vision_config(shapes))
    if found is not None and found.kind in FAMILIES:
        refuses(lambda: FAMILIES[found.kind].config(shapes).to_dict())


@settings(FUZZ, max_examples=600)
@given(header=st.dictionaries(st.sampled_from(NAMES), ENTRIES, max_size=4) | VALUES, data=st.binary(max_size=40))
def test_odd_headers(tmp_path: Path, header: Any, data: bytes) -> None:
    file = tmp_path / "odd.safetensors"
    file.write_bytes(safetensors(json.dumps(header).encode(), data))
    look_at(file)


@settings(FUZZ, max_examples=600)
@given(shapes=st.dictionaries(st.sampled_from(NAMES), st.lists(st.integers(0, 4), max_size=5), max_size=12))
def test_whole_files_of_odd_shapes(tmp_path: Path, shapes: dict[str, list[int]]) -> None:
    file = tmp_path / "odd.safetensors"
    file.write_bytes(of_shapes(shapes))
    assert read_shapes(file) == {name: tuple(shape) for name, shape in shapes.items()}
    look_at(file)


@settings(FUZZ, max_examples=600)
@given(config=CONFIGS, pooling=CONFIGS, modules=VALUES)
def test_odd_configurations(tmp_path: Path, config: Any, pooling: Any, modules: Any) -> None:
    folder = tmp_path / "odd"
    for name, content in (("config.json", config), ("1_Pooling/config.json", pooling), ("modules.json", modules)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    refuses(lambda: identify(folder))
    refuses(lambda: StyleEncoder("e", folder, TOKENIZER))
    refuses(lambda: SentenceEncoder("s", folder))
    (folder / "unet").mkdir(exist_ok=True)
    os.replace(folder / "config.json", folder / "unet" / "config.json")
    refuses(lambda: identify(folder))
    (folder / "unet" / "config.json").unlink()


def test_broken_bytes_of_whole_files_and_pickles(tmp_path: Path) -> None:
    """Bytes changed, cut out and added, in a header, in an archive and in a bare pickle."""
    state = {
        "model.diffusion_model.input_blocks.0.0.weight": torch.zeros(4, 4, 3, 3),
        "x.lora_down.weight": torch.ones(2, 3),
    }
    (tmp_path / "whole.safetensors").write_bytes(of_shapes({name: list(value.shape) for name, value in state.items()}))
    torch.save({"state_dict": state}, tmp_path / "whole.ckpt")
    torch.save(state, tmp_path / "bare.pt", _use_new_zipfile_serialization=False)
    chance = random.Random(0)
    for whole, times in (("whole.safetensors", 1500), ("whole.ckpt", 250), ("bare.pt", 250)):
        content = (tmp_path / whole).read_bytes()
        for _ in range(times):
            broken = bytearray(content)
            for _ in range(chance.randint(1, 3)):
                at = chance.randrange(min(len(broken), 400))
                broken[at : at + chance.choice((0, 1, 1, 4))] = bytes(
                    chance.choices(range(256), k=chance.choice((0, 1, 1, 3)))
                )
            file = tmp_path / f"broken{Path(whole).suffix}"
            file.write_bytes(broken)
            refuses(lambda: identify(file))  # noqa: B023
            refuses(lambda: load_state_dict(file))  # noqa: B023


HEADERS = {
    "a size of nothing": {
        "model.diffusion_model.input_blocks.0.0.weight": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}
    },
    "no number": {"vision_model.head.probe": {"dtype": "F32", "shape": [0, None], "data_offsets": [0, 0]}},
    "bytes that are not there": {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}},
    "a gap": {"a": {"dtype": "U8", "shape": [2], "data_offsets": [2, 4]}},
    "below nothing": {"a": {"dtype": "U8", "shape": [-4, -1], "data_offsets": [0, 4]}},
    "true": {"a": {"dtype": "U8", "shape": [4, True], "data_offsets": [0, 4]}},
    "an unknown format": {"a": {"dtype": "Q4", "shape": [4], "data_offsets": [0, 4]}},
}
RAW = {
    "nothing": b"",
    "a length alone": struct.pack("<Q", 2**60),
    "other letters": safetensors(b'{"\xff": 1}'),
    "deep": safetensors(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "a long number": safetensors(b'{"a": ' + b"9" * 5000 + b"}"),
    "a list": safetensors(b"[1]"),
    "twice": safetensors(b"{%s, %s}" % ((b'"a": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}',) * 2)),
    "bytes behind": of_shapes({"a": [4]}) + bytes(100),
    "a pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    "a page": b"<!DOCTYPE html><html><body>Not found</body></html>",
}


@pytest.mark.parametrize("suffix", [".safetensors", ".sft", ".ckpt", ".pt", ".bin"])
def test_what_is_no_model_is_refused_under_every_name(tmp_path: Path, suffix: str) -> None:
    contents = RAW | {name: safetensors(json.dumps(header).encode(), bytes(4)) for name, header in HEADERS.items()}
    for name, content in contents.items():
        file = tmp_path / f"{name}{suffix}"
        file.write_bytes(content)
        if name == "a size of nothing":  # which is a whole file, of a number
            assert read_shapes(file) == {next(iter(HEADERS[name])): ()}
        with pytest.raises(ValueError, match="damaged|is a text, not a model|cut off|no known model has"):
            identify(file)
        refuses(lambda: load_state_dict(file))  # noqa: B023


def test_a_safetensors_file_is_read_as_one_under_any_name(tmp_path: Path) -> None:
    for name in ("a.ckpt", "a.sft", "a.SAFETENSORS", "a.bin"):
        (tmp_path / name).write_bytes(of_shapes({"x.lora_down.weight": [2, 3]}))
        assert identify(tmp_path / name).kind == "lora"
        assert load_state_dict(tmp_path / name)["x.lora_down.weight"].shape == (2, 3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"model_type": "clip", "vision_config": "x"}', 'says vision_config: "x", where an object belongs'),
        (b'{"model_type": "clip", "vision_config": [1]}', "where an object belongs"),
        (b'{"model_type": "dinov2", "hidden_size": "wide"}', "where a whole number above 0 belongs"),
        (b'{"model_type": ["clip"]}', "where a text belongs"),
        (b"[1]", "holds no JSON object"),
        (b"7", "holds no JSON object"),
        (b"\xef\xbb\xbf{}", "is not valid JSON"),
        (b"\xff\xfe{\x00}\x00", "is not valid JSON"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "is not valid JSON"),
    ],
)
def test_a_configuration_says_what_is_wrong_with_it(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match="download it again") as caught:
        identify(tmp_path)
    assert reason in str(caught.value)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "link.safetensors").symlink_to(tmp_path / "pipe.safetensors")
    (tmp_path / "nowhere.safetensors").symlink_to(tmp_path / "gone.safetensors")
    for name in ("pipe", "link", "nowhere"):
        with pytest.raises(FileNotFoundError):
            identify(tmp_path / f"{name}.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    assert identify(tmp_path / "folder.safetensors").description == "a folder without config.json"


def test_a_file_is_read_once_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(of_shapes({"x.lora_down.weight": [2, 3]}))
    bad = tmp_path / "b.safetensors"
    bad.write_bytes(b"no model")
    opened: list[str] = []
    path_open = Path.open
    monkeypatch.setattr(Path, "open", lambda path, *a, **k: (opened.append(path.name), path_open(path, *a, **k))[1])
    for _ in range(3):
        assert identify(file).kind == "lora"
        with pytest.raises(ValueError, match="damaged"):
            identify(bad)
    assert sorted(opened) == ["a.safetensors", "b.safetensors"]
    file.write_bytes(of_shapes({"image_proj.proj.weight": [2, 3], "ip_adapter.1.to_k_ip.weight": [4, 4]}))
    assert identify(file).kind == "ip_adapter"
