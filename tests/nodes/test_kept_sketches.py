"""What the route `generate` hands to LoadImage as a sketch, which looks at no profile and takes every frame."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from places import ROOT
from test_execute import module

sys.path.append(str(ROOT / "tests" / "retrieval"))
import profiles  # noqa: E402

Nodes = dict[str, Any]


def loaded(nodes: Nodes, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """What core's LoadImage makes of a sketch that was sent: (H, W, 3) and mask, 0..255."""
    from nodes import LoadImage

    image, mask = LoadImage().load_image(module(nodes, "routes.generate").keep_sketch(path))
    assert len(image) == 1
    return (image[0].numpy() * 255).round(), (mask[0].numpy() * 255).round()


def test_a_sketch_in_wide_colours_is_seen_in_its_own(comfy_nodes: Nodes, tmp_path: Path) -> None:
    colours, profile = Image.new("RGB", (40, 30), (250, 120, 160)), profiles.rgb("ProPhoto")
    profiles.seen_through(colours, profile, "RGB").save(tmp_path / "a.png", icc_profile=profile)
    np.testing.assert_allclose(loaded(comfy_nodes, tmp_path / "a.png")[0][15, 20], (250, 120, 160), atol=2)


def test_a_transparent_sketch_stays_so(comfy_nodes: Nodes, tmp_path: Path) -> None:
    drawn = Image.new("RGBA", (40, 30), (0, 0, 0, 0))
    drawn.paste((255, 255, 255, 255), (10, 10, 20, 20))
    drawn.save(tmp_path / "a.webp", lossless=True)
    _, mask = loaded(comfy_nodes, tmp_path / "a.webp")
    assert (mask[15, 15], mask[5, 5]) == (0, 255)


def test_a_sketch_with_an_impossible_exif_value_is_loaded_upright(comfy_nodes: Nodes, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112], exif[0x11A] = 6, 72.0
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.jpg", exif=exif.tobytes())
    whole = (tmp_path / "a.jpg").read_bytes()
    rational = b"\x00\x05\x00\x00\x00\x01" if b"MM\0*" in whole else b"\x05\x00\x01\x00\x00\x00"
    assert rational in whole
    (tmp_path / "a.jpg").write_bytes(whole.replace(rational, rational.replace(b"\x05", b"\x0a")))
    assert loaded(comfy_nodes, tmp_path / "a.jpg")[0].shape == (40, 30, 3)


def test_the_same_sketch_may_arrive_many_times_at_once(
    comfy_nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    together = threading.Barrier(8)
    drafts = sys.modules[module(comfy_nodes, "routes.generate").write_durably.__module__]
    replace = drafts.os.replace

    def after_all_have_written(draft: Path, target: Path) -> None:
        together.wait(60)
        replace(draft, target)

    monkeypatch.setattr(drafts.os, "replace", after_all_have_written)
    keep_sketch = module(comfy_nodes, "routes.generate").keep_sketch
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(keep_sketch, [tmp_path / "a.png"] * 8))
    assert len(set(names)) == 1
    import folder_paths

    kept = Path(folder_paths.get_temp_directory()) / names[0].removesuffix(" [temp]")
    assert [file.name for file in kept.parent.iterdir() if file.name.startswith(".")] == []
