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
    drafts = sys.modules[gallery.write_durably.__module__]
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


def test_to_list_to_look_up_and_thumbnails_do_not_wait_for_the_engine_to_start(
    comfy_nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = module(comfy_nodes, "gallery")
    for colour in ("teal", "navy"):
        Image.new("RGB", (40, 30), colour).save(tmp_path / f"{colour}.png")
    comfy_nodes["StyleKnowledgeBase"].execute("starting", str(tmp_path), "bundled/clip-tiny", "sync")
    snapshot = sys.modules[gallery.StyleEncoder.__module__.replace(".encoder", ".snapshot")]
    begun, may_start = threading.Event(), threading.Event()
    open_index = snapshot.open_index

    def held_back(*arguments: Any) -> Any:
        begun.set()
        assert may_start.wait(300)
        return open_index(*arguments)

    monkeypatch.setattr(snapshot, "open_index", held_back)
    query = sys.modules[snapshot.__name__.replace(".snapshot", ".search")].StyleQuery("navy")

    def look() -> set[str]:
        listed = gallery.list_styles("starting", 0, 9, "name:navy")["styles"]
        listed += gallery.list_styles("starting", 0, 9, "")["styles"]
        gallery.list_labels("starting"), gallery.list_knowledge_bases()
        for style in listed:
            gallery.find_record(gallery.open_store("starting"), style["id"])
            gallery.read_thumbnail("starting", style["id"])
            gallery.read_picture("starting", style["id"])
        return {style["name"] for style in listed}

    with ThreadPoolExecutor(2) as pool:
        search = pool.submit(gallery.search_styles, "starting", query)
        try:
            assert begun.wait(300)
            assert pool.submit(look).result(300) == {"navy", "teal"}
            assert not search.done()
        finally:
            may_start.set()
        assert len(search.result(300)["matches"]) == 1
