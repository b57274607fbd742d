"""From ONNX to MNN's `.mnn`, with the converter inside MNN's wheel as a child process.

The converter returns True whatever happens: only the file counts, and that MNN loads it again.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgekit import _process
from edgekit._files import temporary_directory
from edgekit.convert.formats.exact_gelu import with_exact_gelu
from edgekit.core.artifact import ArtifactKind, Signature
from edgekit.errors import ConversionError
from edgekit.toolchain.opt.environments import CLEAN

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TIMEOUT_S = 300.0
QUANTIZE_TIMEOUT_S = 1800.0
LOADED = "edgekit: "
OPTIONS: dict[ArtifactKind, dict[str, str]] = {ArtifactKind.MNN: {}, ArtifactKind.MNN_FP16: {"fp16": "true"}}
"""Options of the converter, by the kind that they make."""

# The converter's own command installs a package from the registry and reports every conversion with an
# identity of the machine; its module does not. MNN has no float64 and no int64, and makes others of them.
_CONVERT = f"""\
import json, sys
import _tools
import _mnncengine as mnn
source, target, *options = sys.argv[1:]
_tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", source, "--MNNModel", target,
                   "--bizCode", "edgekit", *options])
network = mnn.Interpreter(target)
session = network.createSession({{"numThread": 1}})
types = {{mnn.Halide_Type_Float: "float32", mnn.Halide_Type_Int: "int32", mnn.Halide_Type_Uint8: "uint8"}}
print({LOADED!r} + json.dumps([
    {{name: types.get(tensor.getDataType(), "unknown") for name, tensor in tensors.items()}}
    for tensors in (network.getSessionInputAll(session), network.getSessionOutputAll(session))
]))
"""
# One number of the calibration inputs a line, an input a directory; `input.json` names input and outputs.
_QUANTIZE = f"""\
import json, os, sys
import _tools
import _mnncengine as mnn
source, target, place = sys.argv[1:]
_tools.mnnquant(["mnnquant", source, target, os.path.join(place, "settings.json")])
network = mnn.Interpreter(target)
network.createSession({{"numThread": 1}})
print({LOADED!r})
"""
_UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HEADER_BYTES = 4096


def convert_to_mnn(
    python: Path, onnx: Path, signature: Signature, directory: Path, kind: ArtifactKind, name: str
) -> Signature:
    """Write the `.mnn` of a kind into a directory and load it again.

    Args:
        python: Interpreter of the converter's environment.
        onnx: The ONNX file.
        signature: Inputs and outputs of the ONNX file.
        directory: Where the file goes.
        kind: `mnn`, or `mnn-fp16` for weights in fp16.
        name: What messages call the model.

    Returns:
        Inputs and outputs of the `.mnn`.

    Raises:
        ConversionError: MNN lacks an operator, or left no file that it loads.
    """
    output = directory / kind.file_names[0]
    words = [f"--{option}" for option in OPTIONS[kind]]
    with temporary_directory("mnnconvert", directory) as scratch:
        run: list[str | Path] = [python, "-I", "-c", _CONVERT, with_exact_gelu(onnx, scratch), output, *words]
        done = _process.run(run, timeout_s=TIMEOUT_S, env=CLEAN)
    said = f"{done.stdout}\n{done.stderr}"
    lacking = re.search(r"These Op Not Support: (.*)", said)
    if lacking:
        operators = ", ".join(sorted({word.rpartition("::")[2] for word in lacking.group(1).split()}))
        raise ConversionError(f"converting {name} to .{kind.value}: MNN lacks the operator {operators}")
    if not output.is_file() or not output.stat().st_size or LOADED not in done.stdout:
        raise ConversionError(
            f"converting {name} to .{kind.value}: mnnconvert ended with "
            f"{_process.describe_exit(done.exit_code)} and left no file that MNN loads: {done.tail(2)}",
        )
    _fix_uuid(output)
    return _typed(signature, done.stdout.rpartition(LOADED)[2], name)


def quantize_mnn(
    python: Path, model: Path, signature: Signature, inputs: NDArray[np.float32], output: Path, name: str
) -> dict[str, str]:
    """Write the int8 `.mnn` of a float one, by MNN's own quantiser, and load it again.

    Args:
        python: Interpreter of the converter's environment.
        model: The float `.mnn`.
        signature: Its one input, and its outputs.
        inputs: Calibration inputs, N first.
        output: The file to write.
        name: What messages call the model.

    Returns:
        Options of the quantiser, for the manifest.

    Raises:
        ConversionError: It left no file that MNN loads.
    """
    options = {"feature_quantize_method": "KL", "weight_quantize_method": "MAX_ABS"}
    with temporary_directory("mnnquant", output.parent) as scratch:
        (pictures := scratch / "pictures").mkdir()
        names = {
            "inputs": [{"name": signature[0][0].name, "shape": [1, *inputs.shape[1:]]}],
            "outputs": [spec.name for spec in signature[1]],
        }
        for number, each in enumerate(inputs):
            (place := pictures / f"input_{number}").mkdir()
            (place / "input.json").write_bytes(msgspec.json.encode(names))
            each.tofile(place / f"{signature[0][0].name}.txt", sep="\n", format="%.7g")
        settings = {
            **options,
            "input_type": "sequence",
            "path": f"{pictures}/",
            "used_sample_num": len(inputs),
            "batch_size": 1,
        }
        (scratch / "settings.json").write_bytes(msgspec.json.encode(settings))
        # The quantiser writes a table beside its file.
        made = scratch / "int8.mnn"
        done = _process.run(
            [python, "-I", "-c", _QUANTIZE, model, made, scratch], timeout_s=QUANTIZE_TIMEOUT_S, env=CLEAN
        )
        if not made.is_file() or not made.stat().st_size or LOADED not in done.stdout:
            raise ConversionError(
                f"quantising {name} to .mnn: MNN's quantiser ended with "
                f"{_process.describe_exit(done.exit_code)} and left no file that MNN loads: {done.tail(2)}",
            )
        _fix_uuid(made)
        made.replace(output)
    return options


def _typed(signature: Signature, answer: str, name: str) -> Signature:
    """Return a signature with the types that MNN gives its tensors."""
    types = msgspec.json.decode(answer, type=list[dict[str, str]])
    for specs, found in zip(signature, types, strict=True):
        if {spec.name for spec in specs} != set(found):
            raise ConversionError(
                f"converting {name} to .mnn: its tensors are {', '.join(found)}, "
                f"not {', '.join(spec.name for spec in specs)}"
            )
    inputs, outputs = (
        tuple(msgspec.structs.replace(spec, dtype=found[spec.name]) for spec in specs)
        for specs, found in zip(signature, types, strict=True)
    )
    return inputs, outputs


def _fix_uuid(path: Path) -> None:
    """Replace the random identity in a `.mnn` by one that is made of the rest of the file."""
    content = path.read_bytes()
    found = _UUID.search(content, 0, _HEADER_BYTES)
    if found is None:
        return
    rest = hashlib.sha256(content[: found.start()] + content[found.end() :]).digest()
    own = str(uuid.UUID(bytes=rest[:16], version=4)).encode()
    path.write_bytes(content[: found.start()] + own + content[found.end() :])
