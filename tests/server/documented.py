"""The commands that the documentation's scripts name in their first lines."""

import ast
import shlex
from collections.abc import Mapping
from pathlib import Path

from places import ROOT


def documented_command(script: Path, values: Mapping[str, object]) -> list[str]:
    """The arguments, the script first, of the line in which a script's docstring says how to run it.

    values: what takes the place of its words; a word that has none stays.
    """
    lines = (ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or "").splitlines()
    [line] = [line for line in lines if line.startswith("python docs/")]
    words = [word.strip("[]") for word in shlex.split(line.removeprefix("python "))]
    assert not (missing := set(values) - set(words)), missing
    assert words[0] == str(script.relative_to(ROOT))
    return [str(ROOT / words[0]), *(str(values.get(word, word)) for word in words[1:])]
