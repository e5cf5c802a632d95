"""A model's folder can name Python code to run. None is run, and nobody is asked whether it may be."""

import ast
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import ROOT
from test_sentences import FOLDER

SOURCES = [
    path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0][0] != "." and "tests" not in path.parts
]
CODE = """
from pathlib import Path
Path({mark!r}).write_text("run")
from transformers import BertConfig, BertModel, BertTokenizerFast
class OwnConfig(BertConfig): model_type = "own"
class OwnModel(BertModel): config_class = OwnConfig
class OwnTokenizer(BertTokenizerFast): pass
"""
CONFIG = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
TOKENIZER = {"AutoTokenizer": ["own.OwnTokenizer", None]}
OPEN = """
import importlib.util, sys
from pathlib import Path
root, kind, folder = sys.argv[1:]
spec = importlib.util.spec_from_file_location("style_pack", root + "/__init__.py", submodule_search_locations=[root])
sys.modules["style_pack"] = importlib.util.module_from_spec(spec)
from style_pack.retrieval.encoders.encoder import StyleEncoder, load_encoder
from style_pack.retrieval.encoders.sentences import SentenceEncoder
try:
    if kind == "sentence":
        SentenceEncoder("own", Path(folder)).encode_texts(["a castle"])
    elif kind == "encoder":
        StyleEncoder("own", Path(folder), Path(folder)).encode_texts(["a castle"])
    else:
        load_encoder("own", Path(folder))
except ValueError as error:
    print("REFUSED:", error)
"""


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, ast.expr]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "from_pretrained":
            yield node, node.func.value


def diffusers_names(tree: ast.AST) -> set[str]:
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return {name.asname or name.name for node in imports if node.module == "diffusers" for name in node.names}


def test_every_from_pretrained_of_transformers_refuses_remote_code() -> None:
    """diffusers' models run none, and do not know the argument."""
    found, without = 0, []
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for call, owner in calls(tree):
            if isinstance(owner, ast.Name) and owner.id in diffusers_names(tree):
                continue
            found += 1
            values = [word.value for word in call.keywords if word.arg == "trust_remote_code"]
            if not (values and isinstance(values[0], ast.Constant) and values[0].value is False):
                without.append(f"{path.relative_to(ROOT)}:{call.lineno}")
    assert found > 10
    assert without == []


def with_code(folder: Path, mark: Path, file: str, auto_map: dict[str, object], model_type: str | None) -> Path:
    """all-MiniLM-L6-v2, which asks for its own code in one of its files."""
    shutil.copytree(FOLDER, folder)
    (folder / "own.py").write_text(CODE.format(mark=str(mark)), encoding="utf-8")
    for name, changes in ((file, {"auto_map": auto_map}), ("config.json", {"model_type": model_type})):
        found = json.loads((folder / name).read_text(encoding="utf-8"))
        changes = {key: value for key, value in changes.items() if value}
        (folder / name).write_text(json.dumps(found | changes), encoding="utf-8")
    return folder


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize(
    ("kind", "file", "auto_map", "model_type"),
    [
        ("sentence", "config.json", CONFIG, "own"),
        ("sentence", "config.json", CONFIG, None),
        ("sentence", "tokenizer_config.json", TOKENIZER, None),
        ("encoder", "config.json", CONFIG, "clip"),
        ("loader", "config.json", CONFIG, "own"),
    ],
)
def test_a_folder_with_code_of_its_own_is_refused_and_nothing_asked(
    tmp_path: Path, kind: str, file: str, auto_map: dict[str, object], model_type: str | None, terminal: bool
) -> None:
    mark = tmp_path / "was run"
    folder = with_code(tmp_path / "own", mark, file, auto_map, model_type)
    command = [sys.executable, "-c", OPEN, str(ROOT), kind, str(folder)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    ours, theirs = pty.openpty() if terminal else (None, subprocess.DEVNULL)
    if ours is not None:
        os.write(ours, b"y\n" * 4)  # who is asked would say yes
    done = subprocess.run(
        command, stdin=theirs, capture_output=True, text=True, check=False, env=environment, timeout=300
    )
    assert "REFUSED: " in done.stdout, done.stderr
    (sentence,) = [line for line in done.stdout.splitlines() if line.startswith("REFUSED: ")]
    assert f"brings its own code ({file} says auto_map), which is not run" in sentence
    assert "[y/N]" not in done.stdout + done.stderr
    assert not mark.exists()
    assert not list((tmp_path / "hub").rglob("own.py"))


def test_the_same_folder_without_it_is_read(tmp_path: Path) -> None:
    from style_pack.retrieval.encoders.sentences import SentenceEncoder

    assert SentenceEncoder("plain", FOLDER).encode_texts(["a castle"]).shape == (1, 384)
