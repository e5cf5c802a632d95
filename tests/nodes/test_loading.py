"""What loading the pack imports, in a process of its own that has ComfyUI but nothing of ours."""

import subprocess
from pathlib import Path

from comfy_base import prepare_base
from comfyui import server_environment
from places import ROOT, comfyui_path, venv_python

_LOAD = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
base, pack = sys.argv[2:]
sys.argv = ["main.py"]
from comfy.cli_args import args
args.cpu, args.base_directory = True, base
import utils.install_util, server, nodes
for name in [name for name in sys.modules if name.partition(".")[0] == "transformers"]:
    del sys.modules[name]
before = set(sys.modules)
assert asyncio.run(nodes.load_custom_node(pack))
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""


def test_loading_imports_neither_diffusers_transformers_nor_chromadb(tmp_path: Path) -> None:
    prepare_base(tmp_path, {"pack": ROOT})
    command = [venv_python(), "-c", _LOAD, str(comfyui_path()), str(tmp_path), str(tmp_path / "custom_nodes" / "pack")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=server_environment({}))
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.splitlines()[-1].split())
    assert not imported & {"diffusers", "transformers", "chromadb", "cv2", "huggingface_hub", "accelerate"}
