"""Folders and words as other programs leave them."""

import json
import os
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fakes import ColourEncoder, paint
from PIL import Image, PngImagePlugin
from style_pack.retrieval.ingest import find_sources, ingest
from style_pack.retrieval.pictures.finder import check_source, find_pictures
from style_pack.retrieval.pictures.reader import open_picture, read_description
from style_pack.retrieval.store.store import StyleStore
from style_pack.retrieval.store.stylepack import export_pack

COLOURS = ("red", "green", "blue")


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JIF", ".pjpeg", ".pjp", ".tga", ".jp2", ".JPG"])
def test_a_picture_of_any_usual_name_is_taken(
    store: StyleStore, encoder: ColourEncoder, tmp_path: Path, suffix: str
) -> None:
    kind = {".tga": "TGA", ".jp2": "JPEG2000"}.get(suffix.lower(), "JPEG")
    (folder := tmp_path / "wild").mkdir()
    Image.new("RGB", (32, 32), "red").save(folder / f"red{suffix}", kind)
    assert ingest(store, encoder, [folder], "sync").added == 1
    [record] = store.records().values()
    assert record.name == "red"
    assert open_picture(Path(record.file)).getpixel((5, 5))[0] > 240


def test_what_is_no_tga_is_not_opened_as_one(tmp_path: Path) -> None:
    (odd := tmp_path / "odd.png").write_bytes(b"\0\0\2" + bytes(500))
    with pytest.raises(ValueError, match="not a picture"):
        open_picture(odd)


def test_folders_of_systems_are_no_styles_and_what_is_left_out_is_counted(
    store: StyleStore, encoder: ColourEncoder, tmp_path: Path
) -> None:
    folder = tmp_path / "shared"
    paint(folder / "castle.png", "red")
    for name in ("@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__MACOSX"):
        paint(folder / name / f"{len(name)}.png", "blue")
    paint(folder / "Catalog Previews.lrdata" / "0.png", "green")
    paint(folder / ".thumbnails" / "x.png", "green")
    for name in ("notes.psd", "film.psd", "readme", "castle.txt"):
        (folder / name).write_text("words")
    report = ingest(store, encoder, [folder], "sync")
    assert [record.name for record in store.records().values()] == ["castle"]
    assert report.failed == []
    assert report.passed_over == {
        "a folder of the system's (#recycle)": 1,
        "a folder of the system's ($RECYCLE.BIN)": 1,
        "a folder of the system's (@eaDir)": 1,
        "a folder of the system's (Catalog Previews.lrdata)": 1,
        "a folder of the system's (System Volume Information)": 1,
        "a folder of the system's (__MACOSX)": 1,
        "a folder of the system's (lost+found)": 1,
        "no picture (.psd)": 2,
        "no picture (a file without an ending)": 1,
    }


def test_linked_folders_are_followed_once_and_circles_end(tmp_path: Path) -> None:
    folder, far = tmp_path / "mine", tmp_path / "far away"
    paint(folder / "flat" / "red.png", "red")
    paint(far / "deep" / "blue.png", "blue")
    for link, target in {
        folder / "ink": far,
        folder / "ink again": far / "deep",
        folder / "flat" / "back": folder,
        far / "deep" / "round": far,
        far / "to mine": folder,
        folder / "nowhere": tmp_path / "gone",
    }.items():
        link.symlink_to(target, target_is_directory=True)
    passed: Counter[str] = Counter()
    found = [file.name for file in find_pictures([folder], passed_over=passed)]
    assert found == ["flat/red", "ink/deep/blue"]
    assert passed["a link to a folder that is looked into anyway"] == 4
    for inside in ("ink", "ink again"):  # where the pictures lie behind links
        check_source(folder / inside)
        assert "deep/blue" in found[-1] and any("blue" in file.name for file in find_pictures([folder / inside]))


def test_a_picture_without_an_ending_is_told_by_its_content(
    store: StyleStore, encoder: ColourEncoder, tmp_path: Path
) -> None:
    folder = tmp_path / "downloads"
    folder.mkdir()
    kinds = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tiff"}
    for number, kind in enumerate(kinds):
        Image.new("RGB", (16, 16), (40 * number, 0, 0)).save(folder / f"file {kind}", kind)
    (folder / "file JPEG.txt").write_text("a castle")
    told = PngImagePlugin.PngInfo()
    told.add_text("workflow", "x" * 2_000_000, zip=True)  # more than Pillow reads
    Image.new("RGB", (16, 16), "white").save(folder / "graph", "PNG", pnginfo=told)
    for name, content in {"LICENSE": b"MIT", "core": bytes(4096), "empty": b"", "BM": b"BM" + b"x" * 60}.items():
        (folder / name).write_bytes(content)
    report = ingest(store, encoder, [folder], "sync")
    assert (report.added, report.failed) == (7, [])
    assert report.passed_over == {"no picture (a file without an ending)": 4}
    assert {record.name: record.caption for record in store.records().values()}["file JPEG"] == "a castle"
    export_pack(store, tmp_path / "all.stylepack")
    with zipfile.ZipFile(tmp_path / "all.stylepack") as archive:
        packed = {name for name in archive.namelist() if not name.endswith(".json")}
    assert packed == {f"pictures/file {kind}{ending}" for kind, ending in kinds.items()} | {
        "pictures/graph.png",
        "vectors.npy",
    }
    assert len(list(find_pictures([folder / "file PNG"]))) == 1
    (folder / "file PNG").write_text("no picture any more")
    with pytest.raises(ValueError, match="source file PNG is not a picture file"):
        list(find_pictures([folder / "file PNG"]))


