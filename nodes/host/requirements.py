"""What a node needs before it works: packages that may be missing, and choices that ComfyUI did not check."""

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.version import InvalidVersion, Version

# Import name -> name on PyPI, of what ComfyUI itself does not bring.
OPENCV = {"cv2": "opencv-python-headless"}  # any of OpenCV's packages will do
RETRIEVAL = {"chromadb": "chromadb", "transformers": "transformers", "filelock": "filelock"}
GENERATION = {"diffusers": "diffusers", "transformers": "transformers"}


def require(packages: dict[str, str]) -> None:
    """Raise ImportError in one sentence when a package is not installed, or too old for the pack."""
    missing = [pip for module, pip in packages.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise ImportError(
            f"this node needs {' and '.join(missing)}, which ComfyUI's Python does not have: run "
            f"`python -m pip install {' '.join(missing)}` with that Python and restart ComfyUI."
        )
    for pip in packages.values():
        if versions := _too_old(pip):
            have, needed = versions
            raise ImportError(
                f"this node needs {pip} {needed} or newer, and ComfyUI's Python has {have}: run "
                f'`python -m pip install "{pip}>={needed}"` with that Python and restart ComfyUI.'
            )


@cache
def _too_old(pip: str) -> tuple[str, str] | None:
    """Return (version, lowest version that works) of a package that is older than that."""
    needed = _lowest_versions().get(pip, "0")
    try:
        have = version(pip)
        return (have, needed) if Version(have) < Version(needed) else None
    except (PackageNotFoundError, InvalidVersion):  # another of OpenCV's packages is there, or somebody's own build
        return None


@cache
def _lowest_versions() -> dict[str, str]:
    lines = (Path(__file__).parents[2] / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split(">=") for line in lines if ">=" in line and not line.startswith("#"))


def choose(name: str, value: str, choices: Iterable[str]) -> None:
    """Raise ValueError unless a COMBO's value is one of its choices: ComfyUI 0.3.75 lets any through."""
    if value not in choices:
        raise ValueError(f"{name} '{value}' does not exist: choose one of {', '.join(choices)}.")


def find_mistakes(widgets: Mapping[str, tuple[str | None, Callable[[str], object]]]) -> dict[str, str]:
    """Return input -> sentence of each widget that is wrong.

    widgets: input -> its value, None where it is linked or does not count, and what raises ValueError or OSError.
    """
    sentences = {}
    for name, (value, check) in widgets.items():
        try:
            if value is not None:
                check(value)
        except (ValueError, OSError) as error:
            sentences[name] = str(error)
    return sentences
