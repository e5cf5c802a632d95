"""README, docs/ and the help pages: their links lead somewhere, and what they list is what there is."""

from __future__ import annotations

import argparse
import ast
import re
from pathlib import Path

import pytest
from places import ROOT
from style_pack.command_line.__main__ import build_parser

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "web" / "docs").glob("*.md")),
]
NOT_HANDED_OUT = ("tests", "dev", "training", "benchmarks", ".ci", ".github")
"""Folders that the registry's copy lacks, by .comfyignore."""

ids = [page.relative_to(ROOT).as_posix() for page in PAGES]


def links(page: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_link_leads_to_a_file_that_is_handed_out(page: Path) -> None:
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert target.relative_to(ROOT).parts[0] not in NOT_HANDED_OUT, link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_no_page_for_users_points_into_the_tests(page: Path) -> None:
    if page.name != "CONTRIBUTING.md":
        assert "tests/" not in page.read_text(encoding="utf-8")


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            ahead += [(page.parent / link.partition("#")[0]).resolve() for link in links(page)]
    assert not set((ROOT / "docs").rglob("*.md")) - reached


def test_the_command_line_page_has_every_command_and_option() -> None:
    page = (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")
    [commands] = [a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    assert set(re.findall(r"^\| `([a-z]+) NAME", page, re.MULTILINE)) == set(commands.choices)
    options = {option for command in commands.choices.values() for option in command._option_string_actions}
    assert set(re.findall(r"`(--[a-z-]+)", page)) == options - {"-h"}


def test_the_store_that_the_engines_page_shows_is_the_one_that_is_tested() -> None:
    [shown] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "engines.md").read_text("utf-8"), re.DOTALL)
    tested = ast.parse((ROOT / "tests" / "retrieval" / "engine_factories.py").read_text(encoding="utf-8"))
    [one] = [node for node in ast.parse(shown).body if isinstance(node, ast.FunctionDef)]
    [other] = [node for node in tested.body if isinstance(node, ast.FunctionDef) and node.name == one.name]
    assert [argument.arg for argument in one.args.args] == [argument.arg for argument in other.args.args]
    assert [ast.dump(line) for line in one.body] == [ast.dump(line) for line in other.body]


def test_every_picture_of_the_docs_is_shown_and_the_grids_are_small() -> None:
    pictures = {path.name for path in (ROOT / "docs").iterdir() if path.suffix in (".png", ".jpg")}
    shown = {Path(link).name for page in PAGES for link in links(page)}
    assert pictures <= shown
    assert (ROOT / "docs" / "strengths.jpg").stat().st_size <= 300_000
    assert (ROOT / "docs" / "gallery.jpg").stat().st_size <= 600_000


def test_the_changelog_begins_with_the_version_that_the_project_states() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    [version] = re.findall(r'^version = "(.+)"$', project, re.MULTILINE)
    titles = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", titles[0])
