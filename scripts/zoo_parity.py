"""Agreement of every engine with every network of the zoo, on this machine and on a device, as a table.

    scripts/zoo_parity.py measure --work DIR [NAME ...]       the zoo, the smallest network first
    scripts/zoo_parity.py measure --work DIR --engine mnn     one engine of this machine
    scripts/zoo_parity.py measure --work DIR --device SERIAL  the engines of a device, on what DIR has
    scripts/zoo_parity.py table --work DIR                    rewrites docs/parity.md

Each network is exported with random weights, and every engine that reads one of its artifacts is compared
with the network as `verify` compares it, OpenVINO too; a device computes the fewest
inputs that show a constant output, and artifacts that are equal byte for byte once. A network that DIR knows
an answer for is passed over, so that an interrupted run goes on; the page keeps cells that DIR has no answer
for. Variants that differ in their weights alone are left out: random ones are the same.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

import msgspec

from edgekit.api.making import export_all
from edgekit.cli.output import note
from edgekit.convert.exporting.plan import ExportRequest
from edgekit.convert.manifest import load_manifest, verify_files
from edgekit.core.parity import MAX_RELATIVE_ERROR
from edgekit.core.spec import ModelSpec, Precision
from edgekit.engines.registry import artifact_kind, host_side
from edgekit.errors import DeviceError, DeviceLostError, EdgekitError
from edgekit.parity.dygraph import compute
from edgekit.parity.inputs import LadderInputs
from edgekit.parity.ladder import DYGRAPH, Ladder, Rung, RungStatus, device_rungs, host_rungs
from edgekit.parity.reference import INPUTS
from edgekit.parity.rows import RowClimb
from edgekit.parity.tensors import TensorClimb
from edgekit.parity.verify import verify
from edgekit.targets.device import opened_targets
from edgekit.targets.inputs import seeded_inputs
from edgekit.targets.target import HostTarget, Subject, Target
from edgekit.zoo.registry import find_model, list_models

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "parity.md"
# The formats of each engine, what others are made of first.
FORMATS = {
    "paddle": "paddle",
    "onnxruntime": "onnx",
    "openvino": "onnx",
    "paddlelite": "nb",
    "mnn": "mnn",
    "ncnn": "ncnn",
}
HOST = ("paddle", "onnxruntime", "openvino", "paddlelite", "mnn", "ncnn")
DEVICE = ("paddlelite", "onnxruntime", "mnn", "ncnn")
ARM = "ARM "
NONE = "—"
OPENVINO = "openvino"
# Networks of one export, which starts Paddle once.
TOGETHER = 4
SAME_NETWORK = "_ssld"
# Where a network stands whose operations are not published: after the mobile ones.
UNPUBLISHED_MFLOPS = 500.0
LIMIT = MAX_RELATIVE_ERROR[Precision.FP32] or 0.0
# Found by hand: networks of one operator and inner tensors as further outputs, by `import` and `verify`.
CAUSES = """
- ARM mnn, of EfficientNetB0, B1, PPLCNetV2_large, PPHGNet_tiny and base: sigmoid. A network of one sigmoid
  alone, with inputs of 3x32x32, differs by 1.5e-5 there, with every other engine and on x86-64 by at most
  1.9e-7. The first of PPLCNetV2_large's eight gets inputs with an error of 3.5e-7 and gives 9.2e-6, on x86-64
  2.4e-7 and 6.0e-7; PPHGNet_tiny's gets 6.2e-7 and gives 1.4e-5, PPHGNet_base's 5.7e-7 and 1.1e-5.
