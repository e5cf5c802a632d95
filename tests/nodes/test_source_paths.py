"""What a workflow may name as a source while the server listens to a network."""

import json
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
from style_pack.retrieval.pictures.finder import find_pictures

Nodes = dict[str, type]


@pytest.fixture
def sources(comfy_nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    package = comfy_nodes["StyleKnowledgeBase"].__module__.rpartition(".")[0]
    found = sys.modules[f"{package}.host.source_paths"]
    for folder in ("input", "elsewhere"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(found.folder_paths, "get_input_directory", lambda: str(tmp_path / "input"))
    monkeypatch.setattr(found.paths, "system_user_directory", lambda: str(tmp_path))
    monkeypatch.setattr(found.args, "listen", "0.0.0.0")
    return found


def test_dots_and_links_lead_no_source_out_of_the_folders(sources: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "input" / "link").symlink_to(tmp_path / "elsewhere")
    for source in ("../elsewhere", "link", str(tmp_path / "elsewhere")):
        with pytest.raises(PermissionError, match="lies outside ComfyUI's folders"):
            sources.resolve_sources(source)


@pytest.mark.parametrize(
    "source", [r"\\host\share", "//host/share", r"/\host\share", r"\/host/share", r"\\?\C:\x", r"\\.\nul"]
)
def test_another_host_is_refused_before_it_is_looked_at(
    sources: ModuleType, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setattr(sources.Path, "exists", lambda _: pytest.fail("it was looked at"))
    with pytest.raises(PermissionError, match="names another host, and this server listens on 0"):
        sources.resolve_sources(source)


@pytest.mark.parametrize("source", ["a\ud800b", "https://x.org/\udcff.png"])
def test_half_a_character_is_named(sources: ModuleType, source: str) -> None:
    with pytest.raises(ValueError, match=r"source '.*\?.*' holds half a character \(a lone surrogate\)"):
        sources.check_sources(source)


def test_a_folder_that_the_owner_listed_is_read(sources: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({"allow_folders": [str(tmp_path / "elsewhere")]}))
    assert sources.resolve_sources("../elsewhere") == [(tmp_path / "elsewhere").resolve()]
    (tmp_path / "settings.json").write_text('{"allow_folders": ["relative"]}')
    with pytest.raises(ValueError, match="write a list of absolute paths"):
        sources.resolve_sources("../elsewhere")


def test_a_link_to_a_file_outside_is_refused_with_its_folder(sources: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "secret.png").write_bytes(b"x")
    (tmp_path / "input" / "mine").mkdir()
    assert sources.resolve_sources("mine") == [(tmp_path / "input" / "mine").resolve()]
    (tmp_path / "input" / "mine" / "link.png").symlink_to(tmp_path / "elsewhere" / "secret.png")
    with pytest.raises(PermissionError, match=r"holds link\.png, a link out of the folders"):
        sources.resolve_sources("mine")


@pytest.mark.parametrize("place", ["mine/link", "mine/kept/link"])
def test_a_link_to_a_folder_outside_is_refused_wherever_it_lies(
    sources: ModuleType, tmp_path: Path, place: str
) -> None:
    (tmp_path / "input" / "mine").mkdir()
    (tmp_path / "input" / "shelf").mkdir()
    (tmp_path / "input" / "mine" / "kept").symlink_to(tmp_path / "input" / "shelf")
    (tmp_path / "input" / "mine" / "round").symlink_to(tmp_path / "input" / "mine")
    assert sources.resolve_sources("mine") == [(tmp_path / "input" / "mine").resolve()]
    (tmp_path / "input" / place).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="holds link, a link out of the folders"):
        sources.resolve_sources("mine")


@pytest.mark.parametrize("suffix", [".json", ".txt"])
def test_a_link_to_words_outside_is_refused_with_the_picture_beside_it(
    sources: ModuleType, tmp_path: Path, suffix: str
) -> None:
    (tmp_path / "elsewhere" / "secret").write_text('{"caption": "secret"}')
    (tmp_path / "input" / "mine.png").write_bytes(b"x")
    (tmp_path / "input" / "other.txt").symlink_to(tmp_path / "elsewhere" / "secret")  # of another picture
    assert sources.resolve_sources("mine.png") == [(tmp_path / "input" / "mine.png").resolve()]
    (tmp_path / "input" / "mine").with_suffix(suffix).symlink_to(tmp_path / "elsewhere" / "secret")
    with pytest.raises(PermissionError, match=rf"mine\.png' has beside it mine\{suffix}, a link out of the folders"):
        sources.resolve_sources("mine.png")


def test_a_server_on_a_network_does_not_tell_what_lies_elsewhere(sources: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "input" / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "input" / "round").symlink_to(tmp_path / "input" / "round")
    said = []
    for source in ("elsewhere", "nowhere"):
        with pytest.raises(PermissionError) as refused:
            sources.resolve_sources(f"../{source}")
        said.append(str(refused.value).replace(source, ""))
    assert said[0] == said[1]
    with pytest.raises(PermissionError, match="lies outside ComfyUI's folders"):
        sources.resolve_sources("dangling")
    for missing in ("nothing", "round", "~nobody at all"):
        with pytest.raises(FileNotFoundError, match="does not exist"):
            sources.resolve_sources(missing)


@pytest.mark.parametrize("source", ["con", "styles/NUL.png", "com1.txt", "C:aux", r"x\lpt9"])
def test_a_device_is_refused_before_it_is_looked_at(
    sources: ModuleType, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setattr(sources.Path, "exists", lambda _: pytest.fail("it was looked at"))
    with pytest.raises(PermissionError, match="names a device of Windows"):
        sources.resolve_sources(source)


def test_a_pipe_is_no_source(sources: ModuleType, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "input" / "pipe.png")
    with pytest.raises(ValueError, match=r"source pipe\.png is not a picture file"):
        sources.check_sources("pipe.png")
    with pytest.raises(ValueError, match=r"source pipe\.png is not a picture file"):
        list(find_pictures(sources.resolve_sources("pipe.png")))


def test_to_check_sources_looks_through_no_folder(sources: ModuleType, tmp_path: Path) -> None:
    """ComfyUI checks inputs on its event loop, where everyone else waits."""
    for number in range(1500):
        (tmp_path / "input" / f"{number}.md").touch()
    sources.check_sources("../input")
    with pytest.raises(ValueError, match="holds no picture"):
        list(find_pictures([tmp_path / "input"]))
