import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import paint
from PIL import Image, PngImagePlugin
from style_pack.retrieval.pictures import picture_file
from style_pack.retrieval.pictures.finder import SKIP_MARKER, find_pictures
from style_pack.retrieval.pictures.reader import content_id, open_picture, read_description, why_not_read


def names(*sources: Path) -> list[str]:
    return [file.name for file in find_pictures(sources)]


def test_folders_are_searched_to_the_bottom_in_order(folder: Path) -> None:
    assert names(folder) == ["cool/blue", "cool/teal", "plain/grey", "warm/orange", "warm/red"]


def test_a_file_named_twice_is_found_once(folder: Path) -> None:
    assert names(folder / "warm", folder / "warm" / "red.png") == ["orange", "red"]


def test_a_marked_folder_is_not_looked_into(folder: Path) -> None:
    (folder / "cool" / SKIP_MARKER).touch()
    assert names(folder) == ["plain/grey", "warm/orange", "warm/red"]


def test_a_missing_an_empty_and_a_wrong_source_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        names(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no picture"):
        names(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"blue\.txt is not a picture file"):
        names(folder / "cool" / "blue.txt")


def test_transparency_becomes_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (255, 0, 0, 255))
    image.save(tmp_path / "a.png")
    assert np.asarray(open_picture(tmp_path / "a.png")).tolist() == [[[255, 255, 255], [255, 0, 0]]]


def test_a_palette_with_a_transparent_colour_becomes_white_there(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([0, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "p.png", transparency=0)
    assert np.asarray(open_picture(tmp_path / "p.png")).tolist() == [[[255, 255, 255], [0, 255, 0]]]


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 2), "white")
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "r.jpg", exif=exif)
    assert open_picture(tmp_path / "r.jpg").size == (2, 4)


def test_grey_of_16_bit_keeps_its_shades(tmp_path: Path) -> None:
    ramp = np.array([[0, 32768, 65535]], dtype=np.uint16)
    Image.fromarray(ramp).save(tmp_path / "g.png")
    assert np.asarray(open_picture(tmp_path / "g.png"))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "LA"])
def test_every_common_mode_opens_as_rgb(tmp_path: Path, mode: str) -> None:
    suffix = "jpg" if mode == "CMYK" else "png"
    Image.new("RGB", (8, 8), (255, 255, 255)).convert(mode).save(tmp_path / f"m.{suffix}")
    opened = open_picture(tmp_path / f"m.{suffix}")
    assert opened.mode == "RGB"
    assert np.asarray(opened).min() >= 250


def test_what_is_no_picture_or_broken_says_so(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(ValueError, match="not a picture that can be read"):
        open_picture(tmp_path / "text.png")
    whole = paint(tmp_path / "whole.png", "red", 64).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="it is damaged"):
        open_picture(tmp_path / "cut.png")


def test_the_same_pixels_have_one_id_in_any_format(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", "red")
    paint(tmp_path / "b.bmp", "red")
    paint(tmp_path / "c.png", "blue")
    a, b, c = (content_id(open_picture(tmp_path / name)) for name in ("a.png", "b.bmp", "c.png"))
    assert a == b != c


def test_captions_tags_and_licence_come_from_beside_the_picture(folder: Path) -> None:
    assert read_description(folder / "warm" / "red.png") == ("a red wall", ("warm", "brick", "photo"), "CC0-1.0")
    assert read_description(folder / "cool" / "blue.png") == ("a blue lake at dusk", ("cool",), "")
    (folder / "cool" / "teal.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"teal\.json must be an object"):
        read_description(folder / "cool" / "teal.png")


def test_hidden_files_and_links_back_are_left_out(folder: Path) -> None:
    (folder / "warm" / "._red.png").write_bytes(b"")
    (folder / "warm" / "round").symlink_to(folder)
    assert names(folder) == ["cool/blue", "cool/teal", "plain/grey", "warm/orange", "warm/red"]


def pixels(path: Path) -> list[Any]:
    return np.asarray(open_picture(path)).tolist()


PATTERN = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [("png", {}), ("bmp", {}), ("tiff", {}), ("tif", {"compression": "tiff_lzw"}), ("webp", {"lossless": True})],
)
def test_a_lossless_picture_has_one_id_in_every_format(tmp_path: Path, suffix: str, options: dict[str, Any]) -> None:
    Image.fromarray(PATTERN).save(tmp_path / f"a.{suffix}", **options)
    assert content_id(open_picture(tmp_path / f"a.{suffix}")) == content_id(Image.fromarray(PATTERN))


@pytest.mark.parametrize("suffix", ["jpg", "webp", "avif", "gif", "heic"])
def test_a_lossy_picture_keeps_its_colours(tmp_path: Path, suffix: str) -> None:
    if suffix == "heic":
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.new("RGB", (64, 48), (200, 60, 30)).save(tmp_path / f"a.{suffix}")
    opened = open_picture(tmp_path / f"a.{suffix}")
    assert opened.size == (64, 48)
    np.testing.assert_allclose(np.asarray(opened)[24, 32], (200, 60, 30), atol=6)


def test_heic_without_its_package_is_reported_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photo.HEIC").write_bytes(b"any")
    assert names(tmp_path) == ["photo"]
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ValueError, match="HEIC needs the package pillow-heif: run `python -m pip install pillow-heif`"):
        open_picture(tmp_path / "photo.HEIC")


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tiff"])
def test_of_many_frames_the_first_is_read(tmp_path: Path, suffix: str) -> None:
    first, second = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    options: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[second], **options)
    assert pixels(tmp_path / f"a.{suffix}")[0][0] == [255, 0, 0]