- ARM paddlelite, of EfficientNetB0 and B1: swish, of which they have 49 and 69. One alone differs by 5.6e-6
  there (MNN's by 3.4e-6), with the other engines and on x86-64 by at most 1.9e-7.
- ncnn, and on ARM paddlelite, mnn and ncnn, of PPHGNetV2_B6: rounding. An error of its input grows seven
  times, and all engines are at 4.6e-5 or more. On two inputs of x86-64 ncnn differs from Paddle's engine by
  5.8e-5 with Winograd's algorithm, 5.6e-5 without.
- ResNeXt101_32x48d_wsl is not run: of 3.3 GB of weights no ONNX, MNN or ncnn can be made
  ([server.md](server.md)).
"""


class Answer(msgspec.Struct, frozen=True):
    """Result of one engine: its error relative to the network's range, or why there is none."""

    error: float | None
    passed: bool
    reason: str | None = None


Answers = dict[str, Answer]


def networks(names: Sequence[str]) -> list[str]:
    """The networks to take, the smallest first."""
    every = {spec.name: spec for spec in list_models()}
    specs = [spec for name, spec in every.items() if not _is_variant(name, every)]
    return list(names) or [spec.name for spec in sorted(specs, key=_size)]


def _is_variant(name: str, known: Container[str]) -> bool:
    """Return whether a network is listed under another name too, with other weights."""
    return name.endswith(SAME_NETWORK) and name.removesuffix(SAME_NETWORK) in known


def _size(spec: ModelSpec) -> tuple[float, str]:
    published = spec.published.flops_m if spec.published is not None else None
    return published or UNPUBLISHED_MFLOPS, spec.name


def export(names: Sequence[str], work: Path, engines: Sequence[str] = HOST) -> dict[str, dict[str, str]]:
    """Export networks to the formats of engines; give by network why a format was not made."""
    formats = tuple(dict.fromkeys(FORMATS[engine] for engine in engines))
    errors = _export(names, formats, work)
    refused: dict[str, dict[str, str]] = {}
    for name in errors:
        made: tuple[str, ...] = ()
        for one in formats:
            error = _export([name], (*made, one), work)
            if error:
                refused.setdefault(name, {})[one] = error[name]
            else:
                made = (*made, one)
    return refused


def _export(names: Sequence[str], formats: Sequence[str], work: Path) -> dict[str, str]:
    """Export networks; give the errors by network."""
    requests = [
        ExportRequest(
            model=name,
            weights="random",
            output=work / "models" / name,
            formats=tuple(formats),
            nb_targets=("arm", "x86") if "nb" in formats else None,
        )
        for name in names
    ]
    done = export_all(requests, verify=False, show=None, progress=note)
    return {outcome.name: outcome.error.message for outcome, _ in done if outcome.error is not None}


def subject_of(name: str, work: Path) -> Subject:
    directory = work / "models" / name
    return Subject(directory=directory, manifest=load_manifest(directory), anyway=True)


def host_answers(name: str, work: Path, refused: dict[str, str], engines: Sequence[str] = HOST) -> Answers:
    """Engines of this machine."""
    try:
        subject, target = subject_of(name, work), HostTarget()
        kind = artifact_kind(OPENVINO, host_side(OPENVINO), Precision.FP32)
        openvino = Rung(name=f"{kind.value}/{OPENVINO}", kind=kind, engine=OPENVINO, target=target)
        rungs = [rung for rung in (*host_rungs(subject, target), openvino) if rung.engine in engines]
        found = answers_of(verify(subject, find_model(name), rungs, show=_quiet))
    except EdgekitError as error:
        found, refused = {}, {one: refused.get(one, error.message) for one in FORMATS.values()}
    return {
        engine: found.get(engine, Answer(None, False, refused.get(FORMATS[engine], "not computed")))
        for engine in engines
    }


def device_answers(name: str, work: Path, target: Target) -> Answers:
    """All engines of a device."""
    try:
        subject = subject_of(name, work)
        rungs = [rung for rung in device_rungs(subject, target) if rung.engine in DEVICE]
        found = answers_of(device_ladder(subject, find_model(name), rungs))
    except (DeviceError, DeviceLostError):  # a device that is full or gone says nothing of an engine
        raise
    except EdgekitError as error:
        return {engine: Answer(None, False, error.message) for engine in DEVICE}
    return {engine: found.get(engine, Answer(None, False, "its artifact was not made")) for engine in DEVICE}


def device_ladder(subject: Subject, spec: ModelSpec, rungs: Sequence[Rung]) -> Ladder:
    """The ladder on `INPUTS` seeded inputs: an emulator takes seconds for each."""
    verify_files(subject.manifest, subject.directory)
    climb: RowClimb | TensorClimb
    if subject.is_plain:
        every = seeded_inputs(INPUTS, subject.input_shape)
        climb = rows = RowClimb(subject, _quiet, LadderInputs(every=every, seeded=INPUTS, held_back=0))
        rows.climb(rungs, lambda: rows.first_output(lambda inputs: compute(subject, spec, inputs)))
    else:
        climb = tensors = TensorClimb(subject, _quiet)
        tensors.feeds = tensors.feeds[:INPUTS]
        tensors.climb(rungs, lambda: tensors.by_feed(lambda inputs: compute(subject, spec, inputs)))
    return climb.ladder()


def twin_of(name: str, known: Iterable[str], work: Path) -> str | None:
    """A network whose artifacts and outputs are equal to those of another name."""

    def identity(one: str) -> tuple[object, ...]:
        manifest = subject_of(one, work).manifest
        files = sorted((kind, file.sha256) for kind, a in manifest.artifacts.items() for file in a.files)
        return files, manifest.outputs, manifest.task

    mine = identity(name)
    return next((one for one in known if identity(one) == mine), None)


def answers_of(ladder: Ladder) -> Answers:
    """The answers of a ladder by engine; none counts where the network itself is no reference."""
    if ladder.reference != DYGRAPH:
        [network] = [rung for rung in ladder.rungs if rung.name == DYGRAPH]
        return {rung.engine: Answer(None, False, f"the network: {network.reason}") for rung in ladder.rungs}
    return {
        rung.engine: Answer(
            None if rung.parity is None else rung.parity.max_relative_error,
            rung.status is RungStatus.PASSED,
            rung.reason,
        )
        for rung in ladder.rungs
        if rung.name != DYGRAPH
    }


def _quiet(_rung: object) -> None:
    pass


def measure(names: Sequence[str], work: Path, engines: Sequence[str]) -> None:
    """Measure engines of this machine."""
    work.mkdir(parents=True, exist_ok=True)
    kept = work / "host.jsonl"
    done = read(kept)
    left = [name for name in networks(names) if not done.get(name, {}).keys() >= set(engines)]
    for group in (left[first : first + TOGETHER] for first in range(0, len(left), TOGETHER)):
        refused = export(group, work, engines)
        for name in group:
            keep(kept, name, host_answers(name, work, refused.get(name, {}), engines))


def measure_device(names: Sequence[str], work: Path, serial: str) -> None:
    """Measure a device's engines on the networks that are exported and computed here."""
    kept = work / "device.jsonl"
    done, exported = read(kept), read(work / "host.jsonl")
    with opened_targets([serial]) as [target]:
        for name in networks(names):
            if name not in done and name in exported:
                twin = twin_of(name, done, work)
                done[name] = done[twin] if twin else device_answers(name, work, target)
                keep(kept, name, done[name])


def keep(kept: Path, name: str, answers: Answers) -> None:
    with kept.open("ab") as file:
        file.write(msgspec.json.encode((name, answers)) + b"\n")
    print(name, *(f"{engine} {cell(one)}" for engine, one in answers.items()), flush=True)


def read(kept: Path) -> dict[str, Answers]:
    lines = kept.read_bytes().splitlines() if kept.exists() else []
    return joined(msgspec.json.decode(line, type=tuple[str, Answers]) for line in lines)


def joined(rows: Iterable[tuple[str, Answers]]) -> dict[str, Answers]:
    """All answers by network; the later of two for the same cell."""
    found: dict[str, Answers] = {}
    for name, answers in rows:
        found[name] = found.get(name, {}) | answers
    return found


def cell(answer: Answer | None) -> str:
    if answer is None:
        return ""
    if answer.error is None:
        return NONE
    return f"{answer.error:.1e}" if answer.passed else f"**{answer.error:.1e}**"


def earlier(text: str) -> tuple[dict[str, Answers], dict[str, Answers]]:
    """The answers of a page, of this machine and of the device, so that a further run keeps them."""
    reasons = dict(re.findall(r"^- ([^:]+): (.*)$", text, re.MULTILINE))
    columns: list[str] = []
    sides: tuple[dict[str, Answers], dict[str, Answers]] = ({}, {})
    for line in text.splitlines():
        name, *cells = [each.strip() for each in line.strip("|").split("|")]
        if name == "network":
            columns = cells
        elif columns and len(cells) == len(columns) and not name.startswith("-"):
            for column, written in zip(columns, cells, strict=True):
                if written:
                    error = None if written == NONE else float(written.strip("*"))
                    passed = written[0] not in f"*{NONE}"
                    answer = Answer(error, passed, reasons.get(f"{name}, {column}"))
                    sides[column.startswith(ARM)].setdefault(name, {})[column.removeprefix(ARM)] = answer
    return sides


def page(work: Path) -> str:
    """The whole page."""
    before_host, before_device = earlier(PAGE.read_text()) if PAGE.exists() else ({}, {})
    host = joined([*before_host.items(), *read(work / "host.jsonl").items()])
    device = joined([*before_device.items(), *read(work / "device.jsonl").items()])
    columns = [*(("", engine) for engine in HOST), *((ARM, engine) for engine in DEVICE)]
    listed = [name for name in networks([]) if name in host]
    lines = [
        "# Agreement of the engines",
        "",
        "Written by `scripts/zoo_parity.py` from what it measured. A number is the largest error of fp32",
        "over the range of the network's outputs, on several inputs, with random weights; the network",
        "is computed by Paddle without any export. On ARM the inputs are two at least, and artifacts that",
        "are equal byte for byte under several names are computed once.",
        f"The limit is {LIMIT:.0e}: what is over it is bold, what cannot be computed is {NONE}, and",
        "both are explained below. Empty: not run. ARM is the virtual Snapdragon 855.",
        "OpenVINO reads the ONNX artifact, as ONNX Runtime does.",
        "",
        f"{len(listed)} of the zoo's {len(networks([]))} networks were run on this machine,",
        f"{len(device)} on ARM. Variants that differ in weights alone are not counted.",
        "",
        f"| network | {' | '.join(side + engine for side, engine in columns)} |",
        f"|---|{'---:|' * len(columns)}",
    ]
    for name in listed:
        cells = [cell((device if side else host).get(name, {}).get(engine)) for side, engine in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    directory = f"{work / 'models'}/"
    wrong = [
        f"- {name}, {side}{engine}: {' '.join((one.reason or '').replace(directory, '').split())}"
        for side, found in (("", host), (ARM, device))
        for name in listed
        for engine, one in found.get(name, {}).items()
        if not one.passed
    ]
    title = "## What is over the limit, and what cannot be computed"
    lines += ["", title, "", *(wrong or ["Nothing of what was run."]), "", "The reasons:", CAUSES.rstrip()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("action", choices=("measure", "table"))
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--device", metavar="SERIAL")
    only.add_argument("--engine", choices=HOST)
    asked = parser.parse_intermixed_args()
    if asked.action == "table":
        PAGE.write_text(page(asked.work))
    elif asked.device is None:
        measure(asked.names, asked.work, HOST if asked.engine is None else (asked.engine,))
    else:
        measure_device(asked.names, asked.work, asked.device)


if __name__ == "__main__":
    main()
