"""Result file of `bench`: raw samples, requested and effective settings, and the circumstances."""

from __future__ import annotations

import enum
from datetime import datetime, timezone
from typing import Annotated

import msgspec
from msgspec import Meta

from edgekit.core.artifact import Artifact, Manifest
from edgekit.core.bench_options import BenchOptions, PowerMode
from edgekit.core.device import DeviceInfo, Gpu
from edgekit.core.parity import Parity
from edgekit.core.spec import Precision
from edgekit.core.stats import median

# To be increased when a field is removed or changes its meaning; `result_versions` then needs a new step.
RESULT_SCHEMA_VERSION = 3

LARGEST = 2**63 - 1
Count = Annotated[int, Meta(ge=0, le=LARGEST)]
Positive = Annotated[int, Meta(gt=0, le=LARGEST)]
Timestamp = Annotated[
    str,
    Meta(
        pattern=r"^\d{4}-(0[1-9]|1[0-2])-([0-2][1-9]|[123]0|31)T([01]\d|2[0-3]):[0-5]\d:[0-5]\d"
        r"(\.\d+)?(Z|[+-]\d\d:\d\d)$"
    ),
]


def now() -> str:
    """Return the present moment as a `Timestamp`."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


class Status(enum.Enum):
    """Outcome of a point."""

    DONE = "done"
    SKIPPED = "skipped"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class Verdict(enum.Enum):
    """Reliability of a figure; where several apply, the first in this order counts."""

    UNVERIFIED = "unverified"
    THROTTLED = "throttled"
    UNSTABLE = "unstable"
    EMULATED = "emulated"
    VALID = "valid"


class ArtifactRef(msgspec.Struct, frozen=True, kw_only=True):
    """Reference to the artifact that a point ran.

    Attributes:
        weights: Origin of the model's weights, e.g. `pretrained`, `random (seed 0)`; None in older files.
    """

    kind: str
    format: str
    sha256: str
    converter: str
    converter_version: str
    weights: str | None = None

    @classmethod
    def to(cls, artifact: Artifact, manifest: Manifest) -> ArtifactRef:
        """Return the reference to an artifact of a manifest."""
        return cls(
            kind=artifact.kind.value,
            format=artifact.kind.format,
            sha256=artifact.sha256,
            converter=artifact.tool,
            converter_version=artifact.tool_version,
            weights=manifest.source,
        )


class CoreState(msgspec.Struct, frozen=True, kw_only=True):
    """State of one core at one moment; None where it cannot be read.

    Attributes:
        max_frequency_khz: Highest frequency now allowed, kHz; thermal drivers lower it.
        throttle_count: Number of times that the core was throttled since boot (x86 only).
    """

    core: Count
    frequency_khz: Count | None = None
    max_frequency_khz: Count | None = None
    governor: str | None = None
    throttle_count: Count | None = None


class GpuState(msgspec.Struct, frozen=True, kw_only=True):
    """State of one NVIDIA GPU at one moment, read from NVML; None where it cannot be read.

    Attributes:
        uuid: UUID of the GPU, equal to `Gpu.uuid`.
        throttle_reasons: NVML's reasons for lowered clocks, e.g. `hw_thermal_slowdown`.
        utilization_percent: Share of NVML's last sampling period in which the GPU computed, per cent.
    """

    uuid: str | None = None
    name: str | None = None
    sm_clock_mhz: int | None = None
    max_sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    temperature_celsius: float | None = None
    power_milliwatts: int | None = None
    power_limit_milliwatts: int | None = None
    throttle_reasons: tuple[str, ...] | None = None
    utilization_percent: int | None = None
    memory_used_bytes: int | None = None


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Circumstances at one moment; a value is None where it cannot be read.

    Attributes:
        read_at: Time of the reading.
        load_1min: System load average over one minute.
        steal_ticks: Time that a hypervisor withheld from this machine since boot, clock ticks.
        charging: True where the battery is on its charger.
        busy_processes: Names of other processes that used more than a tenth of a core since the previous
            reading, or on hosts without a previous reading during a quarter of a second.
        reference_ns: Present time of a fixed workload, ns; hosts only.
        gpus: States of this machine's GPUs, for points of GPU engines; None where NVML does not answer.
    """

    read_at: Timestamp | None = None
    cores: tuple[CoreState, ...] = ()
    temperatures_celsius: dict[str, float] = {}
    load_1min: float | None = None
    steal_ticks: Count | None = None
    battery_percent: int | None = None
    battery_current_ua: int | None = None
    battery_voltage_uv: int | None = None
    charging: bool | None = None
    screen_on: bool | None = None
    memory_available_bytes: Count | None = None
    busy_processes: tuple[str, ...] | None = None
    reference_ns: Positive | None = None
    gpus: tuple[GpuState, ...] | None = None
    unreadable: tuple[str, ...] = ()

    @property
    def body_celsius(self) -> float | None:
        """Temperature of the battery, which follows the device's body, else of the hottest zone."""
        zones = self.temperatures_celsius
        battery = [degrees for name, degrees in zones.items() if "battery" in name.lower()]
        return max(battery or zones.values(), default=None)


