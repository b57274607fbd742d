"""Pushes runner, libraries and models to devices; content-addressed, so a second push sends nothing."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Protocol

import msgspec

from edgekit._files import scratch_directory
from edgekit.core.artifact import Artifact, Manifest
from edgekit.core.device import DeviceInfo
from edgekit.core.spec import Precision
from edgekit.device.lock import held
from edgekit.device.probe import has_fp16, probe, require_64_bit
from edgekit.device.store import DeviceStore, Item
from edgekit.errors import DeviceError, EdgekitError, MismatchError, ToolError
from edgekit.transports.far_shell import local_digest, refusal
from edgekit.transports.interface import DeviceTransport

ShowBytes = Callable[[str, int, int], None]
"""Called with a serial, the bytes sent since the last call and all that are to be sent."""

TELL_EVERY_S = 10.0
UNPACK_TIMEOUT_S = 600.0
logger = logging.getLogger("edgekit")


class Part(Protocol):
    """A directory of files that several bundles share."""

    @property
    def directory(self) -> str:
        """Its name on the device, which changes with its content."""

    @property
    def files(self) -> Mapping[str, Path]:
        """Path in the part -> file here."""

    @property
    def unpacked_bytes(self) -> int:
        """Size of the files that are unpacked there from its archive."""


class Bundle(Protocol):
    """A runner with everything that it needs, as `edgekit.toolchain.build.bundle` assembles it."""

    @property
    def engine(self) -> str:
        """Name of the engine."""

    @property
    def engine_version(self) -> str:
        """Version of the engine's library."""

    @property
    def abi(self) -> str:
        """`arm64-v8a` or `x86_64`."""

    @property
    def files(self) -> Mapping[str, Path]:
        """Path in the bundle -> file here."""

    @property
    def fp16(self) -> bool:
        """Whether the library computes in fp16."""

    @property
    def opencl(self) -> bool:
        """Whether the library computes by OpenCL."""

    @property
    def features(self) -> Sequence[str]:
        """Features, as the kernel names them, that every core must have."""

    @property
    def parts(self) -> Sequence[Part]:
        """Directories beside the bundle's own that it needs."""

    def unpacking(self, remote_dir: str) -> tuple[Sequence[str], Mapping[str, str]] | None:
        """Command line and environment that unpack what is not unpacked yet; None where nothing is."""

    def argv(self, remote_dir: str) -> Sequence[str]:
        """The runner's command line once the bundle is in `remote_dir`."""

    def env(self, remote_dir: str) -> Mapping[str, str]:
        """Environment variables of the runner."""

    def counting_env(self, remote_dir: str) -> Mapping[str, str]:
        """Environment variables of the runner when its instructions are counted."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """An exported model and which of its artifacts go to a device.

    Attributes:
        remake: Command that makes the artifacts anew, for hints.
    """

    directory: Path
    manifest: Manifest
    artifacts: tuple[Artifact, ...]
    remake: str = "edgekit models list"

    def items(self, artifact: Artifact) -> list[Item]:
        """The files of one of the artifacts as a device's store has them. Raises ToolError."""
        return artifact_items(self.directory, artifact, self.remake)


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a push on one device.

    Attributes:
        freed_bytes: What `--clean` gave back; None for a push.
        mismatch: Versions of opt and the runtime that differ, and were allowed to.
        error: Why it failed, None where all is there.
    """

    serial: str
    root: str | None = None
    engine: str | None = None
    engine_version: str | None = None
    models: tuple[str, ...] = ()
    sent_files: int = 0
    sent_bytes: int = 0
    present_files: int = 0
    wall_s: float = 0.0
    freed_bytes: int | None = None
    mismatch: str | None = None
    error: str | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A device's report, and its error for the exit code."""

    report: Pushed
    error: EdgekitError | None = None


class PackedBundle:
    """A bundle as items of a device's store; hashed once for all devices.

    Its directory there is named by the content of all its files, so argument vectors and paths are
    the same for the same bundle, on which instruction counts depend.
    """

    def __init__(self, bundle: Bundle) -> None:
        import hashlib

        self.bundle = bundle
        digests = {path: local_digest(file) for path, file in sorted(bundle.files.items())}
        listing = "\n".join(
            [
                *(part.directory for part in bundle.parts),
                *(f"{each} {path}" for path, each in digests.items()),
            ]
        )
        self.identity = hashlib.sha256(listing.encode()).hexdigest()[:16]
        self.directory = f"bundles/{bundle.engine}-{self.identity}"
        self._note = contextlib.ExitStack()
        note = self._note.enter_context(scratch_directory("bundle")) / "bundle"
        note.write_text(f"{bundle.engine}={bundle.engine_version}\nrunner={self.identity}\n")
        programs = (
            _item(file, f"{self.directory}/{path}", digests[path], mode=0o755)
            for path, file in sorted(bundle.files.items())
        )
        shared = (
            _item(file, f"bundles/{part.directory}/{path}", local_digest(file), mode=0o755)
            for part in bundle.parts
            for path, file in sorted(part.files.items())
        )
        self.items = (*shared, *programs, _item(note, f"{self.directory}/.bundle", local_digest(note)))

    def unpacked_bytes(self, to_send: Sequence[Item]) -> int:
        """Return the size of the files that will be unpacked on the device once these items are there."""
        sent = {item.path for item in to_send}
        return sum(
            part.unpacked_bytes
            for part in self.bundle.parts
            if any(f"bundles/{part.directory}/{path}" in sent for path in part.files)
        )

    def close(self) -> None:
        """Delete the temporary file of versions."""
        self._note.close()


