"""How the pack behaves in a ComfyUI that has not run it yet. Comes before the tests that run nodes, by its file's
name."""

import re
import subprocess

from comfyui import ComfyServer, server_environment
from conftest import PACK_FOLDER
from places import comfyui_path, venv_python

HEAVY = ("diffusers", "transformers", "chromadb", "bm25s", "cv2")


def test_it_loads_under_any_folder_name_without_a_warning(comfy_server: ComfyServer) -> None:
    log = comfy_server.log_text()
    assert PACK_FOLDER in log
    assert not [line for line in log.splitlines() if re.search("warn|error|traceback|failed", line, re.IGNORECASE)]


def test_nothing_heavy_is_imported_before_a_node_runs(comfy_server: ComfyServer) -> None:
    """ComfyUI itself imports transformers and OpenCV's like for its own nodes; what it has without us does not
    count."""
    loaded = set(comfy_server.get_json("/probe/modules"))
    own = {name for name in HEAVY if name in loaded}
    alone = subprocess.run(
        [venv_python(), "-c", _IMPORTS_OF_COMFYUI, str(comfyui_path()), *HEAVY],
        capture_output=True,
        text=True,
        check=True,
        env=server_environment({}),
    )
    assert own <= set(alone.stdout.split())
    assert not own & {"diffusers", "chromadb", "bm25s"}


_IMPORTS_OF_COMFYUI = """
sys.path.insert(0, sys.argv[1])
wanted = sys.argv[2:]
sys.argv = ["main.py", "--cpu"]
import comfy.options
comfy.options.enable_args_parsing()
import utils.install_util, server, nodes
print(*[name for name in wanted if name in sys.modules])
"""
