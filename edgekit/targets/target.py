"""Run models on this machine, or on a device that offers the same calls."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from edgekit.convert.formats.operators import check_program
from edgekit.convert.manifest import first_fault, remake, usable_artifact, word_for
from edgekit.core.artifact import Artifact, ArtifactKind, Manifest, TensorSpec
from edgekit.core.processes import ProcessWatch
from edgekit.core.spec import Precision
from edgekit.engines.registry import PREDICT_ENGINE, artifact_kind, host_options, host_side, on_gpu
from edgekit.errors import InputError, UnsupportedError
from edgekit.runners.launch import Launcher, host_launcher
from edgekit.runners.protocol import Load, Tensor
from edgekit.runners.session import RunnerSession
from edgekit.transports.local import LocalTransport
from edgekit.vision.labels import read_own_labels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.core.bench_options import PowerMode
    from edgekit.core.device import DeviceInfo
    from edgekit.core.measurement import Environment, InstructionCount


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """An exported model: its artifact directory and the manifest in it.

    Attributes:
        anyway: Hand out artifacts that failed their check, too.
    """

    directory: Path
    manifest: Manifest
    anyway: bool = False

    def at_absolute(self) -> Subject:
        """Return the model with an absolute path, for processes with another working directory."""
        return msgspec.structs.replace(self, directory=self.directory.absolute())

    def artifact(self, kind: ArtifactKind, serial: str | None = None) -> Artifact:
        """The artifact of that kind, for this machine or for the device of that serial.

        Raises:
            InputError: The model has none; the hint is the command that makes it.
            ParityError: It failed its check.
        """
        return usable_artifact(self.manifest, self.directory, kind, serial=serial, anyway=self.anyway)

    def remake(self, options: str = "--force") -> str:
        """Return the command line that makes the artifacts anew; `options` replace its own."""
        return remake(self.manifest, self.directory, options)

    @property
    def word(self) -> str:
        """The word, quoted for a shell, by which commands find the model."""
        return word_for(self.manifest, self.directory)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes; empty where the model has none. Raises InputError for a damaged file."""
        own, classes = self.manifest.labels, self.manifest.num_classes
        return read_own_labels(self.directory / own, classes) if own else ()

    @property
    def fixed_batch(self) -> int | None:
        """The only batch that the model takes; None where it takes any."""
        shape = self.manifest.inputs[0].shape
        return shape[0] if shape else None

    def load_inputs(self, specs: Sequence[TensorSpec], batch_size: int) -> tuple[Tensor, ...]:
        """The inputs of the model, or of one of its artifacts, as a runner loads them.

        Args:
            specs: Their names and types; there are as many as the model has inputs.
            batch_size: First size of the first input, and of every other whose first size is free.
        """
        shapes = [(batch_size, *self.input_shape)]
        for spec in self.manifest.inputs[1:]:
            free = (batch_size, *(1,) * len(spec.shape))
            shapes.append(tuple(size or other for size, other in zip(spec.shape, free, strict=False)))
        return tuple(
            Tensor(name=spec.name, dtype=spec.dtype, shape=shape)
            for spec, shape in zip(specs, shapes, strict=True)
        )

    @property
    def is_plain(self) -> bool:
        """Whether the model has one input and one output, both float32."""
        specs = (*self.manifest.inputs, *self.manifest.outputs)
        single = len(self.manifest.inputs) == len(self.manifest.outputs) == 1
        return single and all(spec.dtype == "float32" for spec in specs)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input without the batch; a free size is that of the preprocessing's crop."""
        sizes = self.manifest.inputs[0].shape[1:]
        known = tuple(size for size in sizes if size)
        if len(known) == len(sizes):
            return known
        pictures = (None,) * (len(sizes) - 2) + self.manifest.preprocess.size
        return tuple(own or wanted or 1 for own, wanted in zip(sizes, pictures[-len(sizes) :], strict=True))


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """Paths of an artifact on the machine where the runner reads it.

    Attributes:
        mismatch: Versions of opt and the runtime that differ, and were allowed to.
    """

    model: str
    params: str | None
    mismatch: str | None = None


