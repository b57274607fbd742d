"""Exact comparison: counts, sizes and accuracy, as files, as a directory and as the action for CI does it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from edgekit.judge.exact import Kind, Quantity, Verdict, compare_exactly
from tests.conftest import REPOSITORY, CliResult

ACTION = REPOSITORY / ".github" / "actions" / "regression" / "action.yml"
COUNTS = REPOSITORY / "tests" / "data" / "results" / "version1_virtual.json"
EVALUATION = REPOSITORY / "tests" / "data" / "release_0_1_0" / "eval.json"


@pytest.mark.parametrize(
    ("kind", "old", "new", "verdict"),
    [
        (Kind.INSTRUCTIONS, 1000, 1000, Verdict.EQUAL),
        (Kind.INSTRUCTIONS, 1000, 1004, Verdict.WITHIN),
        (Kind.INSTRUCTIONS, 1000, 1006, Verdict.WORSE),
        (Kind.INSTRUCTIONS, 1000, 900, Verdict.BETTER),
        (Kind.BYTES, 1000, 1006, Verdict.WORSE),
        (Kind.ACCURACY, 0.80, 0.79, Verdict.WORSE),
        (Kind.ACCURACY, 0.80, 0.797, Verdict.WITHIN),
        (Kind.ACCURACY, 0.80, 0.81, Verdict.BETTER),
        (Kind.ACCURACY, 0.80, None, Verdict.GONE),
        (Kind.ACCURACY, None, 0.80, Verdict.NEW),
    ],
)
def test_more_is_worse_but_of_accuracy(
    kind: Kind, old: float | None, new: float | None, verdict: Verdict
) -> None:
    sides = [
        [] if value is None else [Quantity(subject="net", kind=kind, value=value)] for value in (old, new)
    ]
    (change,) = compare_exactly(*sides, 0.005).changes
    assert change.verdict is verdict


def changed(path: Path, share: float) -> Path:
    """Write the counts of a result, larger by a share; return the file."""
    document = json.loads(COUNTS.read_text())
    for point in document["points"]:
        if point.get("instruction_count"):
            point["instruction_count"]["main_thread"] = round(
                point["instruction_count"]["main_thread"] * (1 + share)
            )
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def test_a_result_with_more_instructions_ends_with_9(
    run_inside: Callable[..., CliResult], tmp_path: Path
) -> None:
    old, new = changed(tmp_path / "old" / "counts.json", 0), changed(tmp_path / "new" / "counts.json", 0.02)
    same = run_inside("compare", old, old, "--counts")
    assert (same.exit_code, same.stderr) == (0, "")
    assert " equal" in same.stdout
    worse = run_inside("compare", old.parent, new.parent, "--counts", "--markdown")
    assert worse.exit_code == 9
    assert "| +2.00% | worse |" in " ".join(worse.stdout.split())
    assert "figures are worse or gone" in worse.stderr
    allowed = run_inside("compare", old, new, "--counts", "--fail-above", "3%", "--json")
    assert allowed.exit_code == 0
    assert {one["verdict"] for one in json.loads(allowed.stdout)["changes"]} == {"within the threshold"}


def accuracy(place: Path, digest: str, top1: float) -> Path:
    """Write a document of eval with these shares, and a detector's boxes beside it."""
    document = json.loads(EVALUATION.read_text()) | {"list_sha256": digest * 64}
    for route in document["routes"]:
        route["top1"] = {**route["top1"], "share": top1}
    place.mkdir()
    (place / "accuracy.json").write_text(json.dumps(document))
    (place / "accuracy.onnxruntime-fp32.bbox.json").write_text("[]")
    return place


def test_accuracies_of_different_lists_are_not_compared(
    run_inside: Callable[..., CliResult], tmp_path: Path
) -> None:
    old, same = accuracy(tmp_path / "old", "a", 0.8), accuracy(tmp_path / "same", "a", 0.8)
    assert run_inside("compare", old, same, "--counts").exit_code == 0
    other = run_inside("compare", old, accuracy(tmp_path / "other", "b", 0.8), "--counts", "--json")
    assert other.exit_code == 9
    assert {one["verdict"] for one in json.loads(other.stdout)["changes"]} == {"gone", "new"}


def test_a_large_result_is_compared_too(run_inside: Callable[..., CliResult], tmp_path: Path) -> None:
    path = changed(tmp_path / "counts.json", 0)
    path.write_text(path.read_text() + " " * (33 << 20))
    assert run_inside("compare", path, path, "--counts").exit_code == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["a.json", "a.json", "--markdown"], 2, "--markdown is for --counts"),
        (["a.json", "a.json", "--counts", "--anyway"], 2, "--counts does not go with --anyway"),
        (["a.json", "a.json", "--counts"], 3, "a.json"),
        ([".", ".", "--counts"], 3, "no instruction counts, sizes or accuracies"),
    ],
)
def test_what_cannot_be_compared_is_named(
    run_inside: Callable[..., CliResult], words: list[str], code: int, said: str
) -> None:
    done = run_inside("compare", *words)
    assert done.exit_code == code
    assert said in done.stderr


def step(name: str, place: Path, **values: str) -> subprocess.CompletedProcess[str]:
    """Run a step of the action as the runner does, with its inputs' defaults."""
    action = yaml.safe_load(ACTION.read_text())
    (found,) = [each for each in action["runs"]["steps"] if each["name"] == name]
    inputs = {key: str(one.get("default", "")) for key, one in action["inputs"].items()} | values
    environment = {
        key: inputs[value.removeprefix("${{ inputs.").removesuffix(" }}")]
        for key, value in found.get("env", {}).items()
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", found["run"]],
        cwd=place, env={**os.environ, **environment, "PATH": path}, capture_output=True, text=True,
        timeout=900,
    )  # fmt: skip


def test_the_action_compares_with_the_main_branch(tmp_path: Path) -> None:
    changed(tmp_path / "figures" / "counts.json", 0.02)
    assert step("compare", tmp_path).returncode == 0
    assert "No figures of the main branch yet" in (tmp_path / "comment.md").read_text()
    changed(tmp_path / "baseline" / "counts.json", 0)
    assert step("compare", tmp_path).returncode == 9
    assert "worse" in (tmp_path / "comment.md").read_text()


@pytest.mark.slow
def test_the_steps_of_the_action_make_the_figures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"{number}.png"), rng.integers(0, 255, (64, 64, 3), np.uint8))
    (tmp_path / "list.txt").write_text("".join(f"{number}.png {number}\n" for number in range(4)))
    model = {"model": "PPLCNet_x0_25", "export-options": "--weights random --formats paddle,onnx"}
    model["list"] = "list.txt"
    for name in ("export and verify", "count", "measure accuracy"):
        done = step(name, tmp_path, **model)
        assert done.returncode == 0, done.stderr
    (tmp_path / "figures").rename(tmp_path / "baseline")
    (tmp_path / "figures").mkdir()
    for path in (tmp_path / "baseline").iterdir():
        (tmp_path / "figures" / path.name).write_bytes(path.read_bytes())
    assert step("compare", tmp_path, **model).returncode == 0
    text = (tmp_path / "comment.md").read_text()
    assert "instructions" in text and "bytes" in text and "top1" in text
