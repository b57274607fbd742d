"""`bench --ab` with real engines: what it runs and reports; what it decides is in test_compare.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekit.bench.ab import AbOptions, place_trios
from edgekit.core.device import Cluster, DeviceInfo
from tests.conftest import RunCli


def test_a_model_against_itself(run_cli: RunCli, x0_25: Path, tmp_path: Path) -> None:
    words = ["bench", "--host", "--ab", x0_25, x0_25, "--engine", "onnxruntime", "--processes", "2"]
    done = run_cli([*words, "--json"], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert len(report["ratios"]) == len(report["controls"]) == len(report["cores"]) == 2
    assert report["ratio"]["low"] <= report["ratio"]["estimate"] <= report["ratio"]["high"]
    # The same bytes: anything else is a mistake, whatever the machine does meanwhile.
    assert 0.5 < report["ratio"]["estimate"] < 2
    a, b = report["a"], report["b"]
    assert a["median_ms"] == pytest.approx(b["median_ms"], rel=1)
    assert a["artifact"]["sha256"] == b["artifact"]["sha256"]
    assert a["parity"]["passed"]
    assert a["effective_threads"] == b["effective_threads"] == report["threads"] == 1
    assert report["environment_after"]["read_at"] > report["environment_before"]["read_at"]
    assert done.stderr.count("B over A") == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--processes", "1"], "one trio of processes has no interval"),
        (["--threads", "1,2"], "takes one engine"),
        (["--target-ci", "1%"], "does not go with --target-ci"),
        (["--engine", "onnxruntime", "--engine-option", "onednn=off"], "none of onnxruntime has it"),
        (["--device", "S"], "does not go with --device"),
    ],
)
def test_what_it_cannot_do_is_refused(
    run_cli: RunCli, x0_25: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    done = run_cli(["bench", "--host", "--ab", x0_25, x0_25, *words], cwd=tmp_path)
    assert done.exit_code == 2
    assert said in done.stderr


def placed(threads: int, *clusters: Cluster, cores: tuple[int, ...] | None = None) -> list[object]:
    info = DeviceInfo(serial="host", state="device", transport="local", clusters=clusters)
    return list(place_trios(info, AbOptions(engine="onnxruntime", threads=threads, cores=cores)))


def test_trios_are_bound_to_as_many_cores_as_threads() -> None:
    two = Cluster(cores=(0, 1), max_frequency_khz=None)
    assert placed(1, two) == [(0,), (1,)]
    assert placed(2, two) == [None]
    assert placed(1, two, cores=(1,)) == [(1,)]
    five = Cluster(cores=(0, 1, 2, 3, 4), max_frequency_khz=None)
    assert placed(2, five) == [(0, 1), (2, 3)]
    # Of unlike clusters the fast ones.
    slow = Cluster(cores=(0, 1, 2, 3), max_frequency_khz=1_800_000)
    fast = Cluster(cores=(4, 5), max_frequency_khz=2_800_000)
    assert placed(1, slow, fast) == [(4,), (5,)]
