"""Pictures with embedded profiles look the same to everyone who opens them, whatever colours they were saved in."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import profiles
import pytest
from fakes import ColourEncoder, paint
from PIL import Image
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.pictures import colours
from style_pack.retrieval.pictures.reader import content_id, format_of, open_picture, open_with_transparency
from style_pack.retrieval.records import Edit
from style_pack.retrieval.search import StyleQuery, search
from style_pack.retrieval.store.own_pictures import keep_picture
from style_pack.retrieval.store.store import StyleStore
from style_pack.retrieval.syncing import update

PASTELS = np.random.default_rng(0).integers(60, 200, (3, 4, 3), dtype=np.uint8)
PICTURE = Image.fromarray(PASTELS).resize((64, 48), Image.Resampling.BICUBIC)
NOISE = np.random.default_rng(1).bytes(2000)
BEST: dict[str, dict[str, Any]] = {"jpg": {"quality": 98, "subsampling": 0}, "webp": {"lossless": True}}
BEST |= {"avif": {"quality": 98, "subsampling": "4:4:4"}, "heic": {"quality": 98}}


def wide(path: Path, name: str, picture: Image.Image = PICTURE) -> Path:
    """Save a picture in another profile's numbers, and with the profile."""
    if path.suffix == ".heic":
        import pillow_heif

        pillow_heif.register_heif_opener()
    profile = profiles.rgb(name)
    options = BEST.get(path.suffix[1:], {})
    profiles.seen_through(picture, profile, "RGB").save(path, icc_profile=profile, **options)
    return path


def difference(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).mean())


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "avif", "heic"])
@pytest.mark.parametrize("name", ["Adobe RGB", "Display P3", "ProPhoto"])
def test_a_wide_profile_is_turned_into_srgb(tmp_path: Path, name: str, suffix: str) -> None:
    path = wide(tmp_path / f"a.{suffix}", name)
    assert difference(Image.open(path).convert("RGB"), PICTURE) > 4  # what was seen without a look at the profile
    opened = open_picture(path)
    assert difference(opened, PICTURE) < 2.5
    assert "icc_profile" not in opened.info  # or it would be applied again to what is saved of it


def test_an_srgb_profile_of_any_maker_changes_nothing(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "plain.png")
    PICTURE.save(tmp_path / "profiled.png", icc_profile=profiles.rgb("sRGB by another maker"))
    assert content_id(open_picture(tmp_path / "profiled.png")) == content_id(open_picture(tmp_path / "plain.png"))


def test_a_grey_profile_is_applied_to_greys_of_8_and_16_bit(tmp_path: Path) -> None:
    linear = profiles.grey(1.0)
    Image.fromarray(np.array([[0, 64, 128, 255]], dtype=np.uint8)).save(tmp_path / "8.png", icc_profile=linear)
    Image.fromarray(np.array([[0, 64, 128, 255]], dtype=np.uint16) * 257).save(tmp_path / "16.png", icc_profile=linear)
    for name in ("8.png", "16.png"):  # IEC 61966-2-1 of 64/255 and 128/255
        np.testing.assert_allclose(np.asarray(open_picture(tmp_path / name))[0, :, 0], [0, 137, 188, 255], atol=1)


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_inks_are_seen_as_their_profile_says(tmp_path: Path, suffix: str) -> None:
    Image.new("CMYK", (16, 16), (0, 0, 255, 0)).save(tmp_path / f"a.{suffix}", icc_profile=profiles.cmyk())
    np.testing.assert_allclose(open_picture(tmp_path / f"a.{suffix}").getpixel((8, 8)), (255, 128, 0), atol=4)
    Image.new("CMYK", (16, 16), (0, 0, 255, 0)).save(tmp_path / f"a.{suffix}")
    np.testing.assert_allclose(open_picture(tmp_path / f"a.{suffix}").getpixel((8, 8)), (255, 255, 0), atol=4)


