"""Says which package a node misses, so that the pack itself loads without any of them."""

import importlib.util

# Import name -> name on PyPI, of what ComfyUI itself does not bring.
OPENCV = {"cv2": "opencv-python-headless"}  # any of OpenCV's packages will do
RETRIEVAL = {"chromadb": "chromadb", "transformers": "transformers", "bm25s": "bm25s"}
GENERATION = {"diffusers": "diffusers", "transformers": "transformers"}


def require(packages: dict[str, str]) -> None:
    """Raise ImportError in one sentence when a package is not installed."""
    missing = [pip for module, pip in packages.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise ImportError(
            f"this node needs {' and '.join(missing)}, which ComfyUI's Python does not have: run "
            f"`python -m pip install {' '.join(missing)}` with that Python and restart ComfyUI."
        )
