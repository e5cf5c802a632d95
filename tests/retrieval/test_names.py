"""A knowledge base is named in any script, and every name is a plain folder on every operating system."""

import json
import unicodedata
from pathlib import Path

import pytest
from fakes import ColourEncoder, paint
from style_pack.command_line.__main__ import main
from style_pack.retrieval.engines.base import read_choice
from style_pack.retrieval.ingest import ingest
from style_pack.retrieval.store.backup import back_up, restore
from style_pack.retrieval.store.origin import folder_of, plain_name
from style_pack.retrieval.store.store import StyleStore
from style_pack.retrieval.store.stylepack import export_pack
from style_pack.retrieval.store.upkeep import copy, delete, find_base, rename

NAMES = [
    "风格库",
    "naïve café",
    "наброски (2024)",
    "ภาพวาด",
    "हिन्दी",
    "수채화",
    "ウキヨエ",
    "می‌خواهم",
    "🎨 mine!",
    "_x",
    "字" * 64,
]
REFUSED = {
    "": "it has 0 characters",
    "a" * 65: "it has 65 characters",
    "🎨" * 64: "it has 256 bytes in UTF-8, and a folder's name 255",
    "a\u202eb": r"'\u202e' is in it",
    "a\u200bb": r"'\u200b' is in it",
    "a\x00": r"'\x00' is in it",
    "a\nb": r"'\n' is in it",
    "\ud800": r"'\ud800' is in it",
    "风\u3000格": r"'\u3000' is in it",
    **{f"风{sign}格": f"{sign!r} is in it" for sign in '<>:"/\\|?*'},
    ".hidden": "it begins with '.'",
    "..": "it begins with '.'",
    "-a": "it begins with '-'",
    " a": "it begins with ' '",
    "a ": "ends with ' '",
    "风格.": "ends with '.'",
    **dict.fromkeys(("CON", "nul", "aux.风格", "com1", "COM¹", "Lpt9.txt", "con .x", "CONIN$"), "it is reserved"),
    "Settings.json": "it is reserved",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_any_script_holds_pictures_and_is_kept_whole(
    tmp_path: Path, encoder: ColourEncoder, name: str
) -> None:
    root = tmp_path / "root"
    store = StyleStore(folder_of(root, name))
    ingest(store, encoder, [paint(tmp_path / "红.png", "red")], "sync")
    back_up(store.folder, tmp_path / "backup.zip")
    export_pack(store, tmp_path / f"{name[:32]}.stylepack")
    assert restore(tmp_path / "backup.zip", root, "另一个", 1) == 1
    copy(root, name, "副本")
    rename(root, "副本", "第三", 1)
    delete(root, "第三", 1)
    assert {folder.name for folder in root.iterdir()} == {name, "另一个"}
    assert main(["stats", name, "--root", str(root)]) == 0


@pytest.mark.parametrize(("name", "wrong"), REFUSED.items(), ids=ascii)
def test_what_is_no_folder_everywhere_is_refused_with_what_is_wrong(name: str, wrong: str) -> None:
    with pytest.raises(ValueError, match="can't name a knowledge base") as refused:
        plain_name(name)
    assert wrong in str(refused.value)
    assert len(str(refused.value)) < 500


def test_a_name_typed_on_a_mac_is_the_same(tmp_path: Path, encoder: ColourEncoder) -> None:
    composed, apart = (unicodedata.normalize(form, "naïve café 한") for form in ("NFC", "NFD"))
    assert plain_name(apart) == composed
    written = tmp_path / apart  # as a Mac's archive brings it
    ingest(StyleStore(written), encoder, [paint(tmp_path / "red.png", "red")], "sync")
    assert folder_of(tmp_path, composed) == folder_of(tmp_path, apart) == find_base(tmp_path, composed) == written
    with pytest.raises(FileExistsError, match="already"):
        copy(tmp_path, composed, composed)
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"engines": {apart: {"engine": "qdrant"}}}), encoding="utf-8")
    assert read_choice(settings, composed).engine == read_choice(settings, apart).engine == "qdrant"