@pytest.mark.parametrize("profile", [None, profiles.lab()])
def test_lab_becomes_the_same_colours(tmp_path: Path, profile: bytes | None) -> None:
    profiles.seen_through(PICTURE, profiles.lab(), "LAB").save(tmp_path / "a.tif", icc_profile=profile)
    assert difference(open_picture(tmp_path / "a.tif"), PICTURE) < 1


def test_what_is_transparent_stays_so_beside_a_profile(tmp_path: Path) -> None:
    profile = profiles.rgb("ProPhoto")
    saved = profiles.seen_through(PICTURE, profile, "RGB")
    saved.putalpha(Image.linear_gradient("L").resize(saved.size))
    saved.save(tmp_path / "a.png", icc_profile=profile)
    opened = open_with_transparency(tmp_path / "a.png")
    assert opened.getchannel("A").tobytes() == saved.getchannel("A").tobytes()
    assert difference(opened.convert("RGB"), PICTURE) < 1
    np.testing.assert_allclose(open_picture(tmp_path / "a.png").getpixel((0, 0)), (255, 255, 255), atol=3)


def test_a_palette_is_turned_into_srgb(tmp_path: Path) -> None:
    few = PICTURE.quantize(16).convert("RGB")
    profile = profiles.rgb("ProPhoto")
    profiles.seen_through(few, profile, "RGB").quantize(16).save(tmp_path / "a.png", icc_profile=profile)
    assert difference(open_picture(tmp_path / "a.png"), few) < 3


