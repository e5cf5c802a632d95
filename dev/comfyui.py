"""A real ComfyUI with the pack in it: `ComfyServer` for the demo and the tests, and `make serve` in the foreground.

Every server has a base directory of its own, so that nothing is shared with a ComfyUI that runs beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
from collections.abc import Mapping, Sequence
from pathlib import Path

from comfy_base import prepare_base
from comfy_client import ComfyClient, ComfyError
from places import WAIT_ASLEEP, WORK, comfyui_path, venv_python
from progress import say

HOST = "127.0.0.1"
START_SECONDS = 300.0
"""A cold disk needs half a minute; the rest is for slow machines."""

STOP_SECONDS = 10.0
SAY_SECONDS = 10.0
TAIL_LINES = 30
FAILED_PACK = ("(IMPORT FAILED)", "Error while calling comfy_entrypoint")


class ComfyServer(ComfyClient):
    """A headless ComfyUI for the time of a `with` block.

    base: its base directory; a temporary one, removed afterwards, when not given.
    port: 0 picks a free one. packs: folder name in custom_nodes to pack folder; this pack alone when not given.
    cpu: run without a GPU; decided by whether one is usable when not given.
    environment, arguments: added to those of the server's process.
    """

    def __init__(
        self,
        base: Path | None = None,
        *,
        port: int = 0,
        packs: Mapping[str, Path] | None = None,
        cpu: bool | None = None,
        environment: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.base = base or Path(tempfile.mkdtemp(prefix="style-rag-"))
        self.is_temporary = base is None
        self.packs = packs
        self.port = port or free_port()
        self.cpu = cpu
        self.environment = dict(environment or {})
        self.arguments = list(arguments)
        self.log_path = self.base / "comfyui.log"
        self.process: subprocess.Popen[bytes] | None = None
        super().__init__(f"http://{HOST}:{self.port}")

    def __enter__(self) -> ComfyServer:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, timeout: float = START_SECONDS) -> None:
        """Returns when ComfyUI answers. Raises ComfyError, with the end of its log, if it or a pack does not load."""
        prepare_base(self.base, self.packs)
        started = time.monotonic()
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.base,
                env=server_environment(self.environment),
                start_new_session=True,
            )
        self._await_answer(started, timeout)
        if any(sign in self.log_text() for sign in FAILED_PACK):
            raise ComfyError(f"ComfyUI could not load a node pack. Its log:\n{self.log_tail()}")
        say(f"ComfyUI answers at {self.base_url} after {time.monotonic() - started:.0f} s.")

    def command(self) -> list[str]:
        return server_command(self.base, self.port, self.cpu, self.arguments)

    def _await_answer(self, started: float, timeout: float) -> None:
        said = started
        say(f"Starting ComfyUI at {self.base_url} (10 to 40 s) ...")
        while time.monotonic() - started < timeout:
            self.check_alive()
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                self.request("/object_info")
                return
            if time.monotonic() - said > SAY_SECONDS:
                said = time.monotonic()
                say(f"    still starting after {said - started:.0f} s")
            time.sleep(0.2)
        raise ComfyError(f"ComfyUI did not answer within {timeout:.0f} s. Its log ends with:\n{self.log_tail()}")

    def check_alive(self) -> None:
        if self.process is None:
            raise ComfyError("ComfyUI has not been started.")
        code = self.process.poll()
        if code is not None:
            raise ComfyError(f"ComfyUI ended by itself (exit code {code}). Its log ends with:\n{self.log_tail()}")

    def stop(self) -> None:
        """Ends the server and whatever it started, and removes a temporary base directory."""
        if self.process is not None:
            end_group(self.process)
            self.process = None
        if self.is_temporary:
            shutil.rmtree(self.base, ignore_errors=True)

    def log_text(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.exists() else ""

    def log_tail(self) -> str:
        return "\n".join(f"    {line}" for line in self.log_text().splitlines()[-TAIL_LINES:])


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Asks a process that leads a group to end, and kills the group if it has not within ten seconds."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if os.name != "nt":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what the server itself started, if anything is left


def server_command(base: Path, port: int, cpu: bool | None = None, arguments: Sequence[str] = ()) -> list[str]:
    """How ComfyUI is started. The database stays in memory: on disk it would be shared between all base directories."""
    use_cpu = not has_cuda_gpu() if cpu is None else cpu
    return [
        str(venv_python()),
        str(comfyui_path() / "main.py"),
        *(["--cpu"] if use_cpu else []),
        *("--listen", HOST, "--port", str(port), "--disable-auto-launch", "--disable-api-nodes"),
        *("--base-directory", str(base), "--database-url", "sqlite:///:memory:"),
        *arguments,
    ]


def server_environment(added: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without what would change the modules that the server imports.

    Its threads wait asleep, unless the environment says otherwise: other programs are at work beside it.
    """
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return {**WAIT_ASLEEP, **kept, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", **added}


def has_cuda_gpu() -> bool:
    """Whether torch can use a CUDA GPU. torch is asked only where a driver is installed, since that takes seconds."""
    if not shutil.which("nvidia-smi"):
        return False
    question = "import torch, sys; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([venv_python(), "-c", question], capture_output=True, check=False).returncode == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def serve(port: int, base: Path) -> None:
    """Becomes ComfyUI: this process is replaced, so that Ctrl-C reaches it and its exit code is the command's."""
    if port and is_taken(port):
        sys.exit(f"Port {port} is used by another program. Choose another one: make serve PORT={free_port()}")
    port = port or free_port()
    prepare_base(base)
    say(f"ComfyUI with the pack, in {base}: open http://{HOST}:{port} once it says so. Ctrl-C stops it.")
    command = server_command(base, port, arguments=["--preview-method", "auto"])
    os.execve(command[0], command, server_environment({}))


def main() -> None:
    parser = argparse.ArgumentParser(description="Run ComfyUI with the pack in the foreground.")
    parser.add_argument("--port", type=int, default=8188, help="0 picks a free one (default: 8188)")
    parser.add_argument(
        "--base", type=Path, default=WORK / "base", help="ComfyUI's base directory: models, input, output, user"
    )
    chosen = parser.parse_args()
    serve(chosen.port, chosen.base.expanduser().resolve())


if __name__ == "__main__":
    main()
