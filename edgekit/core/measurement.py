"""The result file of `bench`: raw samples, what was asked, what took effect, and the circumstances."""

from __future__ import annotations

import enum
from datetime import datetime, timezone
from typing import Annotated

import msgspec
from msgspec import Meta

from edgekit.core.bench_options import BenchOptions, PowerMode
from edgekit.core.device import DeviceInfo, Gpu
from edgekit.core.parity import Parity
from edgekit.core.spec import Precision
from edgekit.core.stats import median

# Raised when a field is taken away or comes to mean something else; `result_versions` then learns the step.
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
    """This moment as a `Timestamp`."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


class Status(enum.Enum):
    """How a point ended."""

    DONE = "done"
    SKIPPED = "skipped"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class Verdict(enum.Enum):
    """Whether a figure may be believed; of several the first counts."""

    UNVERIFIED = "unverified"
    THROTTLED = "throttled"
    UNSTABLE = "unstable"
    EMULATED = "emulated"
    VALID = "valid"


class ArtifactRef(msgspec.Struct, frozen=True, kw_only=True):
    """Which artifact a point ran."""

    kind: str
    format: str
    sha256: str
    converter: str
    converter_version: str


class CoreState(msgspec.Struct, frozen=True, kw_only=True):
    """One core at one moment; None where it cannot be read.

    Attributes:
        max_frequency_khz: The most that it may run at now; thermal drivers lower that.
        throttle_count: Times that it was throttled since boot (x86 only).
    """

    core: Count
    frequency_khz: Count | None = None
    max_frequency_khz: Count | None = None
    governor: str | None = None
    throttle_count: Count | None = None


class GpuState(msgspec.Struct, frozen=True, kw_only=True):
    """One NVIDIA GPU at one moment, by NVML; None where it cannot be read.

    Attributes:
        uuid: The one of `Gpu.uuid`.
        throttle_reasons: What holds its clocks down now, in NVML's words, e.g. `hw_thermal_slowdown`.
        utilization_percent: Share of the last sampling period in which anything computed on it.
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
    """The circumstances at one moment; what cannot be read is None.

    Attributes:
        read_at: When.
        load_1min: The system's load average over a minute.
        steal_ticks: Time that a hypervisor took from this machine since boot, in clock ticks.
        charging: Whether the battery is on its charger.
        busy_processes: Names of other processes that used more than a tenth of a core since the reading
            before; where there is none, on hosts, for a quarter of a second.
        reference_ns: What a fixed workload takes now, on hosts.
        gpus: This machine's, for points of GPU engines; None where NVML cannot be asked.
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


class ProcessRun(msgspec.Struct, frozen=True, kw_only=True):
    """One fresh runner process of a point.

    Attributes:
        samples_ns: Wall time of each inference on a steady clock, in order.
        warmup_runs: Inferences thrown away before.
        load_ns: From the start of loading the model to ready.
        first_run_ns: The first inference.
        cold_start_ns: From starting the process to its first answer: libraries, model, first inference.
        peak_memory_bytes: Peak resident memory of the process, with all that timing needs.
        cores_seen: Cores that the process's threads were observed on.
        cpu_ns: CPU time of all threads over the timed inferences.
        steady: The last two windows of the warm-up agreed; None where that was not looked at.
        readings: The circumstances before and after the timed inferences, read by the process itself while
            its cores were still at work.
        reference_ns: A fixed workload beside this process, which tells the machine's drift from the model's.
        gpu_states: The GPU that computed: before, again and again during, and after the timed inferences.
        copy_in_ns: Copies of the input to the GPU, each until it is there; no sample holds one.
        copy_out_ns: Copies of the output back.
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
    """A fresh process that only starts and infers a few times: nothing is timed in it beside that.

    Attributes:
        cold_start_ns: As of a `ProcessRun`.
        peak_memory_bytes: Peak resident memory of the process when it had inferred `inferences` times.
    """

    cold_start_ns: Count
    peak_memory_bytes: Count | None
    inferences: Count


class InstructionCount(msgspec.Struct, frozen=True, kw_only=True):
    """Exact instructions of one inference on the virtual device.

    Attributes:
        total: All threads together.
        main_thread: The thread that waits longest, which sets the pace; equals total for one thread.
        spinning: Instructions of busy waiting, not in the two others.
        inferences: Number of inferences counted; all gave these numbers within `spread`.
        spread: Largest minus smallest over the smallest.
    """

    total: Positive
    main_thread: Positive
    spinning: Count = 0
    inferences: Positive = 1
    spread: float = 0.0


class PointError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a point failed or was skipped."""

    message: str
    hint: str | None = None
    exit_code: int = 8


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One cell of a sweep.

    Attributes:
        requested_repeats: The fewest timed inferences of each process; None in files that do not say.
        requested_ci: The relative half-width of the 95 % interval that more processes were to reach.
        gpu: What computed, for GPU engines.
        layer_precisions: How many of its convolutions and matrix products the engine computes in each
            precision, by its own account; empty where it does not tell.
        startup: Cold start and memory in a process of their own, before the others; None on emulated targets.
        spent_s: Seconds that its processes took altogether, from starting them to their end; what `bench
            --target-ci` has left of `--max-secs` is counted by it.
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
        """The point without its processes."""
        return msgspec.structs.replace(self, processes=())

    @property
    def samples_ns(self) -> list[int]:
        """All samples of all processes."""
        return [sample for process in self.processes for sample in process.samples_ns]

    @property
    def latency_ns(self) -> float | None:
        """The median of the processes' medians: processes differ by more than their samples say."""
        medians = [median(process.samples_ns) for process in self.processes if process.samples_ns]
        return median(medians) if medians else None

    @property
    def cold_start_ns(self) -> float | None:
        """The median over all fresh processes, from starting one to its first answer."""
        starts = [] if self.startup is None else [self.startup.cold_start_ns]
        starts += [one.cold_start_ns for one in self.processes if one.cold_start_ns is not None]
        return median(starts) if starts else None

    @property
    def peak_memory_bytes(self) -> int | None:
        """Of the process of its own; in older files of the largest of those that were timed."""
        if self.startup is not None:
            return self.startup.peak_memory_bytes
        peaks = [one.peak_memory_bytes for one in self.processes if one.peak_memory_bytes is not None]
        return max(peaks, default=None)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A whole sweep on one target: the document that `bench` writes.

    Attributes:
        command: The command line, for people.
        options: What `--resume` measures with: everything that was asked, with the target's defaults; None
            in files of version 2 and in those that the app wrote.
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
