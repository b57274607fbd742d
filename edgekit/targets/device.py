"""Run models on a device: push the files that it lacks, then start the native runner."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from edgekit._files import scratch_directory
from edgekit.core.artifact import Artifact, ArtifactFile, ArtifactKind
from edgekit.core.device import DeviceInfo
from edgekit.core.measurement import Environment, InstructionCount
from edgekit.core.processes import ProcessWatch
from edgekit.core.spec import Precision
from edgekit.device.lock import held
from edgekit.device.packed import Model, PackedBundle, check_device
from edgekit.device.probe import (
    OPENCL_LIBRARIES,
    check_identity,
    has_fp16,
    has_opencl,
    probe,
    read_environment,
    require_64_bit,
)
from edgekit.device.push import push_to
from edgekit.device.store import DeviceStore
from edgekit.engines.registry import artifact_kind, device_options, device_side
from edgekit.errors import EdgekitError, RunnerError, UnsupportedError
from edgekit.runners.session import RunnerSession
from edgekit.targets.bundles import Bundles, default_engine, device_target
from edgekit.targets.target import Placed, Subject
from edgekit.toolchain.build.bundle import check_target
from edgekit.transports.connect import LeftOut, open_devices
from edgekit.transports.interface import DeviceTransport, RemoteProcess
from edgekit.virtual.counting.counting import Stretch, counting_argv, parse_counts, parse_stretches

logger = logging.getLogger("edgekit")

# An emulated and counted inference of the largest network takes minutes where others take a second.
COUNTING_PATIENCE = 10.0
# An emulated inference of a detector at its own size takes a minute where a phone takes a tenth of a second.
EMULATED_PATIENCE = 5.0
PYTHON_START = "Python's own start with the import of numpy"


class _Runner(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle on the device, and the command line and environment that start its runner there.

    Attributes:
        counting_env: Replaces `env` where instructions are counted.
        left_out: The part of its start that cold start leaves out; None for native runners.
    """

    packed: PackedBundle
    argv: Sequence[str]
    env: Mapping[str, str]
    counting_env: Mapping[str, str]
    left_out: str | None