class ProcessRun(msgspec.Struct, frozen=True, kw_only=True):
    """One fresh runner process of a point.

    Attributes:
        samples_ns: Wall time of each inference on a steady clock, in order.
        warmup_runs: Number of untimed inferences before the samples.
        load_ns: Time to load the model, ns.
        first_run_ns: Time of the first inference, ns.
        cold_start_ns: Time from starting the process to its first answer (libraries, model, inference), ns.
        peak_memory_bytes: Peak resident memory of the process, including memory for the timing.
        cores_seen: Numbers of the cores that the process's threads were observed on.
        cpu_ns: CPU time of all threads during the timed inferences, ns.
        steady: True where the last two windows of the warm-up agreed; None where this was not checked.
        readings: Circumstances before and after the timed inferences, read by the runner itself while its
            cores were still busy.
        reference_ns: Time of a fixed workload beside this process, ns; it separates the machine's drift from
            the model's.
        gpu_states: States of the computing GPU before, repeatedly during, and after the timed inferences.
        copy_in_ns: Times to copy the input to the GPU, ns each; samples exclude them.
        copy_out_ns: Times to copy the output back from the GPU, ns each; samples exclude them.
    """

    samples_ns: tuple[Positive, ...]
    warmup_runs: Count
    load_ns: Count | None = None
    first_run_ns: Count | None = None
    cold_start_ns: Count | None = None
    peak_memory_bytes: Count | None = None
    cores_seen: tuple[Count, ...] = ()
    cpu_ns: Count | None = None
    started_at: Timestamp | None = None
    steady: bool | None = None
    readings: tuple[Environment, ...] = ()
    reference_ns: Positive | None = None
    gpu_states: tuple[GpuState, ...] = ()
    copy_in_ns: tuple[Count, ...] = ()
    copy_out_ns: tuple[Count, ...] = ()


class Startup(msgspec.Struct, frozen=True, kw_only=True):
    """Fresh process for cold start and peak memory: it infers a few times and is otherwise not timed.

    Attributes:
        cold_start_ns: Time from starting the process to its first answer, ns.
        peak_memory_bytes: Peak resident memory of the process after `inferences` inferences.
        left_out: Beginning of the start that cold start excludes, here and in the timed processes; None where
            it begins with the process.
    """

    cold_start_ns: Count
    peak_memory_bytes: Count | None
    inferences: Count
    left_out: str | None = None


class InstructionCount(msgspec.Struct, frozen=True, kw_only=True):
    """Exact instructions of one inference on the virtual device.

    Attributes:
        total: Instructions of all threads together.
        main_thread: Instructions of the main thread, which waits for the others and so sets the pace; equals
            `total` for one thread.
        spinning: Instructions of busy waiting, which `total` and `main_thread` exclude.
        inferences: Number of inferences counted; their counts agree within `spread`.
        spread: Largest minus smallest count, over the smallest.
    """

    total: Positive
    main_thread: Positive
    spinning: Count = 0
    inferences: Positive = 1
    spread: float = 0.0


