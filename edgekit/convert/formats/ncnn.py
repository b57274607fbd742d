"""From ONNX to ncnn's `.param` and `.bin`, with pnnx as a child process.

pnnx ends with exit code 0 and writes files where ncnn lacks a layer: ncnn's own loader is asked.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from edgekit import _process
from edgekit._files import temporary_directory
from edgekit.core.artifact import ArtifactKind, Signature, TensorSpec
from edgekit.errors import ConversionError, ToolError
from edgekit.toolchain.opt.environments import CLEAN

TIMEOUT_S = 300.0
LOADED = "edgekit: loaded"
OPTIONS: dict[ArtifactKind, dict[str, str]] = {
    ArtifactKind.NCNN: {"fp16": "0"},
    ArtifactKind.NCNN_FP16: {"fp16": "1"},
}
"""Options of pnnx, by the kind that they make; its own default is fp16."""

_LOAD = f"""\
import sys
import ncnn
network = ncnn.Net()
if network.load_param(sys.argv[1]) == 0 and network.load_model(sys.argv[2]) == 0:
    print({LOADED!r}, *network.input_names(), *network.output_names())
"""
# pnnx's spelling of types where they are not float32.
_TYPES = {"float32": "", "float16": "f16", "int64": "i64", "int32": "i32", "int8": "i8", "uint8": "u8"}
# Parameters of ncnn's Input layer, from the last axis to the first.
_SIZES = {1: ("0",), 2: ("0", "1"), 3: ("0", "1", "2"), 4: ("0", "1", "11", "2")}


def convert_to_ncnn(
    python: Path, onnx: Path, signature: Signature, directory: Path, kind: ArtifactKind, name: str
) -> Signature:
    """Write the `.param` and `.bin` of a kind into a directory and load them again.

    The files are for one input at a time. The `.param` says the sizes of the inputs, without the batch where
    ncnn drops it.

    Args:
        python: Interpreter of pnnx's environment.
        onnx: The ONNX file.
        signature: Inputs and outputs of the ONNX file.
        directory: Where the files go.
        kind: `ncnn`, or `ncnn-fp16` for weights in fp16.
        name: What messages call the model.

    Returns:
        Inputs and outputs by ncnn's names, `in0`, `out0` and so on.

    Raises:
        ConversionError: ncnn lacks an operator, or pnnx left no files that it loads.
    """
    doing = f"converting {name} to {kind.value}"
    shapes = [_one_at_a_time(spec, doing) for spec in signature[0]]
    asked = ",".join(
        f"[{','.join(map(str, shape))}]{_type(spec, doing)}"
        for spec, shape in zip(signature[0], shapes, strict=True)
    )
    with temporary_directory("pnnx", directory) as scratch:
        # pnnx writes a dozen files beside its model.
        (scratch / "model.onnx").symlink_to(onnx.absolute())
        words = [f"{option}={value}" for option, value in OPTIONS[kind].items()]
        done = _process.run(
            [_program(python), "model.onnx", f"inputshape={asked}", *words],
            timeout_s=TIMEOUT_S,
            env=CLEAN,
            cwd=scratch,
        )
        made = [scratch / f"model.ncnn.{suffix}" for suffix in ("param", "bin")]
        script = scratch / "model_ncnn.py"
        if not all(path.is_file() for path in (*made, script)):
            raise ConversionError(f"{doing}: {_pnnx_failure(done)}")
        dropped = _drops_batch(script.read_text(), doing)
        sizes = [shape[1:] if dropped else shape for shape in shapes]
        made[0].write_text(_with_sizes(made[0].read_text(), sizes, doing))
        _check_loadable(python, made, doing)
        for path, target in zip(made, kind.file_names, strict=True):
            shutil.move(path, directory / target)
    inputs, outputs = (
        tuple(
            TensorSpec(name=f"{prefix}{index}", dtype=_ncnn_type(spec.dtype), shape=(1, *spec.shape[1:]))
            for index, spec in enumerate(specs)
        )
        for prefix, specs in zip(("in", "out"), signature, strict=True)
    )
    return inputs, outputs


def _one_at_a_time(spec: TensorSpec, doing: str) -> tuple[int, ...]:
    free = [size for size in spec.shape[1:] if size is None]
    batch = spec.shape[0] if spec.shape else None
    if free or batch not in (None, 1):
        sizes = "x".join("?" if size is None else str(size) for size in spec.shape)
        raise ConversionError(
            f"{doing}: ncnn takes one input of known sizes at a time, {spec.name} is {sizes}"
        )
    return (1, *(size for size in spec.shape[1:] if size is not None))


def _type(spec: TensorSpec, doing: str) -> str:
    if spec.dtype not in _TYPES:
        raise ConversionError(f"{doing}: pnnx takes no {spec.dtype}, which {spec.name} is")
    return _TYPES[spec.dtype]


def _ncnn_type(dtype: str) -> str:
    return {"int64": "int32", "float64": "float32"}.get(dtype, dtype)


def _program(python: Path) -> Path:
    """Return pnnx itself: the script that the wheel installs imports torch's exporter."""
    found = sorted(python.parent.parent.glob("lib/python3*/site-packages/pnnx/pnnx"))
    if not found:
        raise ToolError(
            f"converting to ncnn: there is no pnnx in {python.parent.parent}",
            hint="edgekit toolchain install pnnx --force",
        )
    if not os.access(found[0], os.X_OK):
        found[0].chmod(0o755)
    return found[0]


