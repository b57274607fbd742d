"""Points with the host's verdicts, against which the app's own are held."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from edgekit.core.measurement import Environment, Point, ProcessRun, Status
from edgekit.core.parity import Parity
from edgekit.core.spec import Precision
from edgekit.judge.verdicts import judge

PARITY = Parity(
    reference="r", inputs=2, max_relative_error=0.0, top1_agreement=1.0, outputs_differ=True, passed=True
)


def write_verdict_cases(directory: Path) -> set[str]:
    """Write `points.json` for the app's VerdictTest; returns the verdicts in it."""
    rng = np.random.default_rng(3)
    calm = rng.normal(1e6, 1e4, 90)
    cases = [
        _case(calm),
        _case(calm[:63]),
        _case(calm[:64]),
        _case(calm[:12], status=Status.INTERRUPTED),
        _case(calm * np.linspace(1, 1.09, 90)),
        _case(calm * np.linspace(1, 1.05, 90)),
        _case(calm * np.linspace(1.2, 1, 90)),
        _case(rng.normal(1e6, 2e5, 300)),
        _case(rng.permutation(np.concatenate([calm, calm * 1.1]))),
        _case(rng.permutation(np.concatenate([calm[:60], calm * 1.3, calm * 1.31]))),
        _case(np.full(64, 1e6)),
        _case(calm, threads=4, took=2),
        _case(calm, threads=4, took=None),
        _case(calm, celsius=(30.0, 44.9)),
        _case(calm, celsius=(30.0, 45.1)),
        _case(calm[:20], celsius=(30.0, 47.0)),
    ]
    (directory / "points.json").write_text(json.dumps(cases))
    return {str(case["verdict"]) for case in cases}


def _case(
    samples_ns: np.ndarray,
    *,
    status: Status = Status.DONE,
    threads: int = 1,
    took: int | None = 1,
    celsius: Sequence[float] = (30.0, 30.0),
) -> dict[str, object]:
    run = ProcessRun(samples_ns=tuple(int(sample) for sample in samples_ns), warmup_runs=10, steady=True)
    before, after = (Environment(temperatures_celsius={"battery": degrees}) for degrees in celsius)
    point = Point(
        model="m", artifact=None, engine="onnxruntime", precision=Precision.FP32, requested_threads=threads,
        batch_size=1, status=status, effective_threads=took, processes=(run,), parity=PARITY,
        environment_before=before, environment_after=after,
    )  # fmt: skip
    judged = judge(point, emulated=False)
    assert judged is not None
    # A sweep of the app is one process, which the host doubts for that alone.
    reasons = [reason for reason in judged.reasons if not reason.startswith("of one process alone")]
    assert len(reasons) == len(judged.reasons) - 1
    return {
        "result": {"started_at": "2024-01-02T03:04:05Z", "points": [msgspec.to_builtins(point)]},
        "verdict": judged.verdict.value if reasons else "valid",
        "reasons": "; ".join(reasons),
    }
