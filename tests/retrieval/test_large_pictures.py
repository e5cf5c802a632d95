"""Pictures of very many pixels are opened at a reduced size, and what is known of them stays."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import profiles
import pytest
from fakes import ColourEncoder
from PIL import Image
from places import ROOT
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.pictures import reader
from style_pack.retrieval.pictures.reader import open_picture, open_with_transparency, size_in_file
from style_pack.retrieval.store.store import StyleStore

SIZE = (160, 90)
PICTURE = Image.fromarray(np.random.default_rng(0).integers(40, 220, (9, 16, 3), dtype=np.uint8)).resize(SIZE)


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have pictures count as large from 2000 pixels, and be converted by 480 at once."""
    monkeypatch.setattr(reader, "LARGE", 2000)
    monkeypatch.setattr(reader, "_STRIP", 480)


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "gif", "bmp", "avif", "heic"])
def test_every_format_is_reduced_and_keeps_its_colours(tmp_path: Path, suffix: str) -> None:
    if suffix == "heic":
        import pillow_heif

        pillow_heif.register_heif_opener()
    PICTURE.save(tmp_path / f"a.{suffix}", quality=95)
    opened = open_picture(tmp_path / f"a.{suffix}")
    assert 500 <= opened.width * opened.height <= 2000
    assert size_in_file(opened) == SIZE
    difference = np.asarray(opened, dtype=float) - np.asarray(PICTURE.resize(opened.size, Image.Resampling.BOX))
    assert np.abs(difference).mean() < (10 if suffix == "gif" else 6)


@pytest.mark.usefixtures("small_limit")
def test_strips_make_the_same_picture_as_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = PICTURE.copy()
    saved.putalpha(Image.linear_gradient("L").resize(SIZE))
    saved.save(tmp_path / "a.png")
    seen: list[int] = []
    to_srgb = reader.to_srgb
    monkeypatch.setattr(reader, "to_srgb", lambda image, levels: seen.append(image.height) or to_srgb(image, levels))
    assert open_with_transparency(tmp_path / "a.png").tobytes() == saved.reduce(3).tobytes()
    assert seen == [3] * 30


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_large_picture_stands_upright_in_its_own_colours(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    profile = profiles.rgb("ProPhoto")
    plain = Image.new("RGB", SIZE, (250, 120, 160))
    plain.paste((20, 90, 60), (0, 0, 80, 90))
    profiles.seen_through(plain, profile, "RGB").save(
        tmp_path / f"a.{suffix}", exif=exif.tobytes(), icc_profile=profile, quality=98
    )
    opened = open_picture(tmp_path / f"a.{suffix}")
    assert size_in_file(opened) == (90, 160)
    assert opened.width < opened.height
    np.testing.assert_allclose(opened.getpixel((opened.width // 2, 2)), (20, 90, 60), atol=6)
    np.testing.assert_allclose(opened.getpixel((opened.width // 2, opened.height - 3)), (250, 120, 160), atol=6)


@pytest.mark.usefixtures("small_limit")
def test_deep_greys_keep_one_scale_over_all_strips(tmp_path: Path) -> None:
    ramp = np.repeat(np.linspace(0, 900, 90, dtype=np.float32)[:, None], 160, axis=1)
    Image.fromarray(ramp).save(tmp_path / "a.tif")
    opened = np.asarray(open_picture(tmp_path / "a.tif"))[:, 0, 0].astype(int)
    assert (np.diff(opened) >= 0).all()
    assert opened[-1] <= 900 / 65535 * 255 + 1


@pytest.mark.usefixtures("small_limit")
def test_a_record_has_the_size_of_the_file(store: StyleStore, encoder: ColourEncoder, tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "a.png")
    ingest(store, encoder, [tmp_path / "a.png"], "sync")
    [record] = store.records().values()
    assert (record.width, record.height) == SIZE


def test_a_picture_of_24_million_pixels_is_opened_as_it_is() -> None:
    assert reader._reduction((6000, 4000)) == 1
    assert reader._reduction((10_000, 10_000)) == 2


_MEASURE = """
import importlib.util, resource, sys
from pathlib import Path
pack, file = sys.argv[1:]
spec = importlib.util.spec_from_file_location("style_pack", pack + "/__init__.py", submodule_search_locations=[pack])
sys.modules["style_pack"] = importlib.util.module_from_spec(spec)
from style_pack.retrieval.pictures.reader import content_id, open_picture
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
content_id(open_picture(Path(file)))
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


@pytest.mark.parametrize(("suffix", "bytes_a_pixel"), [("jpg", 3), ("png", 7)])
def test_the_memory_of_a_large_picture_is_bounded(tmp_path: Path, suffix: str, bytes_a_pixel: float) -> None:
    """It took 12 bytes a pixel to open and to hash one."""
    options: dict[str, Any] = {"png": {"compress_level": 1}}.get(suffix, {})
    Image.new("RGB", (7000, 6000), "teal").save(tmp_path / f"a.{suffix}", **options)
    command = [sys.executable, "-c", _MEASURE, str(ROOT), str(tmp_path / f"a.{suffix}")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < bytes_a_pixel * 7000 * 6000
