"""The program that `own_process.py` starts: answers on its output what it is asked on its input, until that closes."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from .base import StyleIndex

_HERE = Path(__file__).resolve().parent
_PACK = "style_rag"  # under ComfyUI the pack's folder can have any name
__package__ = f"{_PACK}.retrieval.engines"  # PEP 366: a program, too, can then import relatively


def main() -> None:
    # Python puts a program's folder first on its path, where ours would hide the packages they are named after.
    sys.path[:] = [entry for entry in sys.path if Path(entry or os.getcwd()).resolve() != _HERE]
    package = ModuleType(_PACK)
    package.__path__ = [str(_HERE.parents[1])]
    sys.modules[_PACK] = package
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal's programs; the other one ends us
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a package prints is no answer
    _answer_all(answers)


def _answer_all(answers: Any) -> None:
    from chromadb.errors import ChromaError

    from .own_process import receive, send

    opened: dict[int, StyleIndex] = {}
    while (asked := receive(sys.stdin.buffer)) is not None:
        message, arrays = asked
        for number in message["left"]:
            opened.pop(number).close()
        try:
            keys, error = _answer(opened, message, arrays), {}
        except (ChromaError, ValueError, TypeError, OSError, RuntimeError) as failure:
            keys, error = [], {"error": str(failure) or type(failure).__name__, "kind": type(failure).__name__}
        send(answers, error, keys)


def _answer(opened: dict[int, StyleIndex], message: dict[str, Any], arrays: list[np.ndarray]) -> list[np.ndarray]:
    from . import open_index
    from .base import EngineChoice

    call, number = message["call"], message["index"]
    if call == "open":
        choice = EngineChoice(**message["choice"])
        opened[number] = open_index(choice, Path(message["folder"]), message["collection"])
    elif call == "nearest":
        return opened[number].nearest(arrays[0], message["count"])
    elif call == "close":
        opened.pop(number).close()
    else:
        getattr(opened[number], call)(*arrays)
    return []


if __name__ == "__main__":
    main()
