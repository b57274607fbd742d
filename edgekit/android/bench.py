"""A sweep inside the app: started by intent, waited for, its result file collected."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from edgekit import __version__
from edgekit._files import scratch_directory
from edgekit.android.package_manager import require_app_runtime, require_installed
from edgekit.android.project import PACKAGE
from edgekit.core.bench_options import PowerMode
from edgekit.core.measurement import Point, Result, Status
from edgekit.core.result_versions import ResultFormatError, decode_result
from edgekit.device.lock import held
from edgekit.device.probe import probe
from edgekit.device.store import store_root
from edgekit.errors import DeviceLostError, RunnerError
from edgekit.transports.interface import DeviceTransport

ACTIVITY = f"{PACKAGE}/.ui.BenchmarkActivity"
ACTION = f"{PACKAGE}.BENCH"
RESULTS = f"/sdcard/Android/data/{PACKAGE}/files/results"
PIDOF = "/system/bin/pidof"
COMMAND_TIMEOUT_S = 30.0
POLL_S = 1.0
# Loading, the self-test and writing the file, on a slow phone, beside the timed and warm-up inferences.
POINT_MARGIN_S = 60.0
# The activity manager names the process before it runs, and takes it away after it has ended.
ABSENT_POLLS = 3

Report = Callable[[Point], None]
"""Called with every point as it comes."""


class AppSweep(msgspec.Struct, frozen=True, kw_only=True):
    """A sweep to measure in the app.

    Attributes:
        models: Bundled models by name; empty: all.
        engines: Engines of the installed flavour; empty: all.
        power_mode: None leaves each engine its default.
        min_s: Fewest timed seconds a point.
        max_s: Most timed seconds a point.
        processes: How often the app is started; each start measures every point once.
    """

    models: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    threads: tuple[int, ...] = (1,)
    power_mode: PowerMode | None = None
    warmup: int = 10
    warmup_s: float = 0.5
    repeats: int = 100
    min_s: float = 1.0
    max_s: float = 60.0
    processes: int = 1

    def extras(self, run_id: str, serial: str) -> dict[str, str]:
        """The intent's extras, all of them strings; `org.edgekit.demo.bench.BenchPlan` reads them."""
        extras = {
            "run_id": run_id,
            "serial": serial,
            "edgekit_version": __version__,
            "models": ",".join(self.models),
            "engines": ",".join(self.engines),
            "threads": ",".join(map(str, self.threads)),
            "power_mode": self.power_mode.value if self.power_mode else "",
            "warmup": str(self.warmup),
            "warmup_ms": str(round(self.warmup_s * 1000)),
            "repeats": str(self.repeats),
            "min_ms": str(round(self.min_s * 1000)),
            "max_ms": str(round(self.max_s * 1000)),
        }
        # `am` takes an empty string for a missing one.
        return {name: value for name, value in extras.items() if value}


def run_in_app(
    transport: DeviceTransport, sweep: AppSweep, *, command: Sequence[str], report: Report
) -> Result:
    """Run a sweep in the installed app.

    Args:
        transport: The device.
        sweep: The sweep.
        command: Stored with the result.
        report: Called with every finished point.

    Raises:
        DeviceError: No app can run there, it is not installed, or another command holds the device.
        DeviceLostError: The device went away.
        RunnerError: The app refuses the sweep, crashes, or makes no headway.
    """
    require_app_runtime(transport)
    with held(transport, store_root(transport)):
        require_installed(transport)
        target = probe(transport)
        documents = [_run_once(transport, sweep, report) for _ in range(sweep.processes)]
    return msgspec.structs.replace(merge_starts(documents), command=tuple(command), target=target)


def _run_once(transport: DeviceTransport, sweep: AppSweep, report: Report) -> Result:
    """Start the app, wait for its result, end it."""
    run_id = uuid.uuid4().hex
    result = f"{RESULTS}/{run_id}.json"
    try:
        _start(transport, sweep, run_id)
        return _wait(transport, sweep, run_id, report)
    finally:
        _stop(transport, [result, f"{RESULTS}/{run_id}.error"])


def merge_starts(documents: Sequence[Result]) -> Result:
    """One result whose points have the processes of every start; a point that failed in one has failed."""
    first, last = documents[0], documents[-1]
    points = []
    for starts in zip(*(document.points for document in documents), strict=True):
        chosen = next((point for point in starts if point.status is not Status.DONE), starts[0])
        points.append(
            msgspec.structs.replace(
                chosen,
                processes=tuple(run for point in starts for run in point.processes),
                environment_before=starts[0].environment_before,
                environment_after=starts[-1].environment_after,
            )
        )
    return msgspec.structs.replace(first, points=tuple(points), ended_at=last.ended_at)


