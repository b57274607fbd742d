"""Estimates stand beside what was measured later, and those that are contradicted are marked."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from edgekit.bench.document import save_result
from edgekit.core.measurement import Result, Verdict
from edgekit.core.spec import Precision
from edgekit.estimate.estimate import estimate, known_count
from edgekit.estimate.soc_model import load_soc
from tests.conftest import RunCli
from tests.points import point, process, result, samples

MODELS = ("PPLCNet_x0_25", "PPLCNet_x1_0")


def measured(slowness: float, **target: Any) -> Result:
    """Both models on a Snapdragon 845, as slow as estimated and `slowness` times as slow."""
    points = []
    for model, factor in zip(MODELS, (1.0, slowness), strict=True):
        count = known_count(model, Precision.FP32)
        assert count is not None
        [one] = estimate(load_soc("sd845"), count, [1]).estimates
        runs = [process(samples(one.latency_ms * factor, seed=seed)) for seed in range(3)]
        changes = {"model": model, "engine": "paddlelite", "requested_threads": 1}
        points.append(point(*runs, verdict=Verdict.VALID, **changes))
    return result(*points, **{"serial": "phone", "transport": "adb", "soc": "SDM845", **target})


def write_estimates(run_cli: RunCli, place: Path, soc: str = "sd845") -> list[str]:
    names = []
    for model in MODELS:
        done = run_cli(["estimate", model, "--soc", soc, "--json"], cwd=place)
        assert done.exit_code == 0, done.stderr
        names.append(f"{soc}-{model}.json")
        (place / names[-1]).write_text(done.stdout)
    return names


def test_a_contradicted_estimate_is_marked_in_every_format(run_cli: RunCli, tmp_path: Path) -> None:
    save_result(tmp_path / "phone.json", measured(1.3))
    names = write_estimates(run_cli, tmp_path)
    for form in ("table", "md", "html"):
        done = run_cli(["report", "phone.json", *names, "--format", form], cwd=tmp_path)
        assert (done.exit_code, done.stderr) == (0, "")
        assert "Measured beside estimated for sd845: 1 of 2 contradicted" in done.stdout
        assert "+30" in done.stdout
    done = run_cli(["report", "phone.json", *names, "--format", "csv"], cwd=tmp_path)
    rows = {row["model"]: row for row in csv.DictReader(io.StringIO(done.stdout))}
    assert [rows[model]["estimate"] for model in MODELS] == ["within", "contradicted"]
    assert rows["PPLCNet_x1_0"]["estimated_for"] == "sd845"


def test_estimates_belong_to_no_host_and_to_no_emulated_device(run_cli: RunCli, tmp_path: Path) -> None:
    names = write_estimates(run_cli, tmp_path)
    for number, target in enumerate(({"transport": "local"}, {"emulated": True})):
        save_result(tmp_path / f"{number}.json", measured(1.3, **target))
        done = run_cli(["report", f"{number}.json", *names, "--format", "md"], cwd=tmp_path)
        assert done.exit_code == 0 and "estimated" not in done.stdout


def test_estimates_that_could_belong_to_either_are_refused(run_cli: RunCli, tmp_path: Path) -> None:
    for serial in ("one", "other"):
        save_result(tmp_path / f"{serial}.json", measured(1.0, serial=serial))
    names = write_estimates(run_cli, tmp_path)
    done = run_cli(["report", "one.json", "other.json", *names], cwd=tmp_path)
    assert (done.exit_code, done.stdout) == (3, "")
    assert "estimates for sd845 with results of 2 devices" in done.stderr
    done = run_cli(["report", "one.json", *names, *write_estimates(run_cli, tmp_path, "sd835")], cwd=tmp_path)
    assert done.exit_code == 3 and "estimates for sd835, sd845" in done.stderr
    done = run_cli(["report", *names], cwd=tmp_path)
    assert done.exit_code == 3