class Target(Protocol):
    """One machine to measure on: `HostTarget`, or `DeviceTarget` of `edgekit.targets.device`."""

    @property
    def info(self) -> DeviceInfo:
        """Description of the machine, probed once at the start."""

    @property
    def default_engine(self) -> str:
        """Engine of a command that computes here and names none."""

    def artifact_kind(
        self, engine: str, precision: Precision, options: Mapping[str, str] | None = None
    ) -> ArtifactKind:
        """Return the kind of artifact that an engine reads here. Raises UsageError, UnsupportedError."""

    def check_artifact(self, kind: ArtifactKind) -> None:
        """Raise UnsupportedError where no artifact of a kind can be made for this machine at all."""

    def max_threads(self, engine: str) -> int | None:
        """Return the most threads that an engine can use here; None where it has no limit of its own."""

    def options(self, engine: str, precision: Precision, asked: Mapping[str, str]) -> dict[str, str]:
        """Return the asked options that belong to an engine, and the options that the precision needs."""

    def prepare(self, engine: str) -> None:
        """Make an engine ready to start: install or push its runner. Raises ToolError, DeviceError."""

    def place(self, subject: Subject, artifact: Artifact) -> Placed:
        """Copy an artifact to the machine where it is missing there.

        Its files are compared with the manifest, unless that was done and they have not changed since.
        Runners load them without hashing them again.

        Raises:
            InputError: A file is missing or has changed.
        """

    @property
    def counts_instructions(self) -> bool:
        """Whether instructions are counted in the place of time, on emulated devices."""

    def session(
        self, engine: str, label: str, *, counted: bool = False, remake: Callable[[], str] | None = None
    ) -> RunnerSession:
        """Return a session with a fresh runner process, not started yet.

        Args:
            engine: The engine that computes.
            label: The name of the session in errors.
            counted: Run it under the instruction counter; only emulated devices can.
            remake: Returns the command that makes the model's artifacts anew; called for hints alone.
        """

    def start_left_out(self, engine: str) -> str | None:
        """Return the beginning of an engine's start that cold start excludes; None for the whole start."""

    def instruction_count(self) -> InstructionCount:
        """Return the instructions of one inference of the last counted session, after it has been closed.

        Raises:
            RunnerError: The session counted nothing.
        """

    def environment(self, engine: str) -> Environment:
        """Read the circumstances now, and which processes were busy since the reading before.

        Raises:
            DeviceLostError: The device went away, or another machine answers behind its serial.
        """

    def close(self) -> None:
        """Release the machine and its connections."""


def load_request(
    target: Target,
    subject: Subject,
    artifact: Artifact,
    *,
    batch_size: int = 1,
    threads: int = 1,
    cores: Sequence[int] | None = None,
    power_mode: PowerMode | None = None,
    options: Mapping[str, str] | None = None,
) -> Load:
    """Make the request that loads an artifact on a target; a missing artifact is copied there first.

    Args:
        options: All options of the engine; see `Target.options`.
    """
    placed = target.place(subject, artifact)
    return Load(
        model=placed.model,
        params=placed.params,
        threads=threads,
        cores=None if cores is None else tuple(cores),
        power_mode=None if power_mode is None else power_mode.value,
        inputs=subject.load_inputs(artifact.inputs, batch_size),
        options=dict(options or {}),
    )


def infer_batches(
    session: RunnerSession, inputs: NDArray[np.float32], batch_size: int
) -> NDArray[np.float32]:
    """Outputs of all inputs, `batch_size` at a time: float32[N, C]."""
    import numpy

    parts = [
        session.infer([inputs[start : start + batch_size]])[0][0]
        for start in range(0, len(inputs), batch_size)
    ]
    rows = numpy.concatenate([part.reshape(len(part), -1) for part in parts])
    return numpy.asarray(rows, dtype=numpy.float32)


def infer_feeds(
    session: RunnerSession, feeds: Sequence[Sequence[NDArray[Any]]], batch_size: int = 1
) -> list[list[NDArray[Any]]]:
    """Return all outputs by batch of feeds; a feed has an array for each input, in the model's order.

    Feeds that are inferred together are joined along the first axis; a single one may have inputs without.
    """
    import numpy

    outputs = []
    for start in range(0, len(feeds), batch_size):
        arrays, *others = feeds[start : start + batch_size]
        if others:
            arrays = [numpy.concatenate(rows) for rows in zip(arrays, *others, strict=True)]
        typed = [array.astype(dtype) for array, dtype in zip(arrays, session.dtypes, strict=True)]
        outputs.append(session.infer(typed)[0])
    return outputs


