"""The record of a device, as probed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """Cores of one maximum frequency.

    Attributes:
        cores: Core numbers.
        max_frequency_khz: As the kernel says; None where it does not.
        part: CPU part number of /proc/cpuinfo, e.g. `0xd0b` (Cortex-A76).
    """

    cores: tuple[int, ...]
    max_frequency_khz: int | None
    part: str | None = None


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """The GPU that an engine computed on, as CUDA's driver describes it.

    Attributes:
        uuid: As NVML and nvidia-smi know it.
        compute_capability: `7.0` is a V100.
        cuda_version: The newest CUDA that the driver supports.
    """

    name: str
    uuid: str
    compute_capability: str
    cuda_version: str


class Battery(msgspec.Struct, frozen=True, kw_only=True):
    """Battery state; each value None where it cannot be read."""

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
        machine_id: What tells this machine from others of its model, as a hash (`hash_machine_id`); None
            where the machine tells nothing of that kind.
        abi: `arm64-v8a`, `x86_64`, `aarch64`, ...
        abis: Every ABI that the device runs.
        microcode: Revision of the CPU's microcode, on hosts that have one.
        os: `Android 13 (SDK 33)` or a Linux distribution.
        clusters: Slowest first; `big` is every core but the slowest cluster's.
        features: CPU features of /proc/cpuinfo that all cores have.
        emulated: True on the virtual device: its latency is not a phone's.
        temperatures_celsius: By zone.
        runtimes: Versions of the engines that edgekit has pushed there, by name.
        libraries: On hosts, versions of the engines' packages and of the libraries below them.
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
        """Every core but the slowest cluster's; all of them where there is one cluster."""
        clusters = self.clusters[1:] or self.clusters
        return tuple(sorted(core for cluster in clusters for core in cluster.cores))

    @property
    def little_cores(self) -> tuple[int, ...]:
        return tuple(sorted(self.clusters[0].cores)) if self.clusters else ()

    def differs_from(self, other: DeviceInfo) -> str | None:
        """Why another description is not this machine's; None where it is.

        Serials can be alike (`host`) and the same machine may be reached by two, so they count only where
        nothing else tells the machines apart.
        """
        known = self.machine_id is not None and self.machine_id == other.machine_id
        # A host's model is its name, which people change.
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
    """One name for the numbers that only one machine has; None where there are none.

    Results are published, and machine-id(5) asks that it leaves the machine hashed only.
    """
    said = [value.strip("\0 \n") for value in values]
    told = [value for value in said if value.strip("0-")]
    if not told:
        return None
    return hashlib.sha256("\n".join(["edgekit", *told]).encode()).hexdigest()[:32]
