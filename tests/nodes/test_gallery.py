"""What the HTTP routes may read of a knowledge base on a server that listens to a network."""

import errno
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


def test_a_thumbnail_is_shown_also_where_it_cannot_be_kept(
    comfy_nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = module(comfy_nodes, "gallery")
    import folder_paths

    folder = Path(folder_paths.get_input_directory()) / "full disk"
    folder.mkdir(parents=True)
    Image.new("RGB", (40, 31), "olive").save(folder / "a.png")
    comfy_nodes["StyleKnowledgeBase"].execute("full disk", "full disk", "bundled/clip-tiny", "sync")
    [style] = gallery.list_styles("full disk", 0, 9, "")["styles"]

    def full(self: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    shown = gallery.read_thumbnail("full disk", style["id"])
    kept = gallery.thumbnail_path(gallery.open_store("full disk"), style["id"])
    assert (shown[:2], list(kept.parent.iterdir())) == (b"\xff\xd8", [])
    monkeypatch.undo()
    assert gallery.read_thumbnail("full disk", style["id"]) == shown == kept.read_bytes()
