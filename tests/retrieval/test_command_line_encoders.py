"""`style-rag --encoder`: what a name means, in which precisions, and what is said of one that can't be used."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from places import ROOT
from published_encoders import encoder_folder
from style_pack.command_line.__main__ import main

PICTURES = str(ROOT / "styles" / "blueprint")
TINY = ROOT / "models" / "clip-tiny"
PROMPT = "a bridge drawn as a blueprint"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "models" / "clip_vision").mkdir(parents=True)
    return tmp_path / "models"


def run(capsys: pytest.CaptureFixture[str], models: Path, encoder: str, *arguments: str) -> Any:
    capsys.readouterr()
    places = ["--root", str(models.parent / "bases"), "--models", str(models)]
    code = main([*arguments, *places, "--encoder", encoder, "--json"])
    printed = capsys.readouterr()
    return json.loads(printed.out) if code == 0 else printed.err


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_nodes_names_and_paths_mean_one_encoder_in_any_precision(
    capsys: pytest.CaptureFixture[str], models: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    folder = encoder_folder(models / "clip_vision" / "openai--clip-vit-base-patch32", "clip-vit-base-patch32", 1, dtype)
    shutil.copyfile(folder / "model.safetensors", models / "clip_vision" / "my clip.safetensors")
    for file in ("vocab.json", "merges.txt"):
        shutil.copyfile(folder / file, models / "clip_vision" / file)
    monkeypatch.chdir(models / "clip_vision")

    report = run(capsys, models, "openai/clip-vit-base-patch32", "ingest", "b", PICTURES)
    assert (report["added"], report["failed"]) == (5, [])
    names = ["openai/clip-vit-base-patch32", folder.name, str(folder), f"clip_vision/{folder.name}"]
    names += ["my clip.safetensors", str(models / "clip_vision" / "my clip.safetensors"), f"./{folder.name}"]
    found = [run(capsys, models, name, "search", "b", PROMPT, "--top-k", "5") for name in names]
    assert len(found[0]) == 5
    assert all(one == found[0] for one in found)


def test_a_name_that_is_nowhere_is_told_what_is_there(capsys: pytest.CaptureFixture[str], models: Path) -> None:
    shutil.copytree(TINY, models / "clip_vision" / "our own clip")
    error = run(capsys, models, "our clip", "ingest", "b", PICTURES)
    assert error.startswith("style-rag: encoder our clip does not exist, as a path or in clip_vision")
    assert "(there: our own clip): correct the name or --models" in error


def test_a_single_clip_file_is_not_read_with_another_ones_words(
    capsys: pytest.CaptureFixture[str], models: Path
) -> None:
    file = models / "clip_vision" / "clip.safetensors"
    shutil.copyfile(TINY / "model.safetensors", file)
    error = run(capsys, models, "clip.safetensors", "ingest", "b", PICTURES)
    assert "encoder clip.safetensors has no tokenizer: put CLIP's vocab.json and merges.txt into" in error
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(TINY / name, file.with_name(name))
    vocabulary = json.loads((TINY / "vocab.json").read_text("utf-8"))
    file.with_name("vocab.json").write_text(json.dumps(vocabulary | {"qqqq": len(vocabulary)}), encoding="utf-8")
    assert "knows 2014 tokens, and the tokenizer in" in run(capsys, models, "clip.safetensors", "ingest", "b", PICTURES)
    shutil.copyfile(TINY / "vocab.json", file.with_name("vocab.json"))
    assert run(capsys, models, "clip.safetensors", "ingest", "b", PICTURES)["total"] == 5


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("model.safetensors", b"", "model.safetensors is damaged or not a safetensors file: download it again."),
        (
            "model.safetensors",
            100_000,
            "model.safetensors is cut off, at 100,000 of 5,115,378 bytes: download it again.",
        ),
        ("config.json", b"{", r"config.json is not valid JSON (Expecting"),
        ("config.json", b"[1]", "config.json holds no JSON object: download it again."),
        ("tokenizer.json", b"{", "the tokenizer of encoder clip is damaged"),
    ],
)
def test_a_damaged_encoder_is_one_sentence(
    capsys: pytest.CaptureFixture[str], models: Path, file: str, content: bytes | int, sentence: str
) -> None:
    damaged = shutil.copytree(TINY, models / "clip_vision" / "clip") / file
    damaged.write_bytes(damaged.read_bytes()[:content] if isinstance(content, int) else content)
    error = run(capsys, models, "clip", "ingest", "b", PICTURES)
    assert sentence in error
    assert error.count("\n") == 1


def test_weights_of_another_shape_than_the_configurations_are_one_sentence(
    capsys: pytest.CaptureFixture[str], models: Path
) -> None:
    folder = shutil.copytree(TINY, models / "clip_vision" / "clip")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"projection_dim": 77}), encoding="utf-8")
    error = run(capsys, models, "clip", "ingest", "b", PICTURES)
    assert "encoder clip does not load, for its weights do not fit its configuration" in error


def test_a_caption_encoder_has_names_too_and_is_refused_when_it_is_none(
    capsys: pytest.CaptureFixture[str], models: Path
) -> None:
    shutil.copytree(TINY, models / "text_encoders" / "no sentences")
    error = run(capsys, models, "bundled/clip-tiny", "ingest", "b", PICTURES, "--caption-encoder", "no sentences")
    assert "caption encoder no sentences is a CLIP model: choose a Sentence-BERT folder" in error