Choose = Callable[[DeviceInfo], tuple[PackedBundle, Sequence[Model]]]
"""Chooses what a device gets: a runner for its processor, and models with artifacts for it."""


def _item(local: Path, path: str, sha256: str, *, mode: int = 0o644) -> Item:
    return Item(local=local, path=path, sha256=sha256, size_bytes=local.stat().st_size, mode=mode)


def artifact_items(directory: Path, artifact: Artifact, remake: str) -> list[Item]:
    """The files of an artifact under the names that they have in a device's store.

    Args:
        directory: Where the files lie.
        artifact: The artifact.
        remake: Command that makes the artifact anew.

    Raises:
        ToolError: A file is not the one of the manifest.
    """
    items = []
    for file in artifact.files:
        local = directory / file.path
        if not local.is_file() or local.stat().st_size != file.size_bytes:
            raise ToolError(f"pushing {local}: it is not the file of the manifest", hint=remake)
        items.append(
            Item(
                local=local,
                path=f"models/{file.sha256}{PurePosixPath(file.path).suffix}",
                sha256=file.sha256,
                size_bytes=file.size_bytes,
            )
        )
    return items


def label_items(model: Model) -> list[Item]:
    """The model's label list, where it has one."""
    if model.manifest.labels is None:
        return []
    local = model.directory / model.manifest.labels
    digest = local_digest(local)
    return [_item(local, f"models/{digest}.txt", digest)]


def check_versions(model: Model, bundle: Bundle, *, allow_mismatch: bool | None = None) -> str | None:
    """Paddle Lite's runtime reads only what its own version of opt wrote; others fail in odd ways.

    Args:
        model: The model and its artifacts.
        bundle: The runner.
        allow_mismatch: Whether the user allows it; None where the command has no such option.

    Returns:
        The versions that differ and are allowed to; None where they agree.

    Raises:
        MismatchError: opt's and the runtime's versions differ.
    """
    allowed = None
    for artifact in model.artifacts:
        wrote, reads = artifact.tool_version, bundle.engine_version
        if artifact.kind.format != "nb" or _release(wrote) == _release(reads):
            continue
        observed = f"opt {wrote} wrote {artifact.main_file}, the runtime is {reads}"
        if not allow_mismatch:
            raise MismatchError(
                f"pushing {model.manifest.name}: {observed}",
                hint=f"edgekit toolchain install paddlelite-runtime --version {wrote}"
                + ("" if allow_mismatch is None else ", or --allow-mismatch"),
            )
        logger.warning("%s: %s; --allow-mismatch", model.manifest.name, observed)
        allowed = observed
    return allowed


def _release(version: str) -> str:
    return version.strip().lstrip("v")


def check_device(info: DeviceInfo, models: Sequence[Model], bundle: Bundle) -> None:
    """Check ABI and fp16 arithmetic before anything is sent.

    Raises:
        DeviceError: 32-bit, another ABI, or no fp16 arithmetic for an fp16 artifact.
    """
    require_64_bit(info)
    if bundle.abi not in info.abis:
        raise DeviceError(
            f"pushing to {info.serial}: it runs {', '.join(info.abis)}, the {bundle.engine} runner is for "
            f"{bundle.abi}",
            hint="choose a device with that ABI: edgekit devices",
        )
    lacking = [each for each in bundle.features if each not in info.features]
    if lacking:
        raise DeviceError(
            f"pushing to {info.serial}: its cores have no {', '.join(lacking)}, which the {bundle.engine} "
            f"runner {bundle.engine_version} needs",
            hint="--engine onnxruntime runs on every ARM64 core",
        )
    for model in models:
        for artifact in model.artifacts:
            if artifact.kind.precision is Precision.FP16 and not has_fp16(info.features):
                raise DeviceError(
                    f"pushing {model.manifest.name} to {info.serial}: its cores have no fp16 arithmetic, "
                    f"which {artifact.main_file} needs",
                    hint="--precision fp32",
                )


class SlowPush:
    """Tells every ten seconds how much of a push has arrived, and about how long the rest will take."""

    def __init__(self, serial: str, total_bytes: int) -> None:
        self._serial, self._total_bytes = serial, total_bytes
        self._sent_bytes = 0
        self._started = self._told = time.monotonic()

    def add(self, sent_bytes: int) -> None:
        """Count bytes that have arrived."""
        self._sent_bytes += sent_bytes
        moment = time.monotonic()
        if moment - self._told >= TELL_EVERY_S:
            self._told = moment
            logger.info(self.line(moment - self._started))

    def line(self, elapsed_s: float) -> str:
        """Return the line for a push that has taken `elapsed_s` so far."""
        from edgekit.core.units import format_bytes

        left_s = (self._total_bytes - self._sent_bytes) * elapsed_s / max(1, self._sent_bytes)
        left = f"{left_s:.0f} s" if left_s < 90 else f"{left_s / 60:.0f} min"
        sent, total = format_bytes(self._sent_bytes), format_bytes(self._total_bytes)
        return f"pushing to {self._serial}: {sent} of {total}, about {left} left"


