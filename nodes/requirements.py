"""What a node needs before it works: packages that may be missing, and choices that ComfyUI did not check."""

import importlib.util
from collections.abc import Iterable

# Import name -> name on PyPI, of what ComfyUI itself does not bring.
OPENCV = {"cv2": "opencv-python-headless"}  # any of OpenCV's packages will do
RETRIEVAL = {"chromadb": "chromadb", "transformers": "transformers", "filelock": "filelock"}
GENERATION = {"diffusers": "diffusers", "transformers": "transformers"}


def require(packages: dict[str, str]) -> None:
    """Raise ImportError in one sentence when a package is not installed."""
    missing = [pip for module, pip in packages.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise ImportError(
            f"this node needs {' and '.join(missing)}, which ComfyUI's Python does not have: run "
            f"`python -m pip install {' '.join(missing)}` with that Python and restart ComfyUI."
        )


def choose(name: str, value: str, choices: Iterable[str]) -> None:
    """Raise ValueError unless a COMBO's value is one of its choices: ComfyUI 0.3.75 lets any through."""
    if value not in choices:
        raise ValueError(f"{name} '{value}' does not exist: choose one of {', '.join(choices)}.")
