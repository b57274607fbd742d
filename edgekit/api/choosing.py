"""Choosing a network for a phone: `edgekit.choose`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgekit.core.measurement import Result
from edgekit.core.spec import CLASSIFICATION, Precision, find_precision
from edgekit.errors import InputError
from edgekit.estimate.choose import Choice, Own
from edgekit.estimate.choose import choose as choose_network
from edgekit.estimate.estimate import counting_commands, exported, known_count
from edgekit.estimate.soc_model import SocModel, load_soc


def choose(
    soc: str = "sd855",
    *,
    threads: int = 1,
    precision: str = "fp32",
    task: str = CLASSIFICATION,
    max_ms: float | None = None,
    max_mb: float | None = None,
    min_accuracy: float | None = None,
    also: Mapping[str, float] | None = None,
    results: Sequence[str | Path] = (),
) -> Choice:
    """Return the zoo's networks by accuracy and by latency on a SoC, and the one that fits the limits best.

    With a limit of latency or size that is the most accurate network within the limits; with a least accuracy
    alone it is the fastest. A measured latency is taken before a published one, and that before an estimate.

        choice = edgekit.choose("sd845", threads=1, max_ms=12)
        for one in choice.candidates:
            print(one.model, one.accuracy, one.latency_ms, one.latency_is, one.front)
        print(choice.best)

    Args:
        soc: SoC of `edgekit choose --list-socs`, or the path of a model that `estimate` wrote.
        threads: Threads of Paddle Lite.
        precision: `fp32`, `fp16` or `int8`.
        task: `classification`, `detection` or `segmentation`.
        max_ms: Limit of the latency of one picture, ms.
        max_mb: Limit of the size of the `.nb`, MB of a million bytes.
        min_accuracy: Least Top-1, mAP or mIoU, per cent.
        also: Accuracy, per cent, of networks of the user's own, by name or path.
        results: Result files measured on a phone with this SoC.

    Raises:
        UsageError: There is no such SoC, task or precision.
        InputError: A file cannot be read, or the instructions of a network of `also` are not known.
    """
    wanted, model = find_precision(precision), load_soc(soc)
    return choose_network(
        model,
        threads=threads,
        precision=wanted,
        task=task,
        max_ms=max_ms,
        max_mb=max_mb,
        min_accuracy=min_accuracy,
        also=[_own(name, accuracy, wanted, model) for name, accuracy in (also or {}).items()],
        results=_load(results),
    )


def _load(paths: Sequence[str | Path]) -> list[Result]:
    if not paths:
        return []
    # Not above: what most choices do without takes a third of their time to import.
    from edgekit.bench.results import load_result

    return [load_result(Path(path)) for path in paths]


def _own(name: str, accuracy: float, precision: Precision, soc: SocModel) -> Own:
    subject = exported(name)
    count = known_count(subject or name, precision, soc.kernels(precision.value))
    if count is None:
        raise InputError(
            f"choosing with {name} at {precision.value}: its instructions are not known",
            hint=counting_commands(name, subject, precision, soc),
        )
    return Own(count=count, accuracy=accuracy)
