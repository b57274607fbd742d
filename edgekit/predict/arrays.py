"""Outputs of any model for arrays: `.npz` in, `.npz` out."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit._files import atomic_file, check_plain_file, output_error
from edgekit.core.artifact import TensorSpec
from edgekit.core.spec import Precision
from edgekit.errors import InputError, UsageError
from edgekit.predict.lanes import plan_route
from edgekit.targets.target import Subject, Target, load_request

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

SUFFIX = ".npz"
MOST_BYTES = 2 << 30
_HINT = "numpy.savez('inputs.npz', NAME=array, ...) writes such a file"


class Computed(msgspec.Struct, frozen=True, kw_only=True):
    """Outputs of a model.

    Attributes:
        outputs: Names, types and shapes of the arrays in the file.
        latency_ns: Time of the inference, ns, as the runner measured it.
    """

    outputs: tuple[TensorSpec, ...]
    latency_ns: int


def compute_file(
    target: Target,
    subject: Subject,
    inputs: Path,
    output: Path,
    *,
    engine: str,
    precision: Precision,
    threads: int = 1,
) -> Computed:
    """Run the arrays of a file through a model once, and write all its outputs into another file.

    Args:
        target: Machine on which the engine runs.
        subject: Model with its artifacts.
        inputs: `.npz` with an array for each input, by the names of the manifest.
        output: `.npz` to write, with an array for each output.
        engine: Engine that computes.
        precision: Precision of the artifact.
        threads: Number of threads of the runner.

    Raises:
        UsageError: The engine does not exist, or the output is the file of the inputs.
        UnsupportedError: The engine does not compute in this precision.
        InputError: The file lacks an input, or an array fits none; or the model lacks the artifact.
        RunnerError, DeviceError, DeviceLostError: The runner failed.
        OutputError: The outputs cannot be written.
    """
    if inputs.exists() and output.exists() and output.samefile(inputs):
        raise UsageError(f"-o {output}: that is the file of the inputs", hint="-o outputs.npz")
    manifest = subject.manifest
    route = plan_route(target, subject, engine, precision)
    arrays = read_arrays(inputs, manifest.inputs)
    target.prepare(engine)
    request = load_request(target, subject, route.artifact, threads=threads, options=route.options)
    given = list(arrays.values())
    sizes = [
        msgspec.structs.replace(tensor, shape=tuple(array.shape))
        for tensor, array in zip(request.inputs, given, strict=True)
    ]
    label = f"{route.name} on {manifest.name}"
    with target.session(engine, label, remake=subject.remake) as session:
        session.load(msgspec.structs.replace(request, inputs=tuple(sizes)))
        values, inferred = session.infer(given)
    outputs = dict(zip((spec.name for spec in manifest.outputs), values, strict=True))
    write_arrays(output, outputs)
    return Computed(
        outputs=tuple(
            TensorSpec(name=name, dtype=array.dtype.name, shape=array.shape)
            for name, array in outputs.items()
        ),
        latency_ns=inferred.latency_ns,
    )


def read_arrays(path: Path, specs: Sequence[TensorSpec]) -> Arrays:
    """Return a file's arrays in the order of a model's inputs.

    Raises:
        InputError: The file is no `.npz` of plain arrays, lacks an input, has others, or an array has
            another type or shape than its input.
    """
    import numpy

    check_plain_file(path, "the inputs", hint=_HINT)
    try:
        with zipfile.ZipFile(path) as archive:
            size_bytes = sum(member.file_size for member in archive.infolist())
        if size_bytes > MOST_BYTES:
            raise InputError(
                f"reading the inputs {path}: they unpack to {size_bytes >> 20} MB, more than "
                f"{MOST_BYTES >> 20}",
                hint="divide them among several files",
            )
        with numpy.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except MemoryError as error:  # a header may claim any shape
        raise InputError(
            f"reading the inputs {path}: {error}", hint="divide them among several files"
        ) from error
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile) as error:
        raise InputError(f"reading the inputs {path}: {error}", hint=_HINT) from error
    wanted = ", ".join(f"{spec.name} {describe(spec)}" for spec in specs)
    missing = [spec.name for spec in specs if spec.name not in arrays]
    further = [name for name in arrays if name not in {spec.name for spec in specs}]
    if missing or further:
        faults = [f"it lacks {', '.join(missing)}"] if missing else []
        faults += [f"the model has no {', '.join(further)}"] if further else []
        raise InputError(f"reading the inputs {path}: {'; '.join(faults)}", hint=f"the model takes {wanted}")
    for spec in specs:
        array = arrays[spec.name]
        fits = len(array.shape) == len(spec.shape) and all(
            own in (None, given) for own, given in zip(spec.shape, array.shape, strict=True)
        )
        if array.dtype.name != spec.dtype or not fits or not array.size:
            raise InputError(
                f"reading the inputs {path}: {spec.name} is {array.dtype.name}{list(array.shape)}, the model "
                f"takes {describe(spec)}",
                hint=f"inputs[{spec.name!r}].astype({spec.dtype!r})" if fits and array.size else _HINT,
            )
    # Machines of the other byte order write such arrays too; engines read this machine's.
    found = (arrays[spec.name] for spec in specs)
    return {
        spec.name: array.astype(array.dtype.newbyteorder("="), copy=False)
        for spec, array in zip(specs, found, strict=True)
    }


def describe(spec: TensorSpec) -> str:
    """Return type and shape of a tensor, e.g. `float32[N,3,640,640]`; a free size is N, or ? elsewhere."""
    sizes = [
        str(size) if size is not None else "N" if place == 0 else "?" for place, size in enumerate(spec.shape)
    ]
    return f"{spec.dtype}[{','.join(sizes)}]"


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as `.npz`, whole or not at all. Raises OutputError."""
    import numpy

    try:
        with atomic_file(path) as part, part.open("wb") as file:
            numpy.savez(file, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise output_error(path, error) from error
