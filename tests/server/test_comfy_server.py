"""dev/comfyui.py and dev/comfy_base.py, which run ComfyUI for the demo and the tests."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from comfy_base import place_pack, prepare_base
from comfy_client import ComfyError
from comfyui import HOST, ComfyServer
from places import ROOT


def test_a_server_that_ends_at_once_is_reported_with_its_log():
    server = ComfyServer(cpu=True, arguments=["--no-such-flag"])
    with pytest.raises(ComfyError, match="(?s)ended by itself.*unrecognized arguments: --no-such-flag"), server:
        pass
    assert not server.base.exists()


def test_serve_names_another_port_when_the_chosen_one_is_taken(tmp_path: Path):
    with socket.create_server((HOST, 0)) as other:
        port = str(other.getsockname()[1])
        command = [sys.executable, ROOT / "dev" / "comfyui.py", "--port", port, "--base", tmp_path]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith(f"Port {port} is used by another program. Choose another one: make serve PORT=")


def test_a_pack_that_is_there_under_another_name_is_not_placed_again(tmp_path: Path):
    place_pack(tmp_path, "first name", ROOT)
    place_pack(tmp_path, "second name", ROOT)
    assert [entry.name for entry in tmp_path.iterdir()] == ["first name"]


def test_a_copy_of_the_pack_in_the_way_is_named(tmp_path: Path):
    (tmp_path / "style-rag").mkdir()
    with pytest.raises(FileExistsError, match="style-rag is another copy of the pack; move it away"):
        place_pack(tmp_path, "style-rag", ROOT)


def test_settings_of_a_user_are_kept(tmp_path: Path):
    settings = tmp_path / "user" / "default" / "comfy.settings.json"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"Comfy.Locale": "de"}')
    prepare_base(tmp_path)
    assert settings.read_text() == '{"Comfy.Locale": "de"}'
