"""Networks that people bring: PyTorch's own and Paddle's own, imported and compared.

    scripts/networks.py                            the table, of everything
    scripts/networks.py --only mobilenet_v3 -v     what has the word in its name, one line each
    scripts/networks.py --quick                    without .nb

tests/data/networks holds graphs of torchvision's and timm's networks as PyTorch's two exporters write them,
without weights (scripts/make_network_fixtures.py makes them). Seeded numbers of the same shapes are put in.
Then the graph is converted, computed by Paddle Inference with oneDNN, and converted by opt to `.nb` for arm
and x86; the x86 one is computed by Paddle Lite. Right means at most 1e-4 of the range of ONNX Runtime's
outputs, for each of two inputs.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import json
import math
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgekit import _process
from edgekit._files import sha256_file
from edgekit.core.parity import compare
from edgekit.core.spec import Precision
from edgekit.engines.paddle import last_reason
from edgekit.errors import EdgekitError

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "tests" / "data" / "networks"
SUFFIX = ".onnx.gz"
WITHOUT_DATA = "data left out"
CASE_TIMEOUT_S = 300.0
INPUTS = 2
RIGHT = "right"
FURTHER = "-default-free"


class Case(msgspec.Struct, frozen=True):
    """A model to try.

    Attributes:
        name: Of a fixture, NETWORK-EXPORTER-OPSET-BATCH; or what messages call `model`.
        directory: Where programs and results go.
        nb: Whether to convert on to `.nb`.
        model: An ONNX file instead of a fixture.
    """

    name: str
    directory: str
    nb: bool = False
    model: str | None = None


class Result(msgspec.Struct):
    """How far a network came: each rung is `right` with its error, or says what was wrong."""

    paddle: str = ""
    error: float | None = None
    arm: str = ""
    x86: str = ""
    x86_error: float | None = None


def fixture_names() -> list[str]:
    """All fixtures, by name."""
    return sorted(path.name.removesuffix(SUFFIX) for path in FIXTURES.glob(f"*{SUFFIX}"))


def load_fixture(name: str) -> Any:
    """A fixture's ONNX model with seeded weights."""
    import onnx

    document = onnx.load_from_string(gzip.decompress((FIXTURES / f"{name}{SUFFIX}").read_bytes()))
    fill(document)
    return document


def fill(document: Any) -> None:
    """Put numbers into the tensors that have lost theirs; they depend on names and shapes alone.

    Weights are scaled after He et al. 2015, so that activations stay in range; variances are positive.
    """
    graph = document.graph
    readers: dict[str, list[tuple[str, int]]] = collections.defaultdict(list)
    for node in graph.node:
        for index, name in enumerate(node.input):
            readers[name].append((node.op_type, index))
    constants = [
        (node.output[0], each.t) for node in graph.node for each in node.attribute if each.name == "value"
    ]
    for name, tensor in [*((each.name, each) for each in graph.initializer), *constants]:
        if tensor.doc_string == WITHOUT_DATA:
            tensor.doc_string = ""
            values = _values(name, tuple(tensor.dims), set(readers[name]))
            tensor.raw_data = values.astype(np.float32).tobytes()


def _values(name: str, shape: tuple[int, ...], readers: set[tuple[str, int]]) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(f"{name} {shape}".encode()))
    read_by = {kind for kind, _ in readers}
    if read_by & {"Conv", "Gemm", "MatMul", "Transpose"} and len(shape) > 1:
        inputs = shape[-2] if "MatMul" in read_by else math.prod(shape[1:])
        return rng.standard_normal(shape) * math.sqrt(2 / inputs)
    scales = {("BatchNormalization", 1), ("BatchNormalization", 4), ("LayerNormalization", 1)}
    if readers & scales or read_by & {"Mul", "Div"}:
        return rng.uniform(0.5, 1.5, shape)
    return rng.standard_normal(shape) * 0.1


def pictures(shape: tuple[int, ...]) -> np.ndarray:
    """Seeded noise, float32[INPUTS,*shape]."""
    return np.random.default_rng(0).standard_normal((INPUTS, *shape)).astype(np.float32)