def test_a_pipe_without_an_ending_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    os.mkfifo(tmp_path / "deep" / "pipe")
    with pytest.raises(ValueError, match="holds no picture"):
        check_source(tmp_path)
    with pytest.raises(ValueError, match="holds no picture"):
        list(find_pictures([tmp_path]))


def test_a_path_in_quotes_is_the_path(tmp_path: Path) -> None:
    paint(tmp_path / "my styles" / "red.png", "red")
    for quoted in (f'"{tmp_path}/my styles"', f"'{tmp_path}/my styles'", f' "{tmp_path}/my styles" '):
        assert find_sources([quoted]) == [tmp_path / "my styles"]


@pytest.mark.parametrize("name", ["castle.caption", "castle.png.txt", "castle.TXT", "castle.txt"])
def test_words_lie_beside_a_picture_under_any_usual_name(tmp_path: Path, name: str) -> None:
    picture = paint(tmp_path / "flat" / "castle.png", "red")
    picture.with_name(name).write_text("a castle on a hill")
    assert read_description(picture)[0] == "a castle on a hill"


@pytest.mark.parametrize(
    "tags",
    [
        ["ukiyo-e", "night"],
        "ukiyo-e, night",
        "ukiyo-e night",
        {"ukiyo-e": 0.98, "night": 0.7},
        [{"name": "ukiyo-e", "id": 4}, {"name": "night"}],
        [{"label": "ukiyo-e"}, {"tag": "night"}],
        ["ukiyo-e", None, ["nested"], "night"],
    ],
)
def test_tags_of_any_program_are_tags(tmp_path: Path, tags: Any) -> None:
    picture = paint(tmp_path / "flat" / "castle.png", "red")
    picture.with_suffix(".json").write_text(json.dumps({"caption": "c", "tags": tags}))
    assert read_description(picture) == ("c", ("flat", "ukiyo-e", "night"), "")


@pytest.mark.parametrize(
    ("chunk", "text"),
    [
        ("parameters", json.dumps({"sui_image_params": {"prompt": "a castle", "model": "x", "seed": 1}})),
        ("parameters", json.dumps({"prompt": "a castle", "negative_prompt": "blur", "full_prompt": ["a", "b"]})),
        ("parameters", "a castle\nNegative prompt: blur\nSteps: 20, Sampler: Euler"),
        ("invokeai_metadata", json.dumps({"positive_prompt": "a castle", "negative_prompt": "blur"})),
        ("sd-metadata", json.dumps({"image": {"prompt": [{"prompt": "a castle", "weight": 1}], "steps": 20}})),
        ("Comment", json.dumps({"prompt": "a castle", "steps": 28})),
        ("prompt", json.dumps({"1": {"inputs": {"positive": ["2", 0]}}, "2": {"inputs": {"text": "a castle"}}})),
    ],
)
def test_the_prompt_that_a_program_left_is_the_caption(tmp_path: Path, chunk: str, text: str) -> None:
    said = PngImagePlugin.PngInfo()
    said.add_text(chunk, text)
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "flat" / "x.png", pnginfo=said)
    assert read_description(tmp_path / "flat" / "x.png")[0] == "a castle"


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
@pytest.mark.parametrize(
    ("tag", "said"),
    [
        (0x9286, b"UNICODE\0" + "a castle\nNegative prompt: blur\nSteps: 20".encode("utf-16-be")),
        (0x9286, b"UNICODE\0" + "a castle\nSteps: 20, Sampler: Euler".encode("utf-16-le")),
        (0x9286, b"ASCII\0\0\0a castle\nSteps: 20, Sampler: Euler\0"),
        (0x9286, b"\0" * 8 + json.dumps({"sui_image_params": {"prompt": "a castle"}}).encode()),
        (0x9286, b"UNICODE\0" + json.dumps({"Comment": json.dumps({"prompt": "a castle"})}).encode("utf-16-be")),
        (0x0110, 'prompt:{"1": {"inputs": {"positive": ["2", 0]}}, "2": {"inputs": {"text": "a castle"}}}'),
        (0x010F, 'Prompt:{"1": {"inputs": {"positive": ["2", 0]}}, "2": {"inputs": {"text": "a castle"}}}'),
    ],
)
def test_the_prompt_that_a_program_left_in_exif_is_the_caption(
    tmp_path: Path, kind: str, tag: int, said: bytes | str
) -> None:
    exif = Image.Exif()
    (exif.get_ifd(0x8769) if tag == 0x9286 else exif)[tag] = said
    Image.new("RGB", (16, 16)).save(tmp_path / "x.picture", kind, exif=exif)
    (picture := tmp_path / f"x.{kind.lower()}").write_bytes((tmp_path / "x.picture").read_bytes())
    assert read_description(picture)[0] == "a castle"


