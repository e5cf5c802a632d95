"""What the HTTP routes may read of a knowledge base on a server that listens to a network."""

import io
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from test_execute import module

Nodes = dict[str, Any]


def test_a_link_out_of_the_allowed_folders_is_not_served(
    comfy_nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery, sources = module(comfy_nodes, "gallery"), module(comfy_nodes, "source_paths")
    import folder_paths

    secret = tmp_path / "secret.png"
    Image.new("RGB", (40, 30), "teal").save(secret)
    inside = Path(folder_paths.get_input_directory()) / "linked styles"
    inside.mkdir(parents=True)
    (inside / "link.png").symlink_to(secret)
    Image.new("RGB", (40, 31), "navy").save(inside / "own.png")
    comfy_nodes["StyleKnowledgeBase"].execute("linked", "linked styles", "bundled/clip-tiny", "sync")
    styles = {style["name"]: style["id"] for style in gallery.list_styles("linked", 0, 9, "")["styles"]}
    assert gallery.read_picture("linked", styles["link"]) == (secret.read_bytes(), "image/png")

    monkeypatch.setattr(sources.args, "listen", "0.0.0.0")
    for read in (gallery.read_picture, gallery.read_thumbnail):
        with pytest.raises(PermissionError, match="lies outside the folders that this server may read"):
            read("linked", styles["link"])
    assert gallery.read_picture("linked", styles["own"])[0] == (inside / "own.png").read_bytes()


def test_a_thumbnail_may_be_asked_for_many_times_at_once(
    comfy_nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = module(comfy_nodes, "gallery")
    drafts = sys.modules[gallery.replacing.__module__]
    Image.new("RGB", (400, 300), "teal").save(tmp_path / "a.png")
    comfy_nodes["StyleKnowledgeBase"].execute("at once", str(tmp_path), "bundled/clip-tiny", "sync")
    [style] = gallery.list_styles("at once", 0, 9, "")["styles"]
    together, replace = threading.Barrier(4), drafts.os.replace

    def after_all_have_written(draft: Path, target: Path) -> None:
        together.wait(60)
        replace(draft, target)

    monkeypatch.setattr(drafts.os, "replace", after_all_have_written)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: gallery.read_thumbnail("at once", style["id"]), range(4)))
    assert len(set(made)) == 1
    assert Image.open(io.BytesIO(made[0])).size == (256, 192)
