"""Agreement of every engine with every network of the zoo, on this machine and on a device, as a table.

    scripts/zoo_parity.py measure --work DIR [NAME ...]       the zoo, the smallest network first
    scripts/zoo_parity.py measure --work DIR --device SERIAL  the engines of a device, on what DIR has
    scripts/zoo_parity.py table --work DIR                    rewrites docs/parity.md

Each network is exported with random weights, and `verify` computes every artifact on the engine that reads
it; `bench` computes OpenVINO, which has no rung. A network that DIR has an answer for is passed over, so that
an interrupted run goes on. Variants that differ in their weights alone are left out: random ones are the
same.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit.core.parity import MAX_RELATIVE_ERROR
from edgekit.core.spec import ModelSpec, Precision
from edgekit.zoo.registry import list_models

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "parity.md"
TIMEOUT_S = 3600.0
FORMATS = ("paddle,onnx", "nb", "mnn", "ncnn")
RUNGS = {"paddle": "paddle", "onnx": "onnxruntime", "nb-x86": "paddlelite", "mnn": "mnn", "ncnn": "ncnn"}
HOST = ("paddle", "onnxruntime", "openvino", "paddlelite", "mnn", "ncnn")
DEVICE = ("paddlelite", "onnxruntime", "mnn", "ncnn")
SAME_NETWORK = "_ssld"
# Where a network stands whose operations are not published: after the mobile ones.
UNPUBLISHED_MFLOPS = 500.0
LIMIT = MAX_RELATIVE_ERROR[Precision.FP32] or 0.0


class Answer(msgspec.Struct, frozen=True):
    """What one engine gave: its error relative to the network's range, or why there is none."""

    error: float | None
    passed: bool
    reason: str | None = None


Answers = dict[str, Answer]


def networks(names: Sequence[str]) -> list[str]:
    """The networks to take, the smallest first."""
    specs = [spec for spec in list_models() if not spec.name.endswith(SAME_NETWORK)]
    return list(names) or [spec.name for spec in sorted(specs, key=_size)]


def _size(spec: ModelSpec) -> tuple[float, str]:
    published = spec.published.flops_m if spec.published is not None else None
    return published or UNPUBLISHED_MFLOPS, spec.name


def edgekit(*words: str | Path, work: Path) -> tuple[int, str, str]:
    """Run a command; give its exit code, what it printed, and its error line."""
    done = subprocess.run(
        [sys.executable, "-m", "edgekit", *words], cwd=work, capture_output=True, text=True,
        timeout=TIMEOUT_S, check=False, env={**os.environ, "NO_COLOR": "1", "COLUMNS": "400"},
    )  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    return done.returncode, done.stdout, (lines or [f"exit code {done.returncode}"])[0]


def export(name: str, work: Path) -> dict[str, str]:
    """Export to all formats; give why a format was not made."""
    words = ["--weights", "random", "--nb-targets", "arm,x86", "--keep-failed", "--no-verify"]
    if not edgekit("export", name, *words, "--formats", ",".join(FORMATS), work=work)[0]:
        return {}
    refused = {}
    made = FORMATS[0]
    for each in FORMATS:
        formats = made if each == made else f"{made},{each}"
        code, _, error = edgekit("export", name, *words, "--formats", formats, work=work)
        if code:
            refused[each] = error.removeprefix("error: ")
        else:
            made = formats
    return refused


def host_answers(name: str, work: Path) -> Answers:
    """All engines of this machine."""
    refused = export(name, work)
    _, printed, error = edgekit("verify", name, "--json", work=work)
    found = rungs(printed)
    answers = {
        engine: found.get(rung, Answer(None, False, refused.get(rung.partition("-")[0], error)))
        for rung, engine in RUNGS.items()
    }
    quick = ["--processes", "1", "--warmup", "0", "--repeats", "1", "--min-secs", "0", "--anyway"]
    words = ["bench", name, "--host", "--engine", "openvino", *quick, "-o", f"{name}.openvino.json", "--json"]
    _, printed, error = edgekit(*words, work=work)
    try:
        point = json.loads(printed)["points"][0]
        parity = point["parity"]
        reason = parity["reason"] if parity else point["error"]
        openvino = Answer(parity and parity["max_relative_error"], bool(parity and parity["passed"]), reason)
    except (ValueError, LookupError):
        openvino = Answer(None, False, error)
    return {**answers, "openvino": openvino}