def test_a_dark_grey_of_16_bit_stays_dark(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 200, 255]], dtype=np.uint16)).save(tmp_path / "dark.png")
    assert pixels(tmp_path / "dark.png") == [[[0] * 3, [1] * 3, [1] * 3]]


def test_float_pictures_are_read_from_0_to_1(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.0, 0.5, 1.0, np.nan]], dtype=np.float32)).save(tmp_path / "f.tiff")
    assert pixels(tmp_path / "f.tiff") == [[[0] * 3, [128] * 3, [255] * 3, [0] * 3]]


def test_cmyk_becomes_the_same_colours(tmp_path: Path) -> None:
    image = Image.new("CMYK", (2, 1), (0, 255, 255, 0))
    image.putpixel((1, 0), (0, 0, 0, 255))
    image.save(tmp_path / "c.tiff")
    assert pixels(tmp_path / "c.tiff") == [[[255, 0, 0], [0, 0, 0]]]


def test_half_transparent_palette_entries_are_mixed_with_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([0, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "p.png", transparency=bytes([128, 255]))
    assert pixels(tmp_path / "p.png") == [[[127, 127, 127], [0, 0, 255]]]


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (3, 1)), (6, (1, 0)), (8, (0, 3)), (2, (3, 0))])
def test_every_exif_orientation_moves_the_corner_where_it_belongs(
    tmp_path: Path, orientation: int, corner: tuple[int, int]
) -> None:
    image = Image.new("RGB", (4, 2), "white")
    image.putpixel((0, 0), (255, 0, 0))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / "r.png", exif=exif)
    assert open_picture(tmp_path / "r.png").getpixel(corner) == (255, 0, 0)