def compute_onnx(model: Path, inputs: np.ndarray) -> np.ndarray:
    """Return ONNX Runtime's outputs, one picture at a time: float32[N,C]."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    rows = [session.run(None, {name: inputs[[index]]})[0] for index in range(len(inputs))]
    return np.concatenate(rows).reshape(len(inputs), -1)


def compute_paddle(core: Any, prefix: Path, inputs: np.ndarray) -> np.ndarray:
    """Paddle Inference as edgekit's engine configures it: oneDNN and all passes on, one thread."""
    config = core.AnalysisConfig(f"{prefix}.pdmodel", f"{prefix}.pdiparams")
    config.disable_gpu()
    config.disable_glog_info()
    config.enable_memory_optim()
    config.set_cpu_math_library_num_threads(1)
    config.enable_mkldnn()
    predictor = core.create_predictor(config)
    handle = predictor.get_input_handle(predictor.get_input_names()[0])
    rows = []
    for index in range(len(inputs)):
        handle.reshape([1, *inputs.shape[1:]])
        handle._copy_from_cpu_bind(np.ascontiguousarray(inputs[[index]]))
        predictor.run()
        rows.append(np.array(predictor.get_output_handle(predictor.get_output_names()[0]).copy_to_cpu()))
    return np.concatenate(rows).reshape(len(inputs), -1)


_LITE = """\
import sys, numpy
from paddlelite.lite import MobileConfig, create_paddle_predictor
config = MobileConfig()
config.set_model_from_file(sys.argv[1])
predictor = create_paddle_predictor(config)
inputs, rows = numpy.load(sys.argv[2]), []
for index in range(len(inputs)):
    predictor.get_input(0).from_numpy(inputs[[index]])
    predictor.run()
    rows.append(predictor.get_output(0).numpy().copy().reshape(1, -1))
numpy.save(sys.argv[3], numpy.concatenate(rows))
"""


def compute_lite(python: str, model: Path, inputs: Path, outputs: Path) -> np.ndarray:
    """Paddle Lite on x86, of the wheel that opt comes in."""
    from edgekit.toolchain.opt.environments import CLEAN

    words = [python, "-c", _LITE, model, inputs, outputs]
    done = _process.run(words, timeout_s=CASE_TIMEOUT_S, env=CLEAN)
    if not outputs.is_file():
        raise RuntimeError(f"Paddle Lite: {_process.describe_exit(done.exit_code)}: {done.tail(2)}")
    return np.load(outputs)


def judge(outputs: np.ndarray, wanted: np.ndarray) -> tuple[str, float | None]:
    """`right` or what is wrong, and the largest error over the range."""
    verdict = compare(
        outputs.tolist(), wanted.tolist(), precision=Precision.FP32, reference_name="onnxruntime"
    )
    return (RIGHT if verdict.passed else f"wrong: {verdict.reason}"), verdict.max_relative_error


def child() -> None:
    """Serve cases from stdin, a line of JSON each; may die of any of them."""
    from edgekit.engines.paddle import import_core

    core = import_core()
    computed: dict[str, np.ndarray] = {}
    for line in sys.stdin:
        result = _try(core, msgspec.json.decode(line, type=Case), computed)
        print("\n" + json.dumps(msgspec.to_builtins(result)), flush=True)


def _try(core: Any, case: Case, computed: dict[str, np.ndarray]) -> Result:
    """Convert a network and judge it; `computed` holds Paddle's outputs by what it computed them from."""
    import onnx

    from edgekit.convert.from_onnx import graph
    from edgekit.convert.from_onnx.convert import convert_onnx

    directory = Path(case.directory)
    directory.mkdir(parents=True, exist_ok=True)
    document = load_fixture(case.name) if case.model is None else onnx.load(case.model)
    source, prefix = directory / "model.onnx", directory / "inference"
    source.write_bytes(document.SerializeToString())
    value = document.graph.input[0]
    inputs = pictures(tuple(each.dim_value for each in value.type.tensor_type.shape.dim)[1:])
    np.save(directory / "inputs.npy", inputs)
    result = Result()
    try:
        graph.check(document, case.name)
        convert_onnx(document, {value.name: (1, *inputs.shape[1:])}, prefix, case.name, core=core)
    except EdgekitError as error:
        result.paddle = f"refused: {error.message}"
        return result
    wanted = compute_onnx(source, inputs)
    files = (prefix.with_suffix(".pdmodel"), prefix.with_suffix(".pdiparams"), directory / "inputs.npy")
    # Opsets of a network often give the same program.
    digest = " ".join(map(sha256_file, files))
    try:
        if digest not in computed:
            computed[digest] = compute_paddle(core, prefix, inputs)
        result.paddle, result.error = judge(computed[digest], wanted)
    except Exception as error:
        result.paddle = f"not running: {last_reason(error)}"
    if case.nb:
        _convert_on(result, prefix, wanted, case.name)
    return result


