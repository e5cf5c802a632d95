"""The tab and the graph agree: a graph that is run again sees what was changed meanwhile, and else runs nothing."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from comfyui import ComfyServer
from http_calls import ENCODER, add, call, make_picture, send_json
from style_pack.retrieval.store.origin import read_state
from test_shared_knowledge_base import answer_of, start_command

Json = dict[str, Any]
KB, SEARCH = "2", "3"
NUMBERS = itertools.count()


class Graph:
    """Style Knowledge Base and Retrieve Style, with a folder of two pictures of its own: one, two."""

    def __init__(self, server: ComfyServer, name: str) -> None:
        self.server, self.name = server, name
        self.folder = server.base / "input" / name
        self.folder.mkdir(parents=True)
        for seed, word in ((2001, "one"), (2002, "two")):
            self.put(seed, word)
        self.inputs: Json = {"name": name, "sources": name, "encoder": ENCODER, "update": "sync"}

    def put(self, seed: int, word: str) -> None:
        (self.folder / f"{word}.png").write_bytes(make_picture(seed))
        (self.folder / f"{word}.txt").write_text(word)

    def run(self) -> tuple[list[str], set[str]]:
        """The captions that the search shows, all of them, best first, and which nodes ran."""
        search = {"knowledge_base": [KB, 0], "prompt": "one", "strategy": "semantic", "top_k": 16, "min_score": 0.0,
                  "diversity": 0.0, "filter": ""}  # fmt: skip
        api = {
            "1": {"class_type": "PrimitiveString", "inputs": {"value": self.name}},
            KB: {"class_type": "StyleKnowledgeBase", "inputs": self.inputs},
            SEARCH: {"class_type": "RetrieveStyle", "inputs": search},
            "4": {"class_type": "PreviewAny", "inputs": {"source": [SEARCH, 3]}},
        }
        entry = self.server.wait(self.server.post_prompt(api, client_id="freshness"))
        assert entry["status"]["status_str"] == "success", entry["status"]
        cached = next(data["nodes"] for kind, data in entry["status"]["messages"] if kind == "execution_cached")
        matches = json.loads(entry["outputs"]["4"]["text"][0])
        return [match["caption"] for match in matches if match["match"]], {KB, SEARCH} - set(cached)

    def ids(self) -> dict[str, str]:
        """Caption -> id."""
        return {
            style["caption"]: style["id"] for style in call(self.server, "GET", f"{self.name}/styles").json["styles"]
        }


@pytest.fixture
def graph(comfy_server: ComfyServer) -> Graph:
    graph = Graph(comfy_server, f"fresh-{next(NUMBERS)}")
    captions, ran = graph.run()
    assert (sorted(captions), ran) == (["one", "two"], {KB, SEARCH})
    assert graph.run()[1] == set()
    return graph


def edit(graph: Graph) -> None:
    send_json(graph.server, "PATCH", f"{graph.name}/styles/{graph.ids()['two']}", {"caption": "zwei"})


def post(graph: Graph) -> None:
    add(graph.server, graph.name, [2003], "three")


def delete(graph: Graph) -> None:
    call(graph.server, "DELETE", f"{graph.name}/styles/{graph.ids()['two']}")


def put_file(graph: Graph) -> None:
    graph.put(2004, "four")


def take_file(graph: Graph) -> None:
    for suffix in (".png", ".txt"):
        (graph.folder / f"two{suffix}").unlink()


def change_sidecar(graph: Graph) -> None:
    (graph.folder / "two.txt").write_text("deux")


def change_picture(graph: Graph) -> None:
    (graph.folder / "two.png").write_bytes(make_picture(2005))


def command(graph: Graph, *arguments: str) -> None:
    root = graph.server.base / "user" / "__style_rag"
    folder = graph.server.base / "commands"
    folder.mkdir(exist_ok=True)
    answer_of(start_command(folder, root, *arguments))


def ingest_by_command(graph: Graph) -> None:
    more = graph.server.base / f"more-{graph.name}"
    more.mkdir()
    (more / "five.png").write_bytes(make_picture(2006))
    (more / "five.txt").write_text("five")
    command(graph, "ingest", graph.name, str(more), "--update", "add", "--encoder", ENCODER)


def remove_by_command(graph: Graph) -> None:
    command(graph, "remove", graph.name, graph.ids()["two"])


CHANGES: dict[Callable[[Graph], None], list[str]] = {
    edit: ["one", "zwei"],
    post: ["one", "three", "two"],
    delete: ["one"],
    remove_by_command: ["one"],
    put_file: ["four", "one", "two"],
    take_file: ["one"],
    change_sidecar: ["deux", "one"],
    change_picture: ["one", "two"],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen_by_the_next_run_and_by_that_alone(graph: Graph, change: Callable[[Graph], None]) -> None:
    change(graph)
    captions, ran = graph.run()
    assert (sorted(captions), ran) == (CHANGES[change], {KB, SEARCH})
    assert graph.run() == (captions, set())


def test_what_was_removed_stays_away_until_somebody_wants_it_back(graph: Graph) -> None:
    two = graph.ids()["two"]
    delete(graph)
    put_file(graph)
    assert sorted(graph.run()[0]) == ["four", "one"]
    call(graph.server, "POST", f"{graph.name}/styles/{two}/restore")
    assert sorted(graph.run()[0]) == ["four", "one", "two"]
    assert graph.run()[1] == set()
    delete(graph)
    add(graph.server, graph.name, [2002], "two again")
    assert sorted(graph.run()[0]) == ["four", "one", "two again"]
    call(graph.server, "DELETE", f"{graph.name}/styles/{two}")
    change_picture(graph)
    assert sorted(graph.run()[0]) == ["four", "one", "two"]


@pytest.mark.parametrize("linked", ["name", "sources"])
def test_so_it_is_when_a_widget_is_linked(graph: Graph, linked: str) -> None:
    graph.inputs[linked] = ["1", 0]
    graph.run()
    assert graph.run()[1] == set()
    for change, expected in ((edit, ["one", "zwei"]), (put_file, ["four", "one", "zwei"])):
        change(graph)
        captions, ran = graph.run()
        assert (sorted(captions), ran) == (expected, {KB, SEARCH})
        assert graph.run()[1] == set()


def test_so_it_is_when_the_knowledge_base_is_only_opened(graph: Graph) -> None:
    graph.inputs |= {"sources": "", "update": "open"}
    graph.run()
    assert graph.run()[1] == set()
    for change, expected in ((edit, ["one", "zwei"]), (post, ["one", "three", "zwei"])):
        change(graph)
        captions, ran = graph.run()
        assert (sorted(captions), ran) == (expected, {KB, SEARCH})
        assert graph.run()[1] == set()
    call(graph.server, "DELETE", f"{graph.name}/styles/{graph.ids()['three']}")
    assert (sorted(graph.run()[0]), graph.run()[1]) == (["one", "zwei"], set())


def test_the_command_line_in_another_process_is_seen(graph: Graph) -> None:
    graph.inputs["update"] = "add"
    graph.run()
    ingest_by_command(graph)
    captions, ran = graph.run()
    assert (sorted(captions), ran) == (["five", "one", "two"], {KB, SEARCH})
    assert graph.run()[1] == set()


def test_another_knowledge_base_under_the_same_name_is_seen(graph: Graph, tmp_path: Path) -> None:
    """Its revision may well be that of the old one."""
    states = {read_state(tmp_path)}
    for name in ("a", "b"):
        add(graph.server, f"{graph.name}-{name}", [2007 + len(states)], name)
        states.add(read_state(graph.server.base / "user" / "__style_rag" / f"{graph.name}-{name}"))
    assert len(states) == 3
