"""What the HTTP routes may read of a knowledge base on a server that listens to a network."""

import errno
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
    gallery, sources = module(comfy_nodes, "routes.gallery"), module(comfy_nodes, "host.source_paths")
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
    gallery = module(comfy_nodes, "routes.gallery")
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
    gallery = module(comfy_nodes, "routes.gallery")
    for colour in ("teal", "navy"):
        Image.new("RGB", (40, 30), colour).save(tmp_path / f"{colour}.png")
    comfy_nodes["StyleKnowledgeBase"].execute("starting", str(tmp_path), "bundled/clip-tiny", "sync")
    snapshot = sys.modules[gallery.StyleEncoder.__module__.replace(".encoders.encoder", ".store.snapshot")]
    begun, may_start = threading.Event(), threading.Event()
    open_index = snapshot.open_index

    def held_back(*arguments: Any) -> Any:
        begun.set()
        assert may_start.wait(300)
        return open_index(*arguments)

    monkeypatch.setattr(snapshot, "open_index", held_back)
    query = sys.modules[snapshot.__name__.replace(".store.snapshot", ".search")].StyleQuery("navy")

    def look() -> set[str]:
        listed = gallery.list_styles("starting", 0, 9, "name:navy")["styles"]
        listed += gallery.list_styles("starting", 0, 9, "")["styles"]
        gallery.list_labels("starting")
        gallery.list_knowledge_bases()
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


def add(changes: Any, folder: Path, name: str, colours: list[str]) -> list[str]:
    """Send pictures as the Styles tab does; return their ids."""
    files = []
    for colour in colours:
        Image.new("RGB", (40, 30), colour).save(folder / f"{colour}.png")
        files.append((folder / f"{colour}.png", f"{colour}.png"))
    answer = changes.add_pictures(name, files, [f"plain {colour}" for colour in colours], ["flat"], "bundled/clip-tiny")
    assert answer["failed"] == []
    return answer["added"]


def test_a_picture_that_lost_its_bytes_is_listed_as_lost_until_it_is_added_again(
    comfy_nodes: Nodes, tmp_path: Path
) -> None:
    gallery, changes = module(comfy_nodes, "routes.gallery"), module(comfy_nodes, "routes.gallery_changes")
    ids = add(changes, tmp_path, "lost", ["teal", "navy", "plum"])
    record = gallery.find_record(gallery.open_store("lost"), ids[0])
    Path(record.file).write_bytes(b"")
    listed = {style["id"]: style["lost"] for style in gallery.list_styles("lost", 0, 9, "")["styles"]}
    assert listed == {ids[0]: True, ids[1]: False, ids[2]: False}
    with pytest.raises(gallery.NotHere, match="is gone or was changed"):
        gallery.read_thumbnail("lost", ids[0])
    more = add(changes, tmp_path, "lost", ["coral"])
    store = gallery.open_store("lost")
    from style_pack.retrieval.search import StyleQuery

    assert {match["id"] for match in gallery.search_styles("lost", StyleQuery("teal", top_k=9))["matches"]} == {
        *ids,
        *more,
    }

    assert add(changes, tmp_path, "lost", ["teal"]) == []
    style = next(style for style in gallery.list_styles("lost", 0, 9, "")["styles"] if style["id"] == ids[0])
    assert (style["lost"], style["caption"]) == (False, "plain teal")
    assert gallery.read_picture("lost", ids[0])[0] == Path(record.file).read_bytes()
    assert len(store) == 4


def test_a_thumbnail_that_is_not_whole_is_made_again(comfy_nodes: Nodes, tmp_path: Path) -> None:
    gallery, changes = module(comfy_nodes, "routes.gallery"), module(comfy_nodes, "routes.gallery_changes")
    [id] = add(changes, tmp_path, "small", ["teal"])
    whole = gallery.read_thumbnail("small", id)
    kept = gallery.thumbnail_path(gallery.open_store("small"), id)
    for content in (b"", whole[:-9], bytes(300), whole):  # the last as earlier versions wrote it
        kept.write_bytes(content)
        assert gallery.read_thumbnail("small", id) == whole
    assert gallery.read_thumbnail("small", id) == whole


@pytest.mark.parametrize("content", [b"", b"no database" * 9999])
def test_a_damaged_index_heals_inside_comfyui(
    comfy_nodes: Nodes, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    gallery, changes = module(comfy_nodes, "routes.gallery"), module(comfy_nodes, "routes.gallery_changes")
    name = f"damaged {len(content)}"
    ids = add(changes, tmp_path, name, ["teal", "navy", "plum"])
    store = gallery.open_store(name)
    file = next(store.folder.glob("index/*/engine/chroma.sqlite3"))
    file.unlink()
    file.write_bytes(content)
    execute = comfy_nodes["StyleKnowledgeBase"].execute
    knowledge_base = execute(name, "", "bundled/clip-tiny", "open").args[0]
    assert "the index" in caplog.text
    assert [path.name for path in (store.folder / "index").iterdir()] != ["1"]
    found = comfy_nodes["RetrieveStyle"].execute(knowledge_base, "plain navy", "hybrid", 3, 0.0, 0.0, "")
    assert len(found.args[2]) == 3
    with knowledge_base.store.reading() as view:
        assert len(view.snapshot_keys) == 3
    assert len(gallery.list_styles(name, 0, 9, "tag:flat")["styles"]) == len(ids)


def test_a_thumbnail_is_shown_also_where_it_cannot_be_kept(
    comfy_nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = module(comfy_nodes, "routes.gallery")
    import folder_paths

    folder = Path(folder_paths.get_input_directory()) / "full disk"
    folder.mkdir(parents=True)
    Image.new("RGB", (40, 31), "olive").save(folder / "a.png")
    comfy_nodes["StyleKnowledgeBase"].execute("full disk", "full disk", "bundled/clip-tiny", "sync")
    [style] = gallery.list_styles("full disk", 0, 9, "")["styles"]

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(gallery, "write_durably", full)
    shown = gallery.read_thumbnail("full disk", style["id"])
    kept = gallery.thumbnail_path(gallery.open_store("full disk"), style["id"])
    assert (shown[:2], kept.exists()) == (b"\xff\xd8", False)
    monkeypatch.undo()
    assert gallery.read_thumbnail("full disk", style["id"]) == shown
    assert kept.read_bytes().startswith(shown)
