"""CONTRIBUTING.md and what a contributor's tools read, against the repository."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
import yaml
from places import ROOT

FORMS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / ".github").rglob("*.yml"))


def test_every_file_that_it_names_is_there() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:[\w.]+/)+[\w.]*)`|]\(([\w./]+)\)", guide)
    paths = {one or other for one, other in named if "my_" not in one and not re.search(r"VERSION|MyNode", one)}
    assert len(paths) > 15
    assert not sorted(path for path in paths if not (ROOT / path).exists())


def test_the_commit_hook_formats_as_make_check_asks() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    pinned = re.search(r"^ruff==(.+)$", (ROOT / "dev" / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned
    assert [repo["rev"] for repo in hooks["repos"]] == [f"v{pinned[1]}"]


@pytest.mark.parametrize("path", FORMS)
def test_what_github_reads_can_be_read(path: str) -> None:
    assert isinstance(yaml.safe_load((ROOT / path).read_text(encoding="utf-8")), dict)


def test_only_the_version_that_is_tagged_is_published() -> None:
    publish = yaml.safe_load((ROOT / ".github" / "workflows" / "publish.yml").read_text(encoding="utf-8"))
    check = next(step["run"] for step in publish["jobs"]["publish"]["steps"] if "run" in step)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    assert version
    for tag, code in ((f"v{version[1]}", 0), (f"v{version[1]}1", 1)):
        asked = os.environ | {"GITHUB_REF_NAME": tag}
        assert subprocess.run(["bash", "-c", check], cwd=ROOT, env=asked, check=False).returncode == code
