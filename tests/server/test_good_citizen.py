"""How the pack behaves in a ComfyUI that has not run it yet. Named to come before the tests that run nodes."""

import re

from comfyui import ComfyServer
from pack_names import SERVED_FOLDER


def test_it_loads_under_an_awkward_folder_name_without_a_warning(comfy_server: ComfyServer) -> None:
    log = comfy_server.log_text()
    assert SERVED_FOLDER in log
    assert not [line for line in log.splitlines() if re.search("warn|error|traceback|failed", line, re.IGNORECASE)]


def test_nothing_heavy_is_imported_before_a_node_runs(comfy_server: ComfyServer) -> None:
    """ComfyUI imports transformers itself; tests/nodes/test_loading.py shows that we do not."""
    loaded = set(comfy_server.get_json("/probe/modules"))
    assert not loaded & {"diffusers", "chromadb", "cv2"}
