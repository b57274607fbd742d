"""Record of a device, as edgekit probed it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """Cores that have one maximum frequency.

    Attributes:
        cores: Numbers of the cores.
        max_frequency_khz: Maximum frequency by the kernel, kHz; None where the kernel does not tell.
        part: CPU part number of /proc/cpuinfo, e.g. `0xd0b` (Cortex-A76).
    """

    cores: tuple[int, ...]
    max_frequency_khz: int | None
    part: str | None = None


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """The GPU that an engine computed on, as CUDA's driver describes it.

    Attributes:
        uuid: UUID that NVML and nvidia-smi use for the GPU.
        compute_capability: CUDA compute capability, e.g. `7.0` for a V100.
        cuda_version: Newest CUDA version that the driver supports.
    """

    name: str
    uuid: str
    compute_capability: str
    cuda_version: str


class Battery(msgspec.Struct, frozen=True, kw_only=True):
    """Battery state; a value is None where it cannot be read."""

    level_percent: int | None = None
    temperature_celsius: float | None = None
    current_ua: int | None = None
    voltage_uv: int | None = None
    charging: bool | None = None


class DeviceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A device or the host. A field that could not be read is None.

    Attributes:
        serial: Serial or address, which `--device` takes.
        state: `device`, `offline`, `unauthorized`, ...
        soc: SoC name, e.g. `SM8150`.
        machine_id: Hash that distinguishes this machine from others of its model (`hash_machine_id`); None
            where the machine has no number of its own.
        abi: Main ABI: `arm64-v8a`, `x86_64`, `aarch64`, ...
        abis: Every ABI that the device runs.
        microcode: Revision of the CPU's microcode; hosts only.
        os: `Android 13 (SDK 33)` or a Linux distribution.
        clusters: Clusters of cores, slowest first; all but the slowest count as `big`.
        features: CPU features in /proc/cpuinfo that all cores share.
        emulated: True on the virtual device, whose latency says nothing about a phone's.
        temperatures_celsius: Temperatures by thermal zone, degrees Celsius.
        runtimes: Versions of the engines that edgekit has pushed to the device, by engine.
        libraries: Versions of the engines' packages and the libraries below them; hosts only.
    """

    serial: str
    state: str
    transport: str
    manufacturer: str | None = None
    model: str | None = None
    soc: str | None = None
    machine_id: str | None = None
    abi: str | None = None
    abis: tuple[str, ...] = ()
    os: str | None = None
    kernel: str | None = None
    microcode: str | None = None
    clusters: tuple[Cluster, ...] = ()
    features: tuple[str, ...] = ()
    memory_bytes: int | None = None
    free_bytes: int | None = None
    temperatures_celsius: dict[str, float] = {}
    battery: Battery | None = None
    emulated: bool = False
    runtimes: dict[str, str] = {}
    libraries: dict[str, str] = {}

    @property
    def cores(self) -> tuple[int, ...]:
        return tuple(sorted(core for cluster in self.clusters for core in cluster.cores))

    @property
    def big_cores(self) -> tuple[int, ...]:
        """Cores of all clusters but the slowest; all cores where there is one cluster."""
        clusters = self.clusters[1:] or self.clusters
        return tuple(sorted(core for cluster in clusters for core in cluster.cores))

    @property
    def little_cores(self) -> tuple[int, ...]:
        return tuple(sorted(self.clusters[0].cores)) if self.clusters else ()

    def differs_from(self, other: DeviceInfo) -> str | None:
        """Return why another description is of a different machine; None where both may be one machine.

        Serials can be alike (`host`) and one machine can have two, so serials count only where
        nothing else tells the machines apart.
        """
        known = self.machine_id is not None and self.machine_id == other.machine_id
        # Users rename hosts, so a host's model does not identify it.
        named = known and self.transport == other.transport == "local"
        for what, mine, theirs in (
            ("SoC", self.soc, other.soc),
            ("model", *((None, None) if named else (self.model, other.model))),
            ("machine id", self.machine_id, other.machine_id),
            ("serial", *((None, None) if known else (self.serial, other.serial))),
        ):
            if mine != theirs:
                return f"its {what} is {theirs or 'not known'}, not {mine or 'unknown'}"
        return None


def hash_machine_id(values: Iterable[str]) -> str | None:
    """Hash the numbers that only one machine has; None where there are none.

    Results get published, and machine-id(5) asks to publish the machine id only as a hash.
    """
    said = [value.strip("\0 \n") for value in values]
    told = [value for value in said if value.strip("0-")]
    if not told:
        return None
    return hashlib.sha256("\n".join(["edgekit", *told]).encode()).hexdigest()[:32]