def _pnnx_failure(done: _process.Completed) -> str:
    said = f"{done.stdout}\n{done.stderr}"
    unknown = re.search(r"(\S+)\(-?\d+\) is not a registered function/op|unexpected op_type (\S+)", said)
    if unknown:
        return f"pnnx lacks the operator {(unknown.group(1) or unknown.group(2)).rpartition(':')[2]}"
    return f"pnnx ended with {_process.describe_exit(done.exit_code)} and wrote no files: {done.tail(2)}"


def _drops_batch(script: str, doing: str) -> bool:
    """Return whether ncnn's tensors are without the batch, by the script that pnnx writes for its files.

    Raises:
        ConversionError: Some are and others are not, so that nothing says which axes outputs have.
    """
    places = {int(number) for number in re.findall(r"batch_index=(\d+)", script)}
    if len(places) != 1 or not places <= {0, 233}:
        raise ConversionError(f"{doing}: ncnn drops the batch of some of its inputs and outputs only")
    return places == {0}


def _with_sizes(param: str, sizes: Sequence[tuple[int, ...]], doing: str) -> str:
    """Return a `.param` whose Input layers say their sizes."""
    lines = []
    for line in param.splitlines():
        words = line.split()
        if words[:1] == ["Input"]:
            shape = sizes[int(words[-1].removeprefix("in"))]
            if len(shape) not in _SIZES:
                raise ConversionError(f"{doing}: ncnn has tensors of 1 to 4 axes, not {len(shape)}")
            hints = zip(_SIZES[len(shape)], reversed(shape), strict=True)
            line = " ".join([line, *(f"{key}={size}" for key, size in hints)])
        lines.append(line)
    return "\n".join(lines) + "\n"


def _check_loadable(python: Path, files: Sequence[Path], doing: str) -> None:
    done = _process.run([python, "-I", "-c", _LOAD, *files], timeout_s=TIMEOUT_S, env=CLEAN)
    lacking = re.search(r"layer (\S+) not exists or registered", done.stderr)
    if lacking:
        raise ConversionError(f"{doing}: ncnn lacks the operator {lacking.group(1)}")
    if LOADED not in done.stdout:
        raise ConversionError(f"{doing}: ncnn does not load what pnnx wrote: {done.tail(2)}")
