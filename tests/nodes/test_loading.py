"""What loading the pack imports, in a process of its own that has ComfyUI but nothing of ours."""

import subprocess
from pathlib import Path

from comfy_base import prepare_base
from comfyui import server_environment
from places import ROOT, comfyui_path, venv_python

_LOAD = """
import asyncio, sys, time
sys.path.insert(0, sys.argv[1])
base, pack = sys.argv[2:]
sys.argv = ["main.py"]
from comfy.cli_args import args
args.cpu, args.base_directory = True, base
import utils.install_util, server, nodes
for name in [name for name in sys.modules if name.partition(".")[0] == "transformers"]:
    del sys.modules[name]
before, start = set(sys.modules), time.process_time()
assert asyncio.run(nodes.load_custom_node(pack))
seconds = time.process_time() - start
imported = sorted({name.partition(".")[0] for name in set(sys.modules) - before})
import argparse, inspect
text, start = inspect.getsource(argparse), time.process_time()
for _ in range(REPEATS):
    compile(text, "argparse.py", "exec")
print(seconds, time.process_time() - start, *imported)
"""
_REPEATS = 37
"""How often Python compiles its argparse in 0.3 seconds of an idle core where loading takes 0.18."""


def load_once(folder: Path) -> tuple[float, set[str]]:
    """Processor time that loading took, as a share of the yardstick's in that process, and what it imported."""
    prepare_base(folder, {"pack": ROOT})
    command = [
        venv_python(),
        "-c",
        _LOAD.replace("REPEATS", str(_REPEATS)),
        str(comfyui_path()),
        str(folder),
        str(folder / "custom_nodes" / "pack"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=server_environment({}))
    assert done.returncode == 0, done.stderr
    seconds, yardstick, *imported = done.stdout.splitlines()[-1].split()
    return float(seconds) / float(yardstick), set(imported)


def test_loading_imports_neither_diffusers_transformers_nor_chromadb(tmp_path: Path) -> None:
    _, imported = load_once(tmp_path)
    assert not imported & {"diffusers", "transformers", "chromadb", "cv2", "huggingface_hub", "accelerate"}


def test_it_adds_at_most_three_tenths_of_a_second_to_the_start(tmp_path: Path) -> None:
    """Of processor time on an idle core: where others share it, what is done there takes longer, the yardstick too.

    The least of three: a first process may still compile the modules, and no process takes less than the work needs.
    """
    assert min(load_once(tmp_path / f"start {n}")[0] for n in range(3)) <= 1