@pytest.mark.parametrize(
    "profile",
    [
        b"no profile at all" * 20,
        bytes(3000),
        NOISE,
        profiles.rgb("ProPhoto")[:200],
        profiles.cmyk(),
        profiles.grey(1.0),
        profiles.lab(),
        NOISE[:20] + bytes(2_000_000),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_broken_profile_and_one_of_other_colours_count_as_none(tmp_path: Path, profile: bytes, suffix: str) -> None:
    PICTURE.save(tmp_path / f"a.{suffix}", icc_profile=profile)
    assert content_id(open_picture(tmp_path / f"a.{suffix}")) == content_id(PICTURE)
    assert format_of(tmp_path / f"a.{suffix}") in ("PNG", "TIFF")


def test_a_profile_that_leaves_no_picture_counts_as_none(tmp_path: Path) -> None:
    black = profiles.rgb("ProPhoto")
    for channel in "rgb":
        at = black.index(f"{channel}XYZ".encode())
        place = int.from_bytes(black[at + 4 : at + 8], "big")
        black = black[: place + 8] + bytes(12) + black[place + 20 :]
    PICTURE.save(tmp_path / "a.png", icc_profile=black)
    assert content_id(open_picture(tmp_path / "a.png")) == content_id(PICTURE)


def test_a_good_profile_of_megabytes_in_a_png_is_applied(tmp_path: Path) -> None:
    large = profiles.rgb("ProPhoto", more={b"priv": b"data\0\0\0\0" + bytes(2_000_000)})
    profiles.seen_through(PICTURE, large, "RGB").save(tmp_path / "a.png", icc_profile=large)
    assert difference(open_picture(tmp_path / "a.png"), PICTURE) < 1


@pytest.fixture
def before_profiles(monkeypatch: pytest.MonkeyPatch) -> Callable[[StyleStore], None]:
    """Have profiles ignored; call what is returned to end that, with a knowledge base that was made meanwhile."""
    with_profiles = colours._transform
    monkeypatch.setattr(colours, "_transform", lambda profile, mode: None)
    monkeypatch.setattr(update, "DECODING", 1)

    def end(store: StyleStore) -> None:
        monkeypatch.setattr(colours, "_transform", with_profiles)
        monkeypatch.setattr(update, "DECODING", 2)
        with store._database.transaction():
            store._database._db.execute("DELETE FROM meta WHERE name = 'decoding'")

    return end


def test_profiled_pictures_of_an_older_knowledge_base_are_embedded_again_once_and_no_others(
    store: StyleStore,
    encoder: ColourEncoder,
    folder: Path,
    before_profiles: Callable[[StyleStore], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = wide(folder / "warm" / "rose.png", "ProPhoto", Image.new("RGB", (16, 16), (250, 40, 90)))
    ingest(store, encoder, [folder], "sync")
    [rose] = [record for record in store.records().values() if record.name == "warm/rose"]
    unprofiled = set(store.ids()) - {rose.id}
    before_profiles(store)
    encoder.batches.clear()
    report = ingest(store, encoder, [folder], "sync")
    assert (encoder.batches, report.updated, report.unchanged, report.total) == ([1], 1, 5, 6)
    assert store.ids() == sorted(unprofiled | {content_id(open_picture(path))})
    monkeypatch.setattr(update, "is_decoded_anew", lambda path: pytest.fail("it was looked at again"))
    assert (ingest(store, encoder, [folder], "sync").unchanged, encoder.batches) == (6, [1])


def test_a_sync_of_an_older_knowledge_base_drops_what_it_is_not_given(
    store: StyleStore, encoder: ColourEncoder, tmp_path: Path, before_profiles: Callable[[StyleStore], None]
) -> None:
    for name, colour in (("here", "red"), ("gone", "blue")):
        (tmp_path / name).mkdir()
        wide(tmp_path / name / f"{name}.png", "Adobe RGB", Image.new("RGB", (16, 16), colour))
        ingest(store, encoder, [tmp_path / name], "add")
    before_profiles(store)
    report = ingest(store, encoder, [tmp_path / "here"], "sync")
    assert (report.removed, report.total) == (1, 1)
    assert [record.name for record in store.records().values()] == ["here"]


def test_words_that_a_profiled_picture_has_of_an_earlier_version_stay(
    store: StyleStore, encoder: ColourEncoder, tmp_path: Path, before_profiles: Callable[[StyleStore], None]
) -> None:
    path = wide(tmp_path / "rose.png", "Adobe RGB")
    ingest(store, encoder, [path], "sync")
    with store.saying() as said:  # as a knowledge base that was edited before edits were kept apart
        said.show([replace(said.all()[str(path)], caption="given by hand")])
    before_profiles(store)
    ingest(store, encoder, [path], "sync")
    assert [record.caption for record in store.records().values()] == ["given by hand"]


def test_words_that_were_given_to_a_profiled_picture_stay_when_it_is_embedded_again(
    store: StyleStore, encoder: ColourEncoder, tmp_path: Path, before_profiles: Callable[[StyleStore], None]
) -> None:
    wide(tmp_path / "rose.png", "Adobe RGB")
    ingest(store, encoder, [tmp_path / "rose.png"], "sync")
    [record] = store.records().values()
    with store.saying() as said:
        said.edit(record.id, Edit("given by hand", ("mine",)))
    before_profiles(store)
    ingest(store, encoder, [tmp_path / "rose.png"], "sync")
    [again] = store.records().values()
    assert (again.caption, again.tags) == ("given by hand", ("mine",))
    assert again.id != record.id


@pytest.mark.parametrize("name", ["Adobe RGB", "Display P3", "ProPhoto"])
def test_a_picture_of_wide_colours_is_recognised_as_itself(
    store: StyleStore, encoder: ColourEncoder, folder: Path, name: str
) -> None:
    rose = Image.new("RGB", (16, 16), (250, 120, 160))
    path = wide(folder / "warm" / "rose.png", name, rose)
    paint(folder / "warm" / "as if unprofiled.png", Image.open(path).convert("RGB").getpixel((0, 0)))  # type: ignore[arg-type]
    keep_picture(store, open_picture(path), "", [])  # as an upload of the same file is kept
    report = ingest(store, encoder, [folder], "sync")
    assert report.total == 7  # the upload is the file's picture
    for asked in (open_picture(path), rose):
        [best] = search(store, encoder, StyleQuery("", "image", 1, image=asked))
        assert str(path) in best.record.files
        assert best.cosine > 0.999