@pytest.mark.parametrize("said", [b"ASCII\0\0\0Screenshot", b"UNICODE\0\xd8\0", b"x", b"", b"ASCII\0\0\0 \0 \0"])
def test_what_a_camera_says_is_no_caption(tmp_path: Path, said: bytes) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x010E] = "Canon", "EOS", "OLYMPUS DIGITAL CAMERA"
    exif.get_ifd(0x8769)[0x9286] = said
    Image.new("RGB", (16, 16)).save(tmp_path / "x.jpg", exif=exif)
    assert read_description(tmp_path / "x.jpg")[0] == ""


@pytest.mark.parametrize("foreign", ['{"seed": 1, "model": "x"}', "[1]", "{", '{"a": ' * 9000, "null", ""])
def test_another_programs_json_does_not_hide_the_words_beside_it(
    store: StyleStore, encoder: ColourEncoder, tmp_path: Path, foreign: str
) -> None:
    picture = paint(tmp_path / "flat" / "castle.png", "red")
    picture.with_suffix(".json").write_text(foreign)
    picture.with_suffix(".txt").write_text("a castle")
    report = ingest(store, encoder, [tmp_path], "sync")
    [record] = store.records().values()
    assert (record.caption, record.tags) == ("a castle", ("flat",))
    [said] = report.failed
    assert "castle.json" in said["reason"]
    assert ingest(store, encoder, [tmp_path], "sync").failed == []  # it is told once
    picture.with_suffix(".txt").write_text("a cottage")
    os.utime(picture.with_suffix(".txt"), (1, 1))
    ingest(store, encoder, [tmp_path], "sync")
    picture.with_suffix(".json").unlink()
    ingest(store, encoder, [tmp_path], "sync")
    assert next(iter(store.records().values())).caption == "a cottage"


@pytest.mark.parametrize("text", ['{"seed": 1}', '{"prompt": 5}', '{"sui_image_params": []}', '{"prompt": {"a": 1}}'])
def test_a_blob_without_a_prompt_is_no_caption(tmp_path: Path, text: str) -> None:
    said = PngImagePlugin.PngInfo()
    said.add_text("parameters", text)
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "flat" / "x.png", pnginfo=said)
    assert read_description(tmp_path / "flat" / "x.png")[0] == ""


def eagle_item(library: Path, id: str, colour: str, **said: Any) -> Path:
    folder = library / "images" / f"{id}.info"
    paint(folder / f"{colour} wall.png", colour, 32)
    paint(folder / f"{colour} wall_thumbnail.png", colour, 8)
    (folder / "metadata.json").write_text(json.dumps({"id": id, "name": f"{colour} wall", "ext": "png"} | said))
    return folder


def test_a_library_of_eagle_brings_its_words(store: StyleStore, encoder: ColourEncoder, tmp_path: Path) -> None:
    library = tmp_path / "Looks.library"
    red = eagle_item(library, "K1", "red", tags=["brick", "photo"], folders=["F2"], star=4, annotation="an old wall")
    eagle_item(library, "K2", "green", tags=[], folders=[], isDeleted=False)
    eagle_item(library, "K3", "blue", tags=["bin"], isDeleted=True)
    tree = [{"id": "F1", "name": "Walls", "children": [{"id": "F2", "name": "Warm Ones", "children": []}]}]
    (library / "metadata.json").write_text(json.dumps({"folders": tree, "applicationVersion": "4.0.0"}))
    report = ingest(store, encoder, [library], "sync")
    assert (report.added, report.failed) == (2, [])
    assert report.passed_over == {"an item in Eagle's bin": 1}
    said = {record.name: (record.caption, record.tags) for record in store.records().values()}
    assert said == {
        "red wall": ("an old wall", ("brick", "photo", "warm ones", "4 stars")),
        "green wall": ("green wall", ()),
    }
    assert ingest(store, encoder, [library], "sync").unchanged == 2
    (red / "metadata.json").write_text(json.dumps({"name": "red wall", "tags": ["new"]}))
    assert ingest(store, encoder, [library], "sync").updated == 1
    assert store.records()[next(iter(id for id, r in store.records().items() if r.name == "red wall"))].tags == ("new",)


@pytest.mark.parametrize(
    "metadata", [b"", b"[1]", b"\xff\xfe", b'{"tags": {"a": 1}, "folders": 5, "star": "x"}', b"[" * 9999]
)
def test_a_damaged_item_of_eagle_is_taken_without_words(
    store: StyleStore, encoder: ColourEncoder, tmp_path: Path, metadata: bytes
) -> None:
    folder = eagle_item(tmp_path / "A.library", "K1", "red")
    (folder / "metadata.json").write_bytes(metadata)
    assert ingest(store, encoder, [tmp_path / "A.library"], "sync").added == 1
    [record] = store.records().values()
    assert (record.name, record.caption, record.tags) == ("red wall", "", ())