def device_answers(name: str, work: Path, serial: str) -> Answers:
    """All engines of a device."""
    words = ["verify", name, "--device", serial, "--engine", ",".join(DEVICE), "--json"]
    _, printed, error = edgekit(*words, work=work)
    found = {rung.partition("@")[0]: answer for rung, answer in rungs(printed).items() if "@" in rung}
    kinds = {"paddlelite": "nb-arm", "onnxruntime": "onnx", "mnn": "mnn", "ncnn": "ncnn"}
    return {engine: found.get(kind, Answer(None, False, error)) for engine, kind in kinds.items()}


def rungs(printed: str) -> Answers:
    """The rungs of `verify --json`."""
    try:
        listed = json.loads(printed)["rungs"]
    except (ValueError, LookupError):
        return {}
    return {
        one["name"]: Answer(
            one["parity"] and one["parity"]["max_relative_error"], one["status"] == "passed", one["reason"]
        )
        for one in listed
    }


def measure(names: Sequence[str], work: Path, serial: str | None) -> None:
    work.mkdir(parents=True, exist_ok=True)
    kept = work / ("device.jsonl" if serial else "host.jsonl")
    done = read(kept)
    for name in networks(names):
        if name in done or (serial and not (work / "models" / name / "manifest.json").exists()):
            continue
        answers = device_answers(name, work, serial) if serial else host_answers(name, work)
        with kept.open("ab") as file:
            file.write(msgspec.json.encode((name, answers)) + b"\n")
        print(name, *(f"{engine} {cell(one)}" for engine, one in answers.items()), flush=True)


def read(kept: Path) -> dict[str, Answers]:
    lines = kept.read_bytes().splitlines() if kept.exists() else []
    return dict(msgspec.json.decode(line, type=tuple[str, Answers]) for line in lines)


def cell(answer: Answer | None) -> str:
    if answer is None:
        return ""
    if answer.error is None:
        return "—"
    return f"{answer.error:.1e}" if answer.passed else f"**{answer.error:.1e}**"


def page(work: Path) -> str:
    """The whole page."""
    host, device = read(work / "host.jsonl"), read(work / "device.jsonl")
    columns = [*(("", engine) for engine in HOST), *(("ARM ", engine) for engine in DEVICE)]
    lines = [
        "# Agreement of the engines",
        "",
        "Written by `scripts/zoo_parity.py` from what it measured. A number is the largest error of fp32",
        "over the range of the network's outputs, on several inputs, with random weights; the network",
        "is computed by Paddle without any export.",
        f"The limit is {LIMIT:.0e}: what is over it is bold, what cannot be computed is —, and",
        "both are explained below. Empty: not run. ARM is the virtual Snapdragon 855.",
        "OpenVINO is compared with the Paddle artifact.",
        "",
        f"{len(host)} of the zoo's {len(networks([]))} networks were run on this machine,",
        f"{len(device)} on ARM, the smallest first. Variants that differ in weights alone are not counted.",
        "",
        f"| network | {' | '.join(side + engine for side, engine in columns)} |",
        f"|---|{'---:|' * len(columns)}",
    ]
    for name in networks([]):
        if name in host:
            cells = [cell((device if side else host).get(name, {}).get(engine)) for side, engine in columns]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    wrong = []
    for side, found in (("", host), ("ARM ", device)):
        for name, answers in found.items():
            for engine, one in answers.items():
                if not one.passed:
                    wrong.append(f"- {name}, {side}{engine}: {one.reason}")
    title = "## What is over the limit, and what cannot be computed"
    lines += ["", title, "", *(wrong or ["Nothing of what was run."])]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("action", choices=("measure", "table"))
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR")
    parser.add_argument("--device", metavar="SERIAL")
    asked = parser.parse_intermixed_args()
    if asked.action == "table":
        PAGE.write_text(page(asked.work))
    else:
        measure(asked.names, asked.work, asked.device)


if __name__ == "__main__":
    main()