class PointError(msgspec.Struct, frozen=True, kw_only=True):
    """Reason why a point failed or was skipped."""

    message: str
    hint: str | None = None
    exit_code: int = 8


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One cell of a sweep.

    Attributes:
        requested_repeats: Minimum number of timed inferences of each process; None in files without it.
        requested_ci: Relative half-width of the 95 % interval that further processes aimed at.
        gpu: GPU that computed; for GPU engines.
        layer_precisions: Number of convolutions and matrix products that the engine reports to compute in
            each precision; empty where the engine does not report it.
        startup: Cold start and memory in a separate process, run before the others; None on emulated targets.
        mismatch: Versions of opt and the runtime that differ, and that `--allow-mismatch` let pass.
        spent_s: Time of all processes of the point from start to end, seconds; `bench --target-ci` subtracts
            it from `--max-secs`.
    """

    model: str
    artifact: ArtifactRef | None
    engine: str
    precision: Precision
    requested_threads: Positive
    batch_size: Positive
    status: Status
    engine_version: str | None = None
    engine_options: dict[str, str] = {}
    layer_precisions: dict[str, int] = {}
    effective_threads: Count | None = None
    gpu: Gpu | None = None
    requested_cores: str | None = None
    cores: tuple[Count, ...] = ()
    power_mode: PowerMode | None = None
    warmup: Count | None = None
    requested_repeats: Positive | None = None
    requested_ci: Annotated[float, Meta(gt=0)] | None = None
    mismatch: str | None = None
    error: PointError | None = None
    startup: Startup | None = None
    processes: tuple[ProcessRun, ...] = ()
    spent_s: Annotated[float, Meta(ge=0)] = 0.0
    environment_before: Environment | None = None
    environment_after: Environment | None = None
    parity: Parity | None = None
    instruction_count: InstructionCount | None = None
    verdict: Verdict | None = None
    reasons: tuple[str, ...] = ()

    @property
    def bare(self) -> Point:
        """Return the point without its processes."""
        return msgspec.structs.replace(self, processes=())

    @property
    def samples_ns(self) -> list[int]:
        """All samples of all processes, ns."""
        return [sample for process in self.processes for sample in process.samples_ns]

    @property
    def latency_ns(self) -> float | None:
        """Median of the processes' medians, ns; processes differ by more than their samples suggest."""
        medians = [median(process.samples_ns) for process in self.processes if process.samples_ns]
        return median(medians) if medians else None

    @property
    def cold_start_ns(self) -> float | None:
        """Median time from starting a process to its first answer over all fresh processes, ns."""
        starts = [] if self.startup is None else [self.startup.cold_start_ns]
        starts += [one.cold_start_ns for one in self.processes if one.cold_start_ns is not None]
        return median(starts) if starts else None

    @property
    def peak_memory_bytes(self) -> int | None:
        """Peak memory of the startup process; in older files, the largest of the timed processes."""
        if self.startup is not None:
            return self.startup.peak_memory_bytes
        peaks = [one.peak_memory_bytes for one in self.processes if one.peak_memory_bytes is not None]
        return max(peaks, default=None)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Document that `bench` writes: a whole sweep on one target.

    Attributes:
        command: Command line of the bench, for people.
        options: Options including the target's defaults, which `--resume` measures with; None in files of
            version 2 and in files that the app wrote.
    """

    schema_version: int = RESULT_SCHEMA_VERSION
    run_id: str
    started_at: Timestamp
    ended_at: Timestamp | None
    edgekit_version: str
    command: tuple[str, ...]
    options: BenchOptions | None = None
    target: DeviceInfo
    points: tuple[Point, ...]
