from pathlib import Path

import numpy as np
import pytest
from fakes import paint
from PIL import Image
from style_pack.retrieval.reader import SKIP_MARKER, content_id, find_pictures, open_picture, read_description


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


def test_hidden_files_and_linked_folders_are_not_followed(folder: Path) -> None:
    (folder / "warm" / "._red.png").write_bytes(b"")
    (folder / "warm" / "round").symlink_to(folder)
    assert names(folder) == ["cool/blue", "cool/teal", "plain/grey", "warm/orange", "warm/red"]
