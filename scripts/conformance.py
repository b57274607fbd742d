"""ONNX's own backend tests through edgekit's converter, on Paddle Inference with oneDNN and as x86 `.nb`.

The cases are those of `onnx.backend.test`: of the node tests the ones whose first input and whose outputs
are float32, the other inputs made constant; and its simple, pytorch-converted and pytorch-operator models as
they are. Each case ends right, wrong, refused (by name), not running (Paddle does not load it) or aborting
(it ends the process, which is a child). Right means that the largest error is at most 1e-4 of the largest
number.

    scripts/conformance.py                    the table
    scripts/conformance.py --only resize -v   cases whose name has the word, one line each
    scripts/conformance.py --lite             also against the x86 .nb, where opt takes the program
"""

from __future__ import annotations

import argparse
import collections
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgekit import _process
from edgekit.engines.paddle import last_reason
from edgekit.toolchain.opt.environments import CLEAN

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
LIMIT = 1e-4
CASE_TIMEOUT_S = 120.0
LITE_OUTCOMES = ("right", "wrong", "aborting", "not running", "refused", "not taken")
OUTCOMES = ("right", "wrong", "aborting", "not running", "refused")


class Case(msgspec.Struct, frozen=True):
    """One of ONNX's tests, by its directory."""

    name: str
    kind: str
    directory: str


class Result(msgspec.Struct):
    """How a case ended; `why` is the refusal or the error; `lite` is the outcome of the `.nb`.

    Programs that edgekit makes no `.nb` of are `refused` there, those that opt itself refuses `not taken`.
    """

    outcome: str
    why: str = ""
    operators: tuple[str, ...] = ()
    lite: str = ""
    lite_why: str = ""


def data_directory() -> Path:
    """The files of ONNX's tests, as far as its package brings them."""
    import onnx.backend.test

    return Path(onnx.backend.test.__file__).parent / "data"


def cases() -> list[Case]:
    """All selected cases, in the order of their names."""
    data = data_directory()
    found = []
    for kind in KINDS:
        for directory in sorted((data / kind).iterdir()):
            if (directory / "model.onnx").is_file() and (kind != "node" or _is_float(directory)):
                found.append(Case(directory.name, kind, str(directory)))
    return found


def _is_float(directory: Path) -> bool:
    import onnx

    graph = onnx.load(directory / "model.onnx").graph

    def is_float(value: Any) -> bool:
        return bool(value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT)

    return bool(graph.input) and is_float(graph.input[0]) and all(is_float(each) for each in graph.output)


def load_case(case: Case) -> tuple[Any, dict[str, np.ndarray], list[np.ndarray]]:
    """The model with its other inputs as constants, what it is fed, and what it should give."""
    import onnx
    from onnx import numpy_helper

    directory = Path(case.directory)
    model = onnx.load(directory / "model.onnx")
    weights = {each.name for each in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    arrays = []
    for index in range(len(inputs)):
        path = directory / "test_data_set_0" / f"input_{index}.pb"
        arrays.append(_array(path, inputs[index]))
    fed = inputs if case.kind != "node" else inputs[:1]
    for value, array in zip(inputs, arrays, strict=True):
        if value in fed:
            continue
        model.graph.initializer.append(numpy_helper.from_array(array, value.name))
        model.graph.input.remove(value)
    feeds = {value.name: array for value, array in zip(inputs, arrays, strict=True) if value in fed}
    wanted = [
        _array(directory / "test_data_set_0" / f"output_{index}.pb", value)
        for index, value in enumerate(model.graph.output)
    ]
    return model, feeds, wanted


def _array(path: Path, value: Any) -> np.ndarray:
    import onnx
    from onnx import numpy_helper

    if not value.type.HasField("tensor_type"):
        raise NotImplementedError(f"{value.name} is no tensor")
    return numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))