def push_to(
    store: DeviceStore,
    packed: PackedBundle,
    models: Sequence[Model],
    *,
    info: DeviceInfo | None = None,
    allow_mismatch: bool | None = None,
    show: ShowBytes | None = None,
) -> Pushed:
    """Bring a bundle and models to one device whose lock is held.

    Raises:
        DeviceError: Wrong ABI, no fp16, no space, refused.
        DeviceLostError: The link broke.
        ToolError: opt and runtime do not belong together.
    """
    started = time.monotonic()
    serial = store.transport.serial
    found_mismatches = [
        check_versions(model, packed.bundle, allow_mismatch=allow_mismatch) for model in models
    ]
    wanted = {item.path: item for item in packed.items}
    for model in models:
        for artifact in model.artifacts:
            wanted.update((item.path, item) for item in model.items(artifact))
        wanted.update((item.path, item) for item in label_items(model))
    found = store.inspect(list(wanted.values()))
    to_send = [*found.missing, *store.damaged(found.doubtful)]
    if to_send:
        check_device(info or probe(store.transport, root=store.root), models, packed.bundle)
        total_bytes = sum(item.size_bytes for item in to_send)
        slow = SlowPush(serial, total_bytes)
        store.send(
            to_send,
            free_bytes=found.free_bytes,
            unpacked_bytes=packed.unpacked_bytes(to_send),
            progress=slow.add if show is None else lambda sent: show(serial, sent, total_bytes),
        )
    unpack_there(store, packed)
    return Pushed(
        serial=serial,
        root=store.root,
        engine=packed.bundle.engine,
        engine_version=packed.bundle.engine_version,
        models=tuple(model.manifest.name for model in models),
        sent_files=len(to_send),
        sent_bytes=sum(item.size_bytes for item in to_send),
        present_files=len(wanted) - len(to_send),
        wall_s=time.monotonic() - started,
        mismatch="; ".join(filter(None, found_mismatches)) or None,
    )


def unpack_there(store: DeviceStore, packed: PackedBundle) -> None:
    """Unpack a bundle's archives on the device unless that was done.

    Raises:
        DeviceError: The device has no room, or cannot run the bundle's programs.
        DeviceLostError: The link broke.
    """
    unpacking = packed.bundle.unpacking(f"{store.root}/{packed.directory}")
    if unpacking is None:
        return
    argv, env = unpacking
    done = store.transport.run(argv, timeout_s=UNPACK_TIMEOUT_S, env=env)
    if done.exit_code != 0:
        said = done.stderr.strip() or f"exit code {done.exit_code}"
        raise refusal(f"unpacking the {packed.bundle.engine} runner", store.transport.serial, said)


def push_all(
    transports: Sequence[DeviceTransport],
    choose: Choose,
    *,
    allow_mismatch: bool = False,
    show: ShowBytes | None = None,
) -> list[Outcome]:
    """Push to several devices at once, one thread each; a device's failure is its own.

    Args:
        transports: The devices.
        choose: Called with each device's description, from several threads.
        allow_mismatch: Take a `.nb` of another opt than the runtime's version.
        show: Called as bytes arrive.
    """
    guard = threading.Lock()

    def show_one(serial: str, sent: int, total: int) -> None:
        assert show is not None
        with guard:
            show(serial, sent, total)

    def push_one(transport: DeviceTransport) -> Outcome:
        def work(store: DeviceStore) -> Pushed:
            info = probe(store.transport, root=store.root)
            packed, models = choose(info)
            shown = None if show is None else show_one
            return push_to(store, packed, models, info=info, allow_mismatch=allow_mismatch, show=shown)

        return _on_device(transport, work)

    return _on_all(transports, push_one)


def clean_all(transports: Sequence[DeviceTransport]) -> list[Outcome]:
    """Delete what edgekit has put on devices and nothing else."""

    def clean(store: DeviceStore) -> Pushed:
        return Pushed(serial=store.transport.serial, root=store.root, freed_bytes=store.clean())

    return _on_all(transports, lambda transport: _on_device(transport, clean))


def _on_all(
    transports: Sequence[DeviceTransport], work: Callable[[DeviceTransport], Outcome]
) -> list[Outcome]:
    if len(transports) == 1:
        return [work(transports[0])]
    with ThreadPoolExecutor(len(transports), thread_name_prefix="device") as pool:
        return list(pool.map(work, transports))


def _on_device(transport: DeviceTransport, work: Callable[[DeviceStore], Pushed]) -> Outcome:
    try:
        store = DeviceStore(transport)
        with held(transport, store.root):
            return Outcome(report=work(store))
    except EdgekitError as error:
        return Outcome(report=Pushed(serial=transport.serial, error=error.message), error=error)
