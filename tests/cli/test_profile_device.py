"""Operators of Paddle Lite on the virtual device: all of the program's, and no instruction twice or lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekit.bench.results import load_result
from edgekit.convert.formats.nb import read_operators
from tests.conftest import RunCli
from tests.devices import AdbDevice


@pytest.mark.usefixtures("paddlelite_runtime")
def test_operators_add_up_to_the_inference(
    run_cli: RunCli, x0_25: Path, virtual_device: AdbDevice, tmp_path: Path
) -> None:
    page = tmp_path / "profile.html"
    done = run_cli(
        ["profile", x0_25, "--device", virtual_device.serial, "--threads", "1,2", "--json", "--html", page],
        cwd=tmp_path,
    )
    assert done.exit_code == 0, done.stderr
    profile = json.loads(done.stdout)
    operators = read_operators(x0_25 / "inference.arm.nb")
    listed = {one["operator"]: 0 for one in profile["operators"]}
    for one in profile["operators"]:
        listed[one["operator"]] += one["nodes"]
    assert {name: count for name, count in listed.items() if count} == {
        name: operators.count(name) for name in operators
    }
    kernels = {(one["operator"], one["kernel"]): one for one in profile["operators"]}
    depthwise = kernels["depthwise_conv2d", "DepthwiseConv fp32"]
    assert depthwise["gains"]["2"] > 1.5
    assert depthwise["scaling"] == "gains"
    reshapes = [one for one in profile["operators"] if one["operator"] == "reshape2"]
    assert [one["scaling"] for one in reshapes] == ["serial"]
    assert "depthwise_conv2d: DepthwiseConv fp32" in page.read_text()

    counted = run_cli(
        ["bench", x0_25, "--device", virtual_device.serial, "--engine", "paddlelite", "--threads", "1",
         "-o", tmp_path / "counts.json"],
        cwd=tmp_path,
    )  # fmt: skip
    assert counted.exit_code == 0, counted.stderr
    (point,) = load_result(tmp_path / "counts.json").points
    assert point.instruction_count is not None
    whole = sum(one["costs"]["1"] for one in profile["operators"])
    assert whole == pytest.approx(point.instruction_count.main_thread, rel=2e-3)


def test_what_repeats_exactly_is_not_repeated(run_cli: RunCli, x0_25: Path, tmp_path: Path) -> None:
    done = run_cli(["profile", x0_25, "--device", "x", "--repeats", "3"], cwd=tmp_path)
    assert done.exit_code == 2
    assert "repeat exactly" in done.stderr
