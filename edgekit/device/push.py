"""Pushes runner, libraries and models to devices; content-addressed, so a second push sends nothing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor

import msgspec

from edgekit.core.device import DeviceInfo
from edgekit.device.lock import held
from edgekit.device.packed import Model, PackedBundle, check_device, check_versions, label_items
from edgekit.device.probe import probe
from edgekit.device.store import DeviceStore
from edgekit.errors import EdgekitError
from edgekit.transports.far_shell import refusal
from edgekit.transports.interface import DeviceTransport

ShowBytes = Callable[[str, int, int], None]
"""Called with a serial, the bytes sent so far and all that are to be sent."""

TELL_EVERY_S = 10.0
UNPACK_TIMEOUT_S = 600.0
logger = logging.getLogger("edgekit")


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


Choose = Callable[[DeviceInfo], tuple[PackedBundle, Sequence[Model]]]
"""Chooses what a device gets: a runner for its processor, and models with artifacts for it."""


class SlowPush:
    """Tells every ten seconds how much of a push has arrived, and about how long the rest will take."""

    def __init__(self, serial: str, total_bytes: int) -> None:
        self._serial, self._total_bytes = serial, total_bytes
        self._started = self._told = time.monotonic()

    def tell(self, sent_bytes: int) -> None:
        """Log a line if the last one is old enough; `sent_bytes` have arrived so far."""
        moment = time.monotonic()
        if moment - self._told >= TELL_EVERY_S:
            self._told = moment
            logger.info(self.line(sent_bytes, moment - self._started))

    def line(self, sent_bytes: int, elapsed_s: float) -> str:
        """Return the line for a push of which `sent_bytes` have arrived in `elapsed_s`."""
        from edgekit.core.units import format_bytes

        left_s = (self._total_bytes - sent_bytes) * elapsed_s / max(1, sent_bytes)
        left = f"{left_s:.0f} s" if left_s < 90 else f"{left_s / 60:.0f} min"
        sent, total = format_bytes(sent_bytes), format_bytes(self._total_bytes)
        return f"pushing to {self._serial}: {sent} of {total}, about {left} left"


def push_to(
    store: DeviceStore,
    packed: PackedBundle,
    models: Sequence[Model],
    *,
    info: DeviceInfo | None = None,
    allow_mismatch: bool | None = None,
    show: ShowBytes | None = None,
    stop: threading.Event | None = None,
) -> Pushed:
    """Bring a bundle and models to one device whose lock is held.

    Raises:
        CancelledError: `stop` was set while bytes were sent.
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
        slow, arrived_bytes = SlowPush(serial, total_bytes), 0

        def progress(more_bytes: int) -> None:
            nonlocal arrived_bytes
            if stop is not None and stop.is_set():
                raise CancelledError
            arrived_bytes += more_bytes
            if show is None:
                slow.tell(arrived_bytes)
            else:
                show(serial, arrived_bytes, total_bytes)

        store.send(
            to_send,
            free_bytes=found.free_bytes,
            unpacked_bytes=packed.unpacked_bytes(to_send),
            progress=progress,
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

    Ctrl-C stops all of them.

    Args:
        transports: The devices.
        choose: Called with each device's description, from several threads.
        allow_mismatch: Take a `.nb` of another opt than the runtime's version.
        show: Called as bytes arrive.
    """
    guard, stop = threading.Lock(), threading.Event()

    def show_one(serial: str, sent: int, total: int) -> None:
        assert show is not None
        with guard:
            show(serial, sent, total)

    def push_one(transport: DeviceTransport) -> Outcome:
        def work(store: DeviceStore) -> Pushed:
            info = probe(store.transport, root=store.root)
            packed, models = choose(info)
            shown = None if show is None else show_one
            return push_to(
                store, packed, models, info=info, allow_mismatch=allow_mismatch, show=shown, stop=stop
            )

        return _on_device(transport, work)

    return _on_all(transports, push_one, stop)


def clean_all(transports: Sequence[DeviceTransport]) -> list[Outcome]:
    """Delete what edgekit has put on devices and nothing else."""

    def clean(store: DeviceStore) -> Pushed:
        return Pushed(serial=store.transport.serial, root=store.root, freed_bytes=store.clean())

    return _on_all(transports, lambda transport: _on_device(transport, clean), threading.Event())


def _on_all(
    transports: Sequence[DeviceTransport], work: Callable[[DeviceTransport], Outcome], stop: threading.Event
) -> list[Outcome]:
    """Work on all devices at once; an interruption sets `stop` and waits for those that still work."""
    if len(transports) == 1:
        return [work(transports[0])]
    with ThreadPoolExecutor(len(transports), thread_name_prefix="device") as pool:
        try:
            return list(pool.map(work, transports))
        except BaseException:
            stop.set()
            raise


def _on_device(transport: DeviceTransport, work: Callable[[DeviceStore], Pushed]) -> Outcome:
    try:
        store = DeviceStore(transport)
        with held(transport, store.root):
            return Outcome(report=work(store))
    except EdgekitError as error:
        return Outcome(report=Pushed(serial=transport.serial, error=error.message), error=error)
