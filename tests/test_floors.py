"""The plan of the house: a room imports only from the rooms named for it, and no file imports in a circle."""

import ast
from graphlib import TopologicalSorter

from places import ROOT

SHARED = "model_files retrieval.records retrieval.disk retrieval.pictures retrieval.encoders retrieval.store"
# Room, a folder or a file of its own kind in one, -> the rooms that it may import from. The lowest floor comes first.
FLOORS = {
    "model_files": "",
    "retrieval.disk": "",
    "retrieval.records": "",
    "retrieval.engines": "retrieval.disk",
    "retrieval.pictures": "retrieval.records",
    "retrieval.encoders": "model_files",
    "retrieval.view": "retrieval.records retrieval.disk retrieval.engines",
    "retrieval.database": "retrieval.records retrieval.disk retrieval.engines retrieval.view",
    "retrieval.store": "retrieval.records retrieval.disk retrieval.engines retrieval.pictures retrieval.view "
    "retrieval.database",
    "retrieval.ranking": "retrieval.records retrieval.encoders retrieval.store",
    "retrieval.syncing": "retrieval.records retrieval.pictures retrieval.encoders retrieval.store retrieval.ranking",
    "retrieval": "retrieval.records retrieval.pictures retrieval.encoders retrieval.view retrieval.store "
    "retrieval.ranking retrieval.syncing",
    "generation.schedulers": "",
    "generation.settings": "generation.schedulers",
    "generation.edges": "generation.settings",
    "generation.layers": "",
    "generation.device": "",
    "generation.memory_ladder": "generation.device",
    "generation.loading": "model_files generation.layers generation.device",
    "generation.conditioning": "model_files generation.settings generation.layers generation.loading",
    "generation": "generation.schedulers generation.settings generation.layers generation.device "
    "generation.memory_ladder generation.loading generation.conditioning",
    "command_line": f"{SHARED} retrieval.view retrieval.syncing retrieval",
    "nodes.host": f"{SHARED} retrieval.engines retrieval.database generation.layers generation.device "
    "generation.loading generation",
    "nodes.routes": f"{SHARED} retrieval.engines retrieval.view retrieval.database retrieval.syncing retrieval "
    "generation.settings nodes.host",
    "nodes": f"{SHARED} retrieval.view retrieval.ranking retrieval.syncing retrieval generation.schedulers "
    "generation.settings generation.edges generation.layers generation.loading generation.conditioning generation "
    "nodes.host nodes.routes",
}
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in {room.partition(".")[0] for room in FLOORS}
    for path in (ROOT / folder).rglob("*.py")
}


def imported_by(name: str) -> set[str]:
    """The files that a file imports, also inside functions and for types only."""
    path, found = FILES[name], set()
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.ImportFrom) and statement.level:
            base = [*package[: len(package) - statement.level + 1], *(statement.module or "").split(".")]
            target = ".".join(filter(None, base))
            named = (f"{target}.{alias.name}" for alias in statement.names)
            found |= {each if each in FILES else target for each in named}
    return found


def room_of(name: str) -> str:
    return max((room for room in FLOORS if f"{name}.".startswith(f"{room}.")), key=len)


def test_every_room_imports_only_from_the_rooms_below_it() -> None:
    upward = [
        f"{name} -> {other}"
        for name in FILES
        for other in imported_by(name)
        if room_of(other) not in (room_of(name), *FLOORS[room_of(name)].split())
    ]
    assert not upward


def test_a_room_is_below_every_room_that_may_import_from_it() -> None:
    order = list(FLOORS)
    assert all(order.index(below) < order.index(room) for room in FLOORS for below in FLOORS[room].split())


def test_no_file_imports_in_a_circle() -> None:
    assert len(list(TopologicalSorter({name: imported_by(name) for name in FILES}).static_order())) >= len(FILES)


def body_length(function: ast.FunctionDef) -> int:
    """The lines of a function without its name, its parameters and its docstring."""
    first, *others = function.body
    begins = others[0] if others and isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) else first
    return (function.end_lineno or 0) - begins.lineno + 1


def test_a_node_converts_makes_one_call_and_converts() -> None:
    nodes = [path for path in (ROOT / "nodes").glob("*.py") if "io.ComfyNode):" in path.read_text(encoding="utf-8")]
    bodies = {
        path.stem: body_length(each)
        for path in nodes
        for each in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(each, ast.FunctionDef) and each.name == "execute"
    }
    assert len(bodies) == 7
    assert {name: lines for name, lines in bodies.items() if lines > 12} == {}


def test_the_installed_package_has_every_room_that_does_without_comfyui() -> None:
    rooms = {name for name, path in FILES.items() if path.name == "__init__.py" and not name.startswith("nodes")}
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert not [room for room in rooms if f'"style_rag.{room}",' not in declared]