def agrees(found: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> str:
    """Nothing where the results are right, else what is wrong with them."""
    for index, (own, other) in enumerate(zip(found, wanted, strict=True)):
        if own.shape != other.shape:
            return f"output {index} is {list(own.shape)}, not {list(other.shape)}"
        a, b = own.astype(np.float64), other.astype(np.float64)
        finite = np.isfinite(b)
        if (np.isnan(a) != np.isnan(b)).any() or (
            a[~finite & ~np.isnan(b)] != b[~finite & ~np.isnan(b)]
        ).any():
            return f"output {index} is not finite elsewhere"
        if finite.any():
            error = float(np.abs(a[finite] - b[finite]).max())
            if not error <= LIMIT * max(float(np.abs(b[finite]).max()), 1e-3):
                return f"output {index} is {error:.3g} off of {float(np.abs(b[finite]).max()):.3g}"
    return ""


def child() -> None:
    """Serve cases by name from stdin, a line of JSON each; may die of any of them."""
    from edgekit.engines.paddle import import_core

    core = import_core()
    keep = Path(sys.argv[2])
    for line in sys.stdin:
        case = msgspec.json.decode(line, type=Case)
        result = _try(core, case, keep / case.name)
        print("\n" + json.dumps(msgspec.to_builtins(result)), flush=True)


def _try(core: Any, case: Case, directory: Path) -> Result:
    from edgekit.convert.from_onnx import graph
    from edgekit.convert.from_onnx.convert import convert_onnx
    from edgekit.convert.importing.lite_faults import lite_faults
    from edgekit.convert.importing.program import parse
    from edgekit.errors import EdgekitError

    directory.mkdir(parents=True, exist_ok=True)
    try:
        model, feeds, wanted = load_case(case)
    except NotImplementedError as error:
        return Result("refused", str(error), ("(no tensor)",))
    operators = tuple(sorted({node.op_type for node in model.graph.node}))
    prefix = directory / "inference"
    try:
        graph.check(model, case.name)
        shapes = {name: array.shape for name, array in feeds.items()}
        done = convert_onnx(model, shapes, prefix, case.name, core=core)
    except EdgekitError as error:
        return Result("refused", error.message, operators)
    np.savez(
        directory / "data.npz",
        **{f"in{i}": array for i, array in enumerate(feeds.values())},
        **{f"out{i}": array for i, array in enumerate(wanted)},
    )
    try:
        found = infer(core, prefix, dict(zip(done.inputs, feeds.values(), strict=True)), done.outputs)
    except Exception as error:
        return Result("not running", last_reason(error), operators)
    wrong = agrees(found, wanted)
    faults = lite_faults(parse(prefix.with_suffix(".pdmodel"), case.name))
    why = ", ".join(f"{kind} {fault}" for kind, fault in faults.items())
    return Result("wrong" if wrong else "right", wrong, operators, "refused" if why else "", why)


def infer(core: Any, prefix: Path, feeds: dict[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
    """One inference as edgekit's engine configures it: oneDNN and all passes on, one thread."""
    config = core.AnalysisConfig(f"{prefix}.pdmodel", f"{prefix}.pdiparams")
    config.disable_gpu()
    config.disable_glog_info()
    config.enable_memory_optim()
    config.set_cpu_math_library_num_threads(1)
    config.enable_mkldnn()
    predictor = core.create_predictor(config)
    for name, array in feeds.items():
        handle = predictor.get_input_handle(name)
        handle.reshape(list(array.shape))
        handle._copy_from_cpu_bind(np.ascontiguousarray(array))
    predictor.run()
    return [np.asarray(predictor.get_output_handle(name).copy_to_cpu()) for name in outputs]


def run(chosen: Sequence[Case], keep: Path) -> Iterator[tuple[Case, Result]]:
    """Try cases in children; a child that dies takes one case with it."""
    words = [sys.executable, str(Path(__file__).resolve()), "--child", str(keep)]
    environment = {"FLAGS_enable_pir_api": "0", "GLOG_minloglevel": "3", "PYTHONPATH": str(ROOT)}
    process: _process.LineChild | None = None
    for case in chosen:
        if process is None:
            process = _process.LineChild(words, stderr_path=keep / "stderr.txt", env=environment)
        try:
            process.write_line(msgspec.json.encode(case).decode())
            while (line := process.read_line(CASE_TIMEOUT_S)) is not None and not line.startswith("{"):
                pass
        except (BrokenPipeError, TimeoutError):
            line = None
        if line is None:
            process.kill()
            why = " | ".join(process.stderr_text().strip().splitlines()[-3:])
            process = None
            yield case, Result("aborting", why[-300:])
        else:
            yield case, msgspec.convert(json.loads(line), Result)
    if process is not None:
        process.close()


def run_lite(names: Sequence[str], keep: Path) -> Iterator[tuple[str, str, str]]:
    """Convert kept programs by opt and run them on Paddle Lite's x86 kernels.

    Yields:
        The case, one of `LITE_OUTCOMES`, and why.
    """
    from edgekit.toolchain.opt.install import require_opt

    opt = require_opt(install=True, progress=print)
    assert opt.python is not None, "this opt is a binary, which runs no .nb"
    words = [opt.python, str(ROOT / "scripts" / "conformance_lite.py")]
    process: _process.LineChild | None = None
    for name in names:
        if process is None:
            process = _process.LineChild(words, stderr_path=keep / "lite_stderr.txt", env=CLEAN)
        stage, why, ended = "", "", False
        try:
            process.write_line(str(keep / name))
            while not ended:
                line = process.read_line(CASE_TIMEOUT_S)
                if line is None:
                    break
                if line.startswith('{"'):
                    said = json.loads(line)
                    stage, why, ended = said["stage"], said["why"], said["ended"]
        except (BrokenPipeError, TimeoutError):
            ended = False
        if not ended:
            process.kill()
            why = " | ".join(process.stderr_text().strip().splitlines()[-2:])[-300:]
            process = None
            yield name, "aborting" if stage else "not taken", why
        elif stage != "done":
            yield name, "not taken" if stage == "opt" else "not running", why
        else:
            wanted, found = np.load(keep / name / "data.npz"), np.load(keep / name / "lite.npz")
            count = len(found.files)
            wrong = agrees(
                [found[f"out{i}"] for i in range(count)],
                # Paddle Lite gives a number without dimensions as one in a row.
                [wanted[f"out{i}"].reshape(wanted[f"out{i}"].shape or (1,)) for i in range(count)],
            )
            yield name, "wrong" if wrong else "right", wrong


def table(results: dict[Case, Result]) -> str:
    """Markdown: a line for each kind of case, a column for each outcome."""
    lines = _rows(results, OUTCOMES, lambda result: result.outcome)
    if any(result.lite not in ("", "refused") for result in results.values()):
        taken = {case: result for case, result in results.items() if result.lite}
        lines += ["", "x86 .nb of those that are right:", ""]
        lines += _rows(taken, LITE_OUTCOMES, lambda result: result.lite)
    return "\n".join(lines)


def _rows(
    results: dict[Case, Result], outcomes: Sequence[str], outcome_of: Callable[[Result], str]
) -> list[str]:
    lines = [f"| cases | {' | '.join(outcomes)} | in all |", f"|---|{'---|' * (len(outcomes) + 1)}"]
    for kind in (*KINDS, "all"):
        of_kind = [result for case, result in results.items() if kind in (case.kind, "all")]
        counts = collections.Counter(map(outcome_of, of_kind))
        lines.append(f"| {kind} | {' | '.join(str(counts[each]) for each in outcomes)} | {len(of_kind)} |")
    return lines


def by_operator(results: dict[Case, Result], outcomes: Sequence[str]) -> str:
    """Refused and failing cases by operator, the most frequent first."""
    counts: collections.Counter[str] = collections.Counter()
    for case, result in results.items():
        if result.outcome in outcomes:
            counts[", ".join(result.operators[:3]) or case.name] += 1
    return "\n".join(f"{count:4} {name}" for name, count in counts.most_common())


def main() -> None:
    """Print the table; exit 1 where a case is wrong or aborting, in Paddle or as `.nb`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--lite", action="store_true", help="also run the x86 .nb, where opt takes it")
    parser.add_argument("--keep", type=Path, help="where programs and results stay")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each case that is not right")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        keep = arguments.keep or Path(scratch)
        keep.mkdir(parents=True, exist_ok=True)
        results = {}
        for case, result in run([case for case in cases() if arguments.only in case.name], keep):
            results[case] = result
            if arguments.verbose and result.outcome != "right":
                print(f"{result.outcome:12} {case.name}: {result.why}", flush=True)
        if arguments.lite:
            right = {case.name: result for case, result in results.items() if result.outcome == "right"}
            for name, outcome, why in run_lite([name for name, each in right.items() if not each.lite], keep):
                right[name].lite, right[name].lite_why = outcome, why
                if arguments.verbose and outcome != "right":
                    print(f"x86 .nb {outcome:12} {name}: {why}", flush=True)
        (keep / "results.json").write_text(
            json.dumps({case.name: msgspec.to_builtins(result) for case, result in results.items()}, indent=1)
        )
    print(table(results))
    for outcome in OUTCOMES[1:]:
        print(f"\n{outcome}:\n{by_operator(results, [outcome])}")
    if any({"wrong", "aborting"} & {result.outcome, result.lite} for result in results.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child()
    else:
        main()
