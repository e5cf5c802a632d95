"""What the tab says of a style, when its files say something else afterwards, and when it is removed and restored."""

import json
from pathlib import Path
from typing import Any

from PIL import Image
from test_execute import module

Nodes = dict[str, Any]


def test_an_edit_outlives_sync_rebuild_removal_and_a_second_file(comfy_nodes: Nodes, tmp_path: Path) -> None:
    gallery, changes = module(comfy_nodes, "routes.gallery"), module(comfy_nodes, "routes.gallery_changes")

    def run(update: str) -> dict[str, Any]:
        comfy_nodes["StyleKnowledgeBase"].execute("edited words", str(tmp_path), "bundled/clip-tiny", update)
        [style] = [style for style in gallery.list_styles("edited words", 0, 9, "")["styles"] if style["width"] == 40]
        return style

    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    for name, size in (("a/wall", (40, 30)), ("a/other", (30, 40))):
        Image.new("RGB", size, "teal").save(tmp_path / f"{name}.png")
    (tmp_path / "a" / "wall.json").write_text(json.dumps({"caption": "a wall", "tags": ["brick"]}))
    id = run("sync")["id"]
    edited = changes.describe_style("edited words", id, "a harbour wall", None)
    assert (edited["caption"], edited["tags"]) == ("a harbour wall", ["a", "brick"])
    assert json.loads((tmp_path / "a" / "wall.json").read_text())["caption"] == "a wall"
    (tmp_path / "a" / "wall.json").write_text(json.dumps({"caption": "another", "tags": ["new"]}))
    Image.new("RGB", (40, 30), "teal").save(tmp_path / "b" / "copy.png")
    expected = ("a harbour wall", ["a", "new", "b"], "a/wall", ["b/copy"])
    for update in ("sync", "rebuild"):
        style = run(update)
        assert (style["caption"], style["tags"], style["name"], style["other_names"]) == expected
    assert changes.remove_style("edited words", id)["file_stays"] is True
    restored = changes.restore_style("edited words", id)
    assert restored == style
    assert run("sync") == style
    (tmp_path / "a" / "wall.png").unlink()
    style = run("sync")
    assert (style["caption"], style["tags"], style["name"]) == ("a harbour wall", ["b"], "b/copy")
