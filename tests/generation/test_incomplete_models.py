"""Files and folders that lack some tensors, or have them in another size: refused, never filled with random numbers."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import published_layouts as published
import pytest
import torch
from safetensors.torch import load_file
from style_pack.generation.loading import weights
from style_pack.generation.loading.ip_adapter import add_ip_adapter
from style_pack.generation.loading.pipeline import _image_processor
from style_pack.model_files.identify import identify

State = dict[str, torch.Tensor]
SIZE = published.SMALL
PREFIXES = {
    "unet": "model.diffusion_model.",
    "vae": "first_stage_model.",
    "text_encoder": "cond_stage_model.transformer.text_model.",
}
ADAPTERS = ("ip-adapter_sd15", "ip-adapter-plus_sd15", "ip-adapter-full-face_sd15")
LACKS = r"lacks (at least )?\d+ of its tensors \(such as \S+( of [\w-]+)?\)"


pytestmark = pytest.mark.usefixtures("small_configs")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole models")
    published.diffusers_folder(root / "folder")
    published.checkpoint(root / "base.safetensors")
    published.controlnet(root / "control folder")
    published.controlnet(root / "diffusers.safetensors", layout="diffusers")
    published.controlnet(root / "original.safetensors", layout="original")
    published.controlnet(root / "bare.safetensors", layout="bare")
    for kind in ADAPTERS:
        published.ip_adapter(root / f"{kind}.safetensors", kind=kind)
    published.clip_vision(root / "encoder.safetensors")
    published.clip_vision(root / "encoder folder")
    published.single_file_configs(root / "configs")
    return root


def samples(names: list[str]) -> list[str]:
    """The first and the last tensor, a bias, a norm and an embedding, as far as there are such."""
    names = [name for name in names if not name.endswith("position_ids")]
    kinds = (r"bias$", r"norm|\.in_layers\.0\.", r"embed|time_", r"conv.*bias$", r"upsample.*bias$|\.\d\.conv\.bias$")
    found = [names[0], names[-1], *(next((n for n in names if re.search(kind, n)), names[0]) for kind in kinds)]
    return list(dict.fromkeys(found))


def changed(source: Path, target: Path, change: Callable[[State], Any]) -> Path:
    state = load_file(source)
    change(state)
    return published.save(target, state)


def without(source: Path, target: Path, name: str) -> Path:
    return changed(source, target, lambda state: state.pop(name))


def refused(load: Callable[[Path], Any], path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=LACKS) as caught:
        load(path)
    sentence = str(caught.value)
    assert path.name in sentence or path.parent.name in sentence
    assert "\n" not in sentence and len(sentence) < 400, sentence
    assert name.rpartition(".")[2] in sentence


def load_base(path: Path) -> Any:
    return weights.load_base(identify(path), torch.float32)


def load_controlnet(path: Path) -> Any:
    return weights.load_controlnet(identify(path), torch.float32)


def load_encoder(path: Path) -> Any:
    return weights.load_image_encoder(identify(path), torch.float32)


@pytest.mark.parametrize("part", PREFIXES)
def test_a_checkpoint_that_lacks_a_tensor_is_refused(models: Path, tmp_path: Path, part: str) -> None:
    names = [name for name in load_file(models / "base.safetensors") if name.startswith(PREFIXES[part])]
    for number, name in enumerate(samples(names)):
        file = without(models / "base.safetensors", tmp_path / f"{number}.safetensors", name)
        refused(load_base, file, name)
        file.unlink()


@pytest.mark.parametrize("part", PREFIXES)
def test_a_base_model_folder_that_lacks_a_tensor_is_refused(models: Path, tmp_path: Path, part: str) -> None:
    folder = tmp_path / "base"
    folder.mkdir()
    for other in (models / "folder").iterdir():
        if other.name != part:
            (folder / other.name).symlink_to(other)
    (folder / part).mkdir()
    source = next((models / "folder" / part).glob("*.safetensors"))
    (folder / part / "config.json").symlink_to(source.with_name("config.json"))
    for name in samples(list(load_file(source))):
        without(source, folder / part / source.name, name)
        refused(load_base, folder, name)


@pytest.mark.parametrize("source", ["diffusers.safetensors", "original.safetensors", "bare.safetensors"])
def test_a_controlnet_that_lacks_a_tensor_is_refused(models: Path, tmp_path: Path, source: str) -> None:
    for number, name in enumerate(samples(list(load_file(models / source)))):
        file = without(models / source, tmp_path / f"{number}.safetensors", name)
        refused(load_controlnet, file, name)


def test_a_controlnet_folder_that_lacks_a_tensor_is_refused(models: Path, tmp_path: Path) -> None:
    folder, source = tmp_path / "control", models / "control folder" / "diffusion_pytorch_model.safetensors"
    folder.mkdir()
    (folder / "config.json").symlink_to(source.with_name("config.json"))
    for name in samples(list(load_file(source))):
        without(source, folder / source.name, name)
        refused(load_controlnet, folder, name)


@pytest.mark.parametrize("folder", [False, True])
def test_an_image_encoder_that_lacks_a_tensor_is_refused(models: Path, tmp_path: Path, folder: bool) -> None:
    source = models / "encoder folder" / "model.safetensors"
    for number, name in enumerate(samples(list(load_file(source)))):
        place = tmp_path / str(number)
        place.mkdir()
        if folder:
            (place / "config.json").symlink_to(source.with_name("config.json"))
        file = without(source, place / "model.safetensors" if folder else place / "e.safetensors", name)
        refused(load_encoder, place if folder else file, name)


@pytest.mark.parametrize("kind", ADAPTERS)
def test_an_ip_adapter_that_lacks_a_tensor_is_refused(models: Path, tmp_path: Path, kind: str) -> None:
    unet = load_base(models / "folder")["unet"]
    encoder = load_encoder(models / "encoder folder")

    def load(path: Path) -> Any:
        return add_ip_adapter(unet, encoder, _image_processor(encoder), identify(path))

    source = models / f"{kind}.safetensors"
    names = [*samples(list(load_file(source))), "ip_adapter.31.to_v_ip.weight", "ip_adapter.1.to_k_ip.weight"]
    for number, name in enumerate(names):
        refused(load, without(source, tmp_path / f"{number}.safetensors", name), name)

    def narrow(state: State) -> None:
        state["ip_adapter.31.to_v_ip.weight"] = torch.zeros(8, 768)

    other = changed(source, tmp_path / "narrow.safetensors", narrow)
    with pytest.raises(
        ValueError, match=r"do not fit .*\(1 have another size, such as ip_adapter\.31\.to_v_ip\.weight"
    ):
        load(other)
    assert not [name for name, value in load(source).named_parameters() if value.is_meta]


def test_tensors_of_another_size_are_refused(models: Path, tmp_path: Path) -> None:
    words = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"

    def two_words_less(state: State) -> None:
        state[words] = state[words][:-2].clone()

    base = changed(models / "base.safetensors", tmp_path / "words.safetensors", two_words_less)
    with pytest.raises(
        ValueError, match=r"do not fit CLIPTextModel .*\(1 have another size, such as \S*token_embedding"
    ):
        load_base(base)

    def halve(state: State) -> None:
        state["vision_model.encoder.layers.1.mlp.fc2.bias"] = torch.zeros(640)

    encoder = changed(models / "encoder.safetensors", tmp_path / "half.safetensors", halve)
    with pytest.raises(
        ValueError, match=r"do not fit CLIPVisionModelWithProjection .*fc2\.bias: \[640\] and not \[1280"
    ):
        load_encoder(encoder)


@pytest.mark.parametrize("absent", ["vae", "text_encoder", "scheduler", "unet/diffusion_pytorch_model.safetensors"])
def test_a_folder_without_a_part_says_which(models: Path, tmp_path: Path, absent: str) -> None:
    folder = tmp_path / "base"
    for path in (models / "folder").rglob("*"):
        inside = path.relative_to(models / "folder")
        if path.is_file() and absent not in (inside.as_posix(), inside.parts[0]):
            (folder / inside).parent.mkdir(parents=True, exist_ok=True)
            (folder / inside).symlink_to(path)
    with pytest.raises(ValueError, match=r"has no \w+: download it again|unet holds no weights: download it again"):
        load_base(folder)


def test_what_published_files_leave_out_or_name_otherwise_is_no_lack(models: Path, tmp_path: Path) -> None:
    """Position ids, the prefix of the text encoder's names, a precision that torch does not compute in."""

    def strip(state: State) -> None:
        for name in [name for name in state if name.startswith("cond_stage_model.")]:
            value = state.pop(name)
            if not name.endswith("position_ids"):
                state[name.replace("transformer.text_model.", "transformer.")] = value.to(torch.float8_e4m3fn)

    base = load_base(changed(models / "base.safetensors", tmp_path / "novel.safetensors", strip))
    whole = load_base(models / "base.safetensors")
    for ours, theirs in zip(base["text_encoder"].parameters(), whole["text_encoder"].parameters(), strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0.1)


def test_shards_are_read_by_their_index_and_a_lost_one_is_named(models: Path, tmp_path: Path) -> None:
    source = models / "control folder"
    state = load_file(source / "diffusion_pytorch_model.safetensors")
    names = list(state)
    shards = {f"diffusion_pytorch_model-0000{n}-of-00002.safetensors": names[n - 1 :: 2] for n in (1, 2)}
    (tmp_path / "config.json").symlink_to(source / "config.json")
    for shard, its in shards.items():
        published.save(tmp_path / shard, {name: state[name] for name in its})
    table = {name: shard for shard, its in shards.items() for name in its}
    index = tmp_path / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": table}), encoding="utf-8")
    loaded = load_controlnet(tmp_path).state_dict()
    assert all(torch.equal(loaded[name], state[name].float()) for name in names)
    (tmp_path / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ValueError, match=r"lacks 1 of its files \(such as diffusion_pytorch_model-00002-of-00002"):
        load_controlnet(tmp_path)