def split_batches(batches: Sequence[Sequence[NDArray[Any]]], batch_size: int) -> list[list[NDArray[Any]]]:
    """Return outputs by feed from outputs by batch.

    Raises:
        UnsupportedError: An output has not as many rows for each feed of a batch.
    """
    import numpy

    if batch_size == 1:
        return [list(batch) for batch in batches]
    outputs: list[list[NDArray[Any]]] = []
    for batch in batches:
        try:
            parts = [numpy.split(value, batch_size) for value in batch]
        except ValueError as error:
            shapes = ", ".join(str(list(value.shape)) for value in batch)
            raise UnsupportedError(
                f"the outputs {shapes} for {batch_size} inputs together are not divided by them"
            ) from error
        outputs += [list(each) for each in zip(*parts, strict=True)]
    return outputs


class HostTarget:
    """This machine, with the Python engines.

    Args:
        install: Whether packages and components of an engine may be installed on the way.
        huge_pages: As `edgekit.runners.launch.host_launcher`; a bench measures engines without.
        transport: Starts the runners; closed with the target. A new one where None.
    """

    def __init__(
        self, *, install: bool = True, huge_pages: bool = False, transport: LocalTransport | None = None
    ) -> None:
        self._install = install
        self._huge_pages = huge_pages
        self._transport = transport or LocalTransport()
        self._launchers: dict[str, Launcher] = {}
        self._watch = ProcessWatch()

    @functools.cached_property
    def info(self) -> DeviceInfo:
        from edgekit.targets.host import host_info

        return host_info()

    @property
    def default_engine(self) -> str:
        return PREDICT_ENGINE

    def artifact_kind(
        self, engine: str, precision: Precision, options: Mapping[str, str] | None = None
    ) -> ArtifactKind:
        return artifact_kind(engine, host_side(engine), precision)

    def check_artifact(self, kind: ArtifactKind) -> None:
        if kind is not ArtifactKind.NB_X86:
            return
        from edgekit.toolchain.opt.opt import find_opt, x86_obstacle, x86_remedy

        opt = find_opt()
        obstacle = x86_obstacle(opt)
        if opt is not None and obstacle is not None:
            raise UnsupportedError(f"no {kind.value} here: {obstacle}", hint=x86_remedy())

    def max_threads(self, engine: str) -> int | None:
        return host_side(engine).max_threads

    def options(self, engine: str, precision: Precision, asked: Mapping[str, str]) -> dict[str, str]:
        return host_options(engine, precision, asked)

    def prepare(self, engine: str) -> None:
        if engine not in self._launchers:
            self._launchers[engine] = host_launcher(
                engine, install=self._install, huge_pages=self._huge_pages
            )

    def place(self, subject: Subject, artifact: Artifact) -> Placed:
        fault = first_fault(artifact, subject.directory)
        if fault is not None:
            raise InputError(fault, hint=subject.remake())
        paths = [subject.directory.absolute() / file.path for file in artifact.files]
        if artifact.kind.format == "paddle":
            check_program(paths[0])
        # The second file of an artifact with several holds its parameters.
        params = str(paths[1]) if len(paths) > 1 else None
        return Placed(model=str(paths[0]), params=params)

    @property
    def counts_instructions(self) -> bool:
        return False

    def session(
        self, engine: str, label: str, *, counted: bool = False, remake: Callable[[], str] | None = None
    ) -> RunnerSession:
        if counted:
            raise UnsupportedError(f"{label}: instructions are counted on the virtual device only")
        self.prepare(engine)
        launcher = self._launchers[engine]
        return RunnerSession(self._transport, launcher.argv, env=launcher.env, label=label, remake=remake)

    def start_left_out(self, engine: str) -> str | None:
        return None

    def instruction_count(self) -> InstructionCount:
        raise UnsupportedError("counting instructions: the virtual device only does that")

    def environment(self, engine: str) -> Environment:
        from edgekit.targets.environment import read_host_environment

        return read_host_environment(self._watch, gpu=on_gpu(engine))

    def close(self) -> None:
        self._transport.close()