def _convert_on(result: Result, prefix: Path, wanted: np.ndarray, name: str) -> None:
    """Fill in what becomes of the program at opt and Paddle Lite."""
    from edgekit.convert.formats.lite import convert, lite_worker
    from edgekit.toolchain.opt.install import require_opt

    opt = require_opt(install=False, progress=lambda _: None)
    directory = prefix.parent
    ends = {}
    model, params = prefix.with_suffix(".pdmodel"), prefix.with_suffix(".pdiparams")
    with lite_worker(opt) as worker:
        for target in ("arm", "x86"):
            try:
                convert(worker, opt, model, params, {target: directory / f"inference.{target}.nb"}, name=name)
                ends[target] = RIGHT
            except EdgekitError as error:
                ends[target] = f"refused: {error.message}"
    result.arm, result.x86 = ends["arm"], ends["x86"]
    if result.x86 == RIGHT and opt.python is not None:
        try:
            rows = compute_lite(
                str(opt.python),
                directory / "inference.x86.nb",
                directory / "inputs.npy",
                directory / "lite.npy",
            )
        except RuntimeError as error:
            result.x86 = f"not running: {error}"
        else:
            result.x86, result.x86_error = judge(rows, wanted)


def run(cases: Sequence[Case], scratch: Path) -> Iterator[tuple[Case, Result]]:
    """Try cases in children; a child that dies takes one case with it."""
    words = [sys.executable, str(Path(__file__).resolve()), "--child"]
    environment = {"FLAGS_enable_pir_api": "0", "GLOG_minloglevel": "3", "PYTHONPATH": str(ROOT)}
    process: _process.LineChild | None = None
    try:
        for case in cases:
            if process is None:
                process = _process.LineChild(words, stderr_path=scratch / "stderr.txt", env=environment)
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
                yield case, Result(paddle=f"aborting: {why[-300:]}")
            else:
                yield case, msgspec.convert(json.loads(line), Result)
    finally:
        if process is not None:
            process.close()


def table(results: dict[str, Result]) -> str:
    """Markdown: a row for each network."""
    lines = [
        "| network | graphs | right in Paddle | error | `.nb` arm | `.nb` x86 | error |",
        "|---|---|---|---|---|---|---|",
    ]
    for network in sorted({name.split("-")[0] for name in results}):
        own = [result for name, result in results.items() if name.split("-")[0] == network]
        on = [result for result in own if result.arm]
        cells = [
            network,
            str(len(own)),
            str(sum(each.paddle == RIGHT for each in own)),
            _worst(each.error for each in own),
            f"{sum(each.arm == RIGHT for each in on)} of {len(on)}",
            f"{sum(each.x86 == RIGHT for each in on)} of {len(on)}",
            _worst(each.x86_error for each in on),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _worst(errors: Iterable[float | None]) -> str:
    found = [each for each in errors if each is not None]
    return f"{max(found):.0e}" if found else ""


def main() -> None:
    """Print the table, then what is not right; exit 1 where there is any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--quick", action="store_true", help="without .nb")
    parser.add_argument(
        "--keep",
        type=Path,
        help="where programs and results stay; what is in its results.json is not tried again",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each case")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = arguments.keep or Path(temporary)
        scratch.mkdir(parents=True, exist_ok=True)
        kept = scratch / "results.json"
        results = msgspec.json.decode(kept.read_bytes(), type=dict[str, Result]) if kept.exists() else {}
        names = [name for name in fixture_names() if arguments.only in name and name not in results]
        # The programs of all opsets are nearly the same: those of the default go on to .nb.
        cases = [
            Case(name, str(scratch / name), nb=name.endswith(FURTHER) and not arguments.quick)
            for name in names
        ]
        for case, result in run(cases, scratch):
            results[case.name] = result
            kept.write_bytes(msgspec.json.encode(results))
            shutil.rmtree(case.directory, ignore_errors=True)
            if arguments.verbose:
                print(f"{case.name}: {result}", flush=True)
    print(table(results))
    failed = [
        f"{name}, {rung}: {told}"
        for name, result in sorted(results.items())
        for rung, told in (("Paddle", result.paddle), ("arm", result.arm), ("x86", result.x86))
        if told not in (RIGHT, "")
    ]
    print("\n".join(failed))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child()
    else:
        main()