def test_one_pixel_is_a_picture(tmp_path: Path) -> None:
    paint(tmp_path / "one.png", (1, 2, 3), 1)
    assert pixels(tmp_path / "one.png") == [[[1, 2, 3]]]


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tiff", "webp"])
def test_a_cut_off_picture_says_so_wherever_it_is_cut(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(PATTERN).save(tmp_path / f"a.{suffix}")
    whole = (tmp_path / f"a.{suffix}").read_bytes()
    for kept in range(0, len(whole) * 3 // 4, max(1, len(whole) // 40)):
        (tmp_path / f"cut.{suffix}").write_bytes(whole[:kept])
        with pytest.raises(ValueError, match=r"it is damaged|not a picture that can be read"):
            open_picture(tmp_path / f"cut.{suffix}")


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(tmp_path / "large.png", "red", 64)
    monkeypatch.setattr(picture_file, "MAX_PIXELS", 4095)
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(ValueError, match="64x64 pixels are more than the 4,095 allowed"):
        open_picture(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match="more than the 4,095 pixels allowed"):
        open_picture(tmp_path / "large.png")


def png_with(path: Path, **chunks: str) -> Path:
    text = PngImagePlugin.PngInfo()
    for key, value in chunks.items():
        text.add_itxt(key, value)
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (4, 4)).save(path, pnginfo=text)
    return path


def test_a_png_describes_itself_when_nothing_lies_beside_it(tmp_path: Path) -> None:
    chunks = {"Title": "Wave", "Description": "the great wave", "Keywords": "Ukiyo-e, sea; Hokusai", "License": "CC0"}
    path = png_with(tmp_path / "prints" / "wave.png", **chunks)
    assert read_description(path) == ("the great wave", ("prints", "ukiyo-e", "sea", "hokusai"), "CC0")
    assert read_description(png_with(tmp_path / "t" / "t.png", Title="Wave")) == ("Wave", ("t",), "")
    path.with_suffix(".txt").write_text("\ufeffa wave", encoding="utf-8")
    assert read_description(path) == ("a wave", ("prints",), "")


def test_the_prompt_of_a_web_ui_is_the_caption(tmp_path: Path) -> None:
    parameters = "a (red:1.2) castle, <lora:ink:0.8> [ink wash]\nNegative prompt: blurry\nSteps: 20, Seed: 1"
    path = png_with(tmp_path / "x" / "a.png", parameters=parameters)
    assert read_description(path)[0] == "a red castle, ink wash"


def test_the_positive_prompt_of_a_comfyui_graph_is_the_caption(tmp_path: Path) -> None:
    graph = {
        "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "ugly", "clip": ["1", 1]}},
        "7": {"class_type": "KSampler", "inputs": {"seed": 1, "positive": ["8", 0], "negative": ["3", 0]}},
        "8": {"class_type": "ControlNetApply", "inputs": {"conditioning": ["9", 0], "image": ["2", 0]}},
        "9": {"class_type": "CLIPTextEncode", "inputs": {"text": ["11", 0], "clip": ["1", 1]}},
        "11": {"class_type": "Text", "inputs": {"text": "a harbour at dusk"}},
    }
    assert read_description(png_with(tmp_path / "x" / "a.png", prompt=json.dumps(graph)))[0] == "a harbour at dusk"
    ours = {"5": {"class_type": "ControlNetIPAdapterSampler", "inputs": {"prompt": "a tower", "seed": 3}}}
    assert read_description(png_with(tmp_path / "x" / "b.png", prompt=json.dumps(ours)))[0] == "a tower"


@pytest.mark.parametrize(
    "prompt",
    [
        "no graph",
        "[1, 2]",
        "[" * 100_000,
        '{"1": {"inputs": {"positive": ["1", 0]}}}',
        '{"1": {"inputs": {"positive": ["2", 0]}}, "2": {"inputs": {"a": ["3", 0]}}, "3": {"inputs": {"a": ["2", 0]}}}',
        '{"1": {"inputs": {"positive": 7}}, "2": 5, "3": {"inputs": null}}',
    ],
)
def test_a_made_up_graph_gives_no_caption(tmp_path: Path, prompt: str) -> None:
    assert read_description(png_with(tmp_path / "x" / "a.png", prompt=prompt)) == ("", ("x",), "")


def test_descriptions_are_cut_to_a_sane_length(tmp_path: Path) -> None:
    keywords = ",".join(f"{n} {'k' * 100}" for n in range(100))
    caption, tags, licence = read_description(
        png_with(tmp_path / "x" / "a.png", Description="d" * 10_000, Keywords=keywords, License="l" * 1000)
    )
    assert (len(caption), len(tags), max(map(len, tags)), len(licence)) == (2000, 64, 64, 64)
    picture = paint(tmp_path / "x" / "b.png", "red")
    picture.with_suffix(".txt").write_text("t" * 10_000)
    assert len(read_description(picture)[0]) == 2000
    picture.with_suffix(".json").write_text(json.dumps({"caption": "c" * 2_000_000}))
    with pytest.raises(ValueError, match=r"its b\.json is larger than the 1,000,000 bytes allowed"):
        read_description(picture)


def test_a_json_of_nulls_or_without_end_is_no_accident(tmp_path: Path) -> None:
    picture = paint(tmp_path / "x" / "a.png", "red")
    picture.with_suffix(".json").write_text('{"caption": null, "tags": null, "license": null}')
    assert read_description(picture) == ("", ("x",), "")
    picture.with_suffix(".json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"its a\.json is not valid JSON"):
        read_description(picture)


def test_a_link_to_nothing_and_a_pipe_are_named_and_not_opened(folder: Path) -> None:
    (folder / "cool" / "dangling.png").symlink_to(folder / "gone.png")
    os.mkfifo(folder / "cool" / "pipe.png")
    skipped: dict[Path, OSError] = {}
    found = [file.name for file in find_pictures([folder / "cool"], skipped.__setitem__)]
    assert found == ["blue", "teal"]
    assert [path.name for path in skipped] == ["dangling.png", "pipe.png"]


def test_a_file_that_vanishes_after_it_was_listed_is_named_and_the_rest_is_found(folder: Path) -> None:
    skipped: dict[Path, OSError] = {}
    walk = find_pictures([folder / "cool", folder / "warm"], skipped.__setitem__)
    next(walk)
    (folder / "cool" / "teal.png").unlink()
    assert [file.name for file in walk] == ["orange", "red"]
    assert [(path.name, why_not_read(error)) for path, error in skipped.items()] == [("teal.png", "the file is gone")]


def test_a_name_that_is_no_unicode_is_reported_and_the_rest_is_stored(folder: Path) -> None:
    name = os.fsdecode(os.fsencode(folder / "cool") + b"/b\xff.png")
    paint(Path(name), "green")
    skipped: dict[Path, OSError] = {}
    assert len(list(find_pictures([folder], skipped.__setitem__))) == 5
    [error] = skipped.values()
    assert why_not_read(error) == "it can't be read: its name or its folder's is not valid Unicode, rename it"


def test_half_a_surrogate_pair_in_a_json_becomes_a_question_mark(tmp_path: Path) -> None:
    path = paint(tmp_path / "sea" / "a.png", "blue")
    path.with_suffix(".json").write_text('{"caption": "\\ud800 waves", "tags": ["\\udc00x"], "license": "\\ud83c"}')
    assert read_description(path) == ("? waves", ("sea", "?x"), "?")


def test_a_format_that_is_not_named_is_not_opened_under_another_ones_suffix(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n%%EOF\n")
    with pytest.raises(ValueError, match="it is not a picture that can be read"):
        open_picture(file)
    Image.new("RGB", (8, 8), "red").save(file, "JPEG")  # as browsers save pictures
    assert open_picture(file).size == (8, 8)
