"""The benchmarks themselves, as small as they go: that they still run on the present code, and what must hold of it."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from places import ROOT

Json = dict[str, Any]


def run(script: str, *arguments: object) -> list[Json]:
    """The JSON objects that a benchmark prints. How long it takes is no matter here, as long as it ends."""
    command = [sys.executable, ROOT / "benchmarks" / script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_parity_with_plain_diffusers() -> None:
    *cases, summary = run("parity.py", "--side", 64, "--steps", 2, "--schedulers", "ddim,dpmpp_2m_karras")
    assert len(cases) == summary["cases"] == 11
    assert summary["largest_difference"] == max(case["largest_difference"] for case in cases) <= 1e-3


def test_seconds_of_each_side() -> None:
    lines = run("sampler.py", "--size", "small", "--side", 64, "--steps", 4, "--measured", 2, "--rounds", 1)
    sides = ["diffusers", "exact", "stock", "balanced", "turbo, 8 steps", "turbo, 4 steps"]
    *measured, second_seed = lines
    assert [line["what"] for line in measured] == sides
    seconds = {line["what"]: line["seconds"] for line in measured}
    for line in measured:
        assert line["seconds"] > line["seconds_a_step"] > 0
        if "of_stock" in line:
            assert line["of_stock"] == pytest.approx(line["seconds"] / seconds["stock"], abs=1e-3)
    assert 0 <= second_seed["share"] < 1


def test_differences_from_the_stock_graph() -> None:
    lines = run("stock_differences.py", "--side", 64, "--steps", 6)
    largest = {line["case"]: line["largest"] for line in lines}
    assert largest["dpmpp_2m_karras against dpmpp_2m + karras"] < 1e-4  # the default has no difference of definition
    assert largest["ddim against ddim + ddim_uniform"] > 1


def test_odd_inputs_of_both_engines(tmp_path: Path) -> None:
    guided = sys.platform == "linux" and platform.machine() == "x86_64"  # where atheris can be had
    engines = ["hypothesis", "coverage"] if guided else ["hypothesis"]
    chosen = ("--engines", ",".join(engines), "--only", "filter,pins,PNG chunks", "--kept", tmp_path)
    *lines, whole = run("fuzz.py", "--inputs", 400, *chosen)
    assert {line["engine"] for line in lines} == set(engines)
    assert whole["inputs"] == sum(line["inputs"] for line in lines) >= 400
    assert whole["unexpected"] == 0


def test_cost_of_speed(tmp_path: Path) -> None:
    lines = run("speed_cost.py", "--layouts", 1, "--sheet", tmp_path / "speed.png")
    variants = {line["variant"]: line for line in lines}
    assert variants["balanced"]["of_exact"] < 0.8 < variants["exact"]["of_exact"] == 1
    assert (tmp_path / "speed.png").is_file()


def test_memory_of_activations() -> None:
    rows = {(row["side"], row["pictures"]): row for row in run("memory.py")}
    assert rows[512, 1]["sampling_fused"] < rows[512, 1]["sampling_whole"] < rows[768, 1]["sampling_whole"]
    for row in rows.values():
        for what in ("sampling_fused", "sampling_whole"):
            assert row[what] <= row[f"{what}_told"] <= 1.08 * row[what]
        assert row["decoding_whole"] <= row["decoding_told"] <= 1.01 * row["decoding_whole"]


def test_seconds_on_a_busy_machine() -> None:
    ways = {"waiting asleep": None, "as the sampler sets it": 1, "as made here": 1}
    lines = run("busy_machine.py", "--steps", 1, "--rounds", 1, "--busy", 1, "--ways", ",".join(ways))
    assert [line["way"] for line in lines] == list(ways)
    for line in lines:
        assert line["threads"] == ways[line["way"]] or ways[line["way"]] is None
        assert line["alone"] > 0 and line["beside_others"] > 0
        assert line["of_alone"] == pytest.approx(line["beside_others"] / line["alone"], rel=0.05)


def test_what_is_measured_on_a_card() -> None:
    small = ("--size", "small", "--device", "cpu", "--sides", "64,128", "--steps", 4, "--rounds", 1)
    lines = run("gpu.py", *small)
    parts: dict[str, list[Json]] = {}
    for line in lines:
        assert "skipped" not in line
        parts.setdefault(line["part"], []).append(line)
    assert list(parts) == ["machine", "weights", "seconds", "memory", "parity", "interrupt", "ladder", "stock graph"]
    sides = ["diffusers", "exact", "balanced", "turbo, 8 steps", "turbo, 4 steps"]
    assert [line["what"] for line in parts["seconds"][:-1]] == sides
    assert all(line["from_diffusers_largest"] <= 1e-3 for line in parts["parity"][:-1])
    assert [(line["what"], line["side"]) for line in parts["memory"][:-1]] == [
        (what, side) for side in (64, 128) for what in ("exact", "diffusers")
    ]
    *shortages, _ = parts["ladder"]
    assert len(shortages) == 3
    for line in shortages:
        assert line["measures"] == ["device freed", "sliced attention"]
        assert line["from_whole_largest"] <= 1e-4
        assert line["afterwards_largest"] == 0
    stopped, _ = parts["interrupt"]
    assert len(stopped["seconds"]) == stopped["ended"] > 0
    assert parts["stock graph"][0]["seconds"] > 0


def test_a_used_up_budget_is_told_of_and_no_comfyui_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    lines = run("gpu.py", "--size", "small", "--device", "cpu", "--sides", "64", "--steps", 2, "--budget", 0)
    skipped = [line["part"] for line in lines if "skipped" in line]
    assert skipped == ["seconds", "memory", "parity", "interrupt", "ladder", "stock graph"]


def test_what_the_reference_adds() -> None:
    [line] = run("rag_gain.py", "--looks", 1)
    assert line["prompts"] == 2
    assert line["reference_found"] == 1  # there is one look
    for way in ("words", "sketch", "reference", "both"):
        assert all(0 <= share <= 1 for share in line[way].values())
    assert line["both"]["lines_found"] > line["words"]["lines_found"]
