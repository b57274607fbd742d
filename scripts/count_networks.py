"""Count networks of the zoo for edgekit/estimate/data/counts.toml, as `edgekit estimate NAME --count` does.

    scripts/count_networks.py --work DIR --precision fp32,int8 PPLCNet_x0_5 PPHGNet_tiny
    scripts/count_networks.py --work DIR --precision int8 --soc sd845 --threads 1 MobileNetV1

Each network is exported into DIR with random weights where it is not there yet, for int8 quantised on noise
(values change no instruction of these kernels), counted on the virtual device with the SoC's kernels and the
Paddle Lite library that is installed, and its row is put into the data. Rows that are there are passed over.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from edgekit.bench.sweep import Progress, describe
from edgekit.cli.output import note
from edgekit.convert.exporting.export import export
from edgekit.convert.exporting.plan import ExportRequest
from edgekit.convert.manifest import load_manifest, write_manifest
from edgekit.core.artifact import ArtifactKind
from edgekit.core.spec import Precision
from edgekit.errors import EdgekitError
from edgekit.estimate.count import count_network
from edgekit.estimate.estimate import known_count
from edgekit.estimate.soc_model import COUNTS, NetworkCount, SocModel, load_soc
from edgekit.quantize.artifacts import Calibration, Choice, quantize
from edgekit.targets.target import Subject

CALIBRATION_INPUTS = 10


def exported(name: str, work: Path) -> Subject:
    directory = work / name
    if not (directory / "manifest.json").exists():
        request = ExportRequest(
            model=name,
            output=directory,
            weights="random",
            formats=("nb",),
            nb_targets=("arm",),
        )
        [outcome] = export([request], progress=note)
        if outcome.error is not None:
            raise outcome.error
    return Subject(directory=directory, manifest=load_manifest(directory))


def quantized(subject: Subject) -> Subject:
    if subject.manifest.artifact(ArtifactKind.NB_ARM_INT8) is not None:
        return subject
    directory, manifest = subject.directory, subject.manifest
    shape = (CALIBRATION_INPUTS, *subject.input_shape)
    with tempfile.TemporaryDirectory(prefix="edgekit-count-", dir=directory.parent) as name:
        calibration = Path(name) / "noise.f32"
        np.random.default_rng(0).standard_normal(shape, dtype=np.float32).tofile(calibration)
        staging = Path(name) / "staging"
        staging.mkdir()
        made, _ = quantize(
            directory,
            manifest,
            Calibration(path=calibration, shape=shape),
            staging,
            formats=("nb",),
            choice=Choice(),
            install=True,
            progress=note,
        )
        for file in staging.iterdir():
            file.replace(directory / file.name)
    both = msgspec.structs.replace(manifest, artifacts={**manifest.artifacts, **made})
    write_manifest(directory, both)
    return Subject(directory=directory, manifest=both)


def row(count: NetworkCount) -> str:
    kernels = "" if count.counted_on is None else f'counted_on = "{count.counted_on}"\n'
    layers = "" if count.layers is None else f"layers = {inline(msgspec.to_builtins(count.layers))}\n"
    return (
        f'\n[[networks]]\nmodel = "{count.model}"\nprecision = "{count.precision}"\n{kernels}'
        f"nb_mb = {round(count.nb_mb, 3)}\nmillions = {inline(count.millions)}\n{layers}"
    )


def inline(table: Mapping[str, object]) -> str:
    """Return a table of numbers and of such tables as TOML on one line."""
    cells = [
        f"{name if name.isidentifier() else json.dumps(name)} = "
        f"{inline(value) if isinstance(value, dict) else value}"
        for name, value in table.items()
    ]
    return f"{{ {', '.join(cells)} }}"


def count_one(name: str, soc: SocModel, precision: Precision, threads: tuple[int, ...], work: Path) -> None:
    subject = exported(name, work)
    if precision is Precision.INT8:
        subject = quantized(subject)

    def show(step: Progress) -> None:
        if step.instructions is not None:
            note(describe(step))

    count = count_network(subject, soc, precision=precision, threads=threads, work=work, show=show)
    with COUNTS.open("a") as file:
        file.write(row(count))
    sys.stdout.write(row(count))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR")
    parser.add_argument("--precision", default="fp32", metavar="WORD,...")
    parser.add_argument("--soc", default="sd855", metavar="SOC")
    parser.add_argument("--threads", default="1,2,4", metavar="NUMBER,...")
    asked = parser.parse_args()
    threads = tuple(map(int, asked.threads.split(",")))
    failed, soc = 0, load_soc(asked.soc)
    for precision in map(Precision, asked.precision.split(",")):
        for name in asked.names:
            if known_count(name, precision, soc.kernels(precision.value)) is not None:
                continue
            try:
                count_one(name, soc, precision, threads, asked.work)
            except EdgekitError as error:
                failed += 1
                note(f"error: {name} {precision.value}: {error.message}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