def _start(transport: DeviceTransport, sweep: AppSweep, run_id: str) -> None:
    """Start the activity in a fresh process."""
    transport.run(["am", "force-stop", PACKAGE], timeout_s=COMMAND_TIMEOUT_S)
    extras = [
        word
        for name, value in sweep.extras(run_id, transport.serial).items()
        for word in ("--es", name, value)
    ]
    done = transport.run(
        ["am", "start", "-W", "-a", ACTION, "-n", ACTIVITY, *extras], timeout_s=COMMAND_TIMEOUT_S
    )
    said = done.stdout + done.stderr
    # `am` ends with 0 on many errors up to Android 9.
    if done.exit_code != 0 or "Error" in said or "Exception" in said:
        lines = [line for line in said.splitlines() if "Error" in line or "Exception" in line]
        raise RunnerError(
            f"starting the app on {transport.serial}: {(lines or said.splitlines() or ['no answer'])[0]}",
            hint=f"edgekit apk install --device {transport.serial}",
        )


def _wait(transport: DeviceTransport, sweep: AppSweep, run_id: str, report: Report) -> Result:
    """Poll until the app has marked its result as ended."""
    patience_s = sweep.max_s + sweep.warmup_s + POINT_MARGIN_S
    deadline = time.monotonic() + patience_s
    seen, absent = 0, 0
    while True:
        refusal = transport.read_text(f"{RESULTS}/{run_id}.error")
        if refusal is not None:
            raise RunnerError(
                f"measuring in the app on {transport.serial}: {refusal.strip()}",
                hint="edgekit bundle, apk build and apk install put the models there that are to be measured",
            )
        document = _collect(transport, run_id)
        if document is not None:
            for point in document.points[seen:]:
                report(point)
                deadline = time.monotonic() + patience_s
            seen = len(document.points)
            if document.ended_at is not None:
                return document
        running = transport.run([PIDOF, PACKAGE], timeout_s=COMMAND_TIMEOUT_S).exit_code == 0
        absent = 0 if running else absent + 1
        if absent >= ABSENT_POLLS:
            raise RunnerError(
                f"measuring in the app on {transport.serial}: it has ended before the sweep, after {seen} "
                f"points{_crash(transport)}",
                hint=f"adb -s {transport.serial} logcat -d says more",
            )
        if time.monotonic() > deadline:
            raise RunnerError(
                f"measuring in the app on {transport.serial}: no headway for {patience_s:.0f} s, "
                f"after {seen} points",
                hint="unlock the device and keep its screen on",
            )
        time.sleep(POLL_S)


def _collect(transport: DeviceTransport, run_id: str) -> Result | None:
    """Read the present result file (the app replaces it whole); None where there is none yet."""
    name = f"{run_id}.json"
    if name not in transport.list_files(RESULTS):
        return None
    with scratch_directory("app") as work:
        local = Path(work) / "result.json"
        transport.pull(f"{RESULTS}/{name}", local)
        try:
            document = decode_result(local.read_bytes())
        except ResultFormatError as error:
            raise RunnerError(
                f"reading the app's result on {transport.serial}: {error}",
                hint="build and install the app with this edgekit: edgekit apk build, edgekit apk install",
            ) from error
    if document.run_id != run_id:
        raise RunnerError(
            f"reading the app's result on {transport.serial}: it is of another run",
            hint="build and install the app with this edgekit: edgekit apk build, edgekit apk install",
        )
    return document


def _crash(transport: DeviceTransport) -> str:
    """The app's last words in the device's log, as the tail of a message."""
    done = transport.run(
        ["logcat", "-d", "-t", "200", "AndroidRuntime:E", "DEBUG:F", "lowmemorykiller:I", "*:S"],
        timeout_s=COMMAND_TIMEOUT_S,
    )
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip() and not line.startswith("---")]
    return f": {' / '.join(lines[-3:])}" if done.exit_code == 0 and lines else ""


def _stop(transport: DeviceTransport, remotes: Sequence[str]) -> None:
    """End the app and delete its files; a device that is gone has been reported already."""
    try:
        transport.run(["am", "force-stop", PACKAGE], timeout_s=COMMAND_TIMEOUT_S)
        transport.remove(remotes)
    except DeviceLostError:
        return