class DeviceTarget:
    """One device, held until `close`.

    Args:
        transport: The device; closed with the target.
        bundles: Where runners come from.
        allow_mismatch: Take a `.nb` of another opt than the runtime's version; None where the command has no
            such option.

    Raises:
        DeviceError: 32-bit, held by another command, or its storage cannot be written.
        DeviceLostError: It went away.
    """

    def __init__(
        self, transport: DeviceTransport, bundles: Bundles, *, allow_mismatch: bool | None = None
    ) -> None:
        self._transport = transport
        self._bundles = bundles
        self._allow_mismatch = allow_mismatch
        self._ready: dict[str, _Runner] = {}
        self._placed: dict[tuple[ArtifactFile, ...], Placed] = {}
        self._watch = ProcessWatch()
        # The process that held the device when its identity was last compared.
        self._compared: RemoteProcess | None = None
        self._stack = contextlib.ExitStack()
        self._stack.callback(transport.close)
        try:
            self._store = DeviceStore(transport)
            self._hold = self._stack.enter_context(held(transport, self._store.root))
            self._info = probe(transport, root=self._store.root)
            require_64_bit(self._info)
        except BaseException:
            self._stack.close()
            raise

    @property
    def info(self) -> DeviceInfo:
        return self._info

    @property
    def counts_instructions(self) -> bool:
        """Whether the device is emulated: its latency means nothing, its instructions can be counted."""
        return self._info.emulated

    @property
    def default_engine(self) -> str:
        return default_engine(self._info)

    def artifact_kind(
        self, engine: str, precision: Precision, options: Mapping[str, str] | None = None
    ) -> ArtifactKind:
        check_target(engine, device_target(self._info))
        kind = artifact_kind(engine, device_side(engine), precision, options)
        if kind is ArtifactKind.NB_OPENCL:
            self._check_opencl(engine)
        return kind

    @functools.cached_property
    def _has_opencl(self) -> bool:
        return has_opencl(self._transport)

    def _check_opencl(self, engine: str) -> None:
        """Refuse what computes by OpenCL where the device or the engine's library has none.

        Raises:
            UnsupportedError: With the remedy.
        """
        if not self._has_opencl:
            raise UnsupportedError(
                f"{engine} by OpenCL on {self._info.serial}: none of {', '.join(OPENCL_LIBRARIES)} is there",
                hint="leave out --engine-option backend=opencl",
            )
        bundle = self._bundles.get(engine, self._info).bundle
        if not bundle.opencl:
            raise UnsupportedError(
                f"{engine} by OpenCL on {self._info.serial}: its library {bundle.engine_version} was built "
                "without OpenCL",
                hint="edgekit toolchain install paddlelite-runtime --dir DIRECTORY  (a build with OpenCL)",
            )

    def check_artifact(self, kind: ArtifactKind) -> None:
        """Do nothing: artifacts for devices can be made on every host."""

    def max_threads(self, engine: str) -> int | None:
        """Return None: the runner on the device refuses or reports a number of threads that it cannot use."""
        device_side(engine)
        return None

    def options(self, engine: str, precision: Precision, asked: Mapping[str, str]) -> dict[str, str]:
        return device_options(engine, precision, asked)

    def prepare(self, engine: str) -> None:
        """Push the bundle of an engine where the device does not have it yet."""
        if engine in self._ready:
            return
        side = device_side(engine)
        packed = self._bundles.get(engine, self._info)
        check_device(self._info, (), packed.bundle)
        self._tell(push_to(self._store, packed, (), info=self._info).sent_bytes, f"the {engine} runner")
        bundle, directory = packed.bundle, f"{self._store.root}/{packed.directory}"
        self._ready[engine] = _Runner(
            packed=packed,
            argv=bundle.argv(directory),
            env=bundle.env(directory),
            counting_env=bundle.counting_env(directory),
            left_out=None if side.wheel is None else PYTHON_START,
        )

    def place(self, subject: Subject, artifact: Artifact) -> Placed:
        known = self._placed.get(artifact.files)
        if known is not None:
            return known
        model = Model(
            directory=subject.directory,
            manifest=subject.manifest,
            artifacts=(artifact,),
            remake=subject.remake(),
        )
        packed = self._bundle_for(artifact.kind)
        self._check_fp16(artifact, packed)
        pushed = push_to(self._store, packed, (model,), info=self._info, allow_mismatch=self._allow_mismatch)
        self._tell(pushed.sent_bytes, f"{subject.manifest.name} {artifact.kind.value}")
        paths = [self._store.path(item) for item in model.items(artifact)]
        params = paths[1] if len(paths) > 1 else None
        placed = Placed(model=paths[0], params=params, mismatch=pushed.mismatch)
        self._placed[artifact.files] = placed
        return placed

    def _check_fp16(self, artifact: Artifact, packed: PackedBundle) -> None:
        """Refuse fp16 artifacts where the cores or the library have no fp16: the runner would abort.

        Raises:
            UnsupportedError: With the remedy.
        """
        if artifact.kind.precision is not Precision.FP16:
            return
        if not has_fp16(self._info.features):
            raise UnsupportedError(
                f"{artifact.main_file} on {self._info.serial}: its cores have no fp16 arithmetic",
                hint="--precision fp32",
            )
        if not packed.bundle.fp16:
            raise UnsupportedError(
                f"{artifact.main_file} on {self._info.serial}: the {packed.bundle.engine} library "
                f"{packed.bundle.engine_version} was built without fp16 kernels",
                hint="edgekit toolchain install paddlelite-runtime --dir DIRECTORY  (a build with fp16)",
            )

    def _bundle_for(self, kind: ArtifactKind) -> PackedBundle:
        for engine, runner in self._ready.items():
            if kind in device_side(engine).kinds:
                return runner.packed
        raise RunnerError(f"placing {kind.value} on {self._info.serial}: no engine for it is prepared")

    def _tell(self, sent_bytes: int, what: str) -> None:
        from edgekit.core.units import format_bytes

        if sent_bytes:
            logger.info("pushed %s to %s (%s)", what, self._info.serial, format_bytes(sent_bytes))

    def bundle_file(self, engine: str, name: str) -> Path:
        """Return the path on this machine of a file in the bundle of an engine."""
        self.prepare(engine)
        return self._ready[engine].packed.bundle.files[name]

    def session(
        self,
        engine: str,
        label: str,
        *,
        counted: bool = False,
        entries: str | None = None,
        remake: Callable[[], str] | None = None,
    ) -> RunnerSession:
        """Return a session with a fresh runner process, not started yet.

        Args:
            engine: The engine that computes.
            label: The name of the session in errors.
            counted: Run it under the instruction counter.
            entries: Functions whose entries the counter marks, made by `entry_list`.
            remake: Returns the command that makes the model's artifacts anew; called for hints alone.
        """
        self.prepare(engine)
        self._hold.renew()
        runner = self._ready[engine]
        argv, env = runner.argv, runner.env
        if counted:
            argv = counting_argv(argv, self._counts_path, entries=self._send_entries(entries))
            env = runner.counting_env
        return RunnerSession(
            self._transport,
            argv,
            env=env,
            scratch=f"{self._store.root}/run",
            label=f"{label} on {self._info.serial}",
            remake=remake,
            patience=COUNTING_PATIENCE if counted else EMULATED_PATIENCE if self._info.emulated else 1.0,
        )

    def start_left_out(self, engine: str) -> str | None:
        """Return the start of Python for the engines that native runners do not run."""
        return self._ready[engine].left_out

    @property
    def _counts_path(self) -> str:
        return f"{self._store.root}/run/counts"

    def _send_entries(self, entries: str | None) -> str | None:
        if entries is None:
            return None
        remote = f"{self._store.root}/run/entries"
        with scratch_directory("entries") as directory:
            local = Path(directory) / "entries"
            local.write_text(entries)
            self._transport.push(local, remote)
        return remote

    def instruction_count(self) -> InstructionCount:
        """Return the instructions of one inference of the last counted session.

        Raises:
            RunnerError: It marked none.
        """
        return parse_counts(self._counts())

    def stretches(self) -> tuple[Stretch, ...]:
        """Return one inference of the last session that was counted with `entries`, cut at these functions.

        Raises:
            RunnerError: It marked no inference, or they differ.
        """
        return parse_stretches(self._counts())

    def _counts(self) -> str:
        text = self._transport.read_text(self._counts_path)
        if text is None:
            raise RunnerError(
                f"counting instructions on {self._info.serial}: the counter wrote nothing",
                hint=f"edgekit virtual stop {self._info.serial}; edgekit virtual start",
            )
        return text

    def environment(self, engine: str) -> Environment:
        """Read the circumstances on the device now.

        Raises:
            DeviceLostError: The device went away, or another machine answers behind its serial.
        """
        read = read_environment(self._transport, self._watch)
        holds = self._hold.process
        if holds is None or holds is not self._compared:
            check_identity(self._transport, self._info)
            self._compared = holds
        return read

    def close(self) -> None:
        """Free the device for other commands; its files stay."""
        self._stack.close()


@contextlib.contextmanager
def opened_targets(
    devices: Sequence[str],
    adb_servers: Sequence[str] = (),
    *,
    install: bool = True,
    allow_mismatch: bool | None = None,
    other_engines: bool = True,
    left_out: LeftOut | None = None,
) -> Iterator[list[DeviceTarget]]:
    """Open and hold the devices of a command, or the only device attached where none is named.

    `left_out` is told of devices that cannot be opened or held; without it the first of them ends the
    command. `allow_mismatch` and `other_engines` say which options the command has, too: hints name no
    others.

    Raises: as `open_devices` and `DeviceTarget`.
    """
    with contextlib.ExitStack() as stack:
        bundles = stack.enter_context(
            contextlib.closing(Bundles(install=install, other_engines=other_engines))
        )
        targets = []
        transports = open_devices(devices, adb_servers, left_out)
        for transport in transports:
            stack.callback(transport.close)
        for transport in transports:
            try:
                target = DeviceTarget(transport, bundles, allow_mismatch=allow_mismatch)
            except EdgekitError as error:
                if left_out is None:
                    raise
                left_out(transport.serial, error)
                continue
            stack.callback(target.close)
            targets.append(target)
        yield targets
