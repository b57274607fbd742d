"""The systems on chip that a virtual device can stand for: one TOML file each in `socs/`."""

from __future__ import annotations

from importlib import resources

import msgspec

from edgekit.errors import InputError

DEFAULT_SOC = "sd855"


class CoreCluster(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Equal cores of one frequency domain, as the kernel of the real chip reports them.

    Attributes:
        count: Number of cores; cores are numbered through the clusters in their order.
        name: The core's name for people.
        implementer, part, variant, revision: The fields of /proc/cpuinfo, from MIDR_EL1.
        frequencies_khz: Operating points, rising; the last is the maximum.
        capacity: Relative compute capacity at the maximum, 1024 for the fastest core.
        l1_kb, l2_kb: Cache sizes a core; level 1 is for data and for instructions each.
    """

    count: int
    name: str
    implementer: int
    part: int
    variant: int
    revision: int
    frequencies_khz: tuple[int, ...]
    capacity: int
    l1_kb: int
    l2_kb: int

    @property
    def midr(self) -> int:
        """MIDR_EL1 (Arm ARM, D19.2.100): implementer, variant, architecture 0xf, part, revision."""
        return self.implementer << 24 | self.variant << 20 | 0xF << 16 | self.part << 4 | self.revision


class ThermalZone(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A thermal zone and its temperature at rest."""

    type: str
    celsius: float


class Soc(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named chip in a named device.

    Attributes:
        name: Name of the SoC, which `--soc` takes.
        description: For people, with the source of the figures.
        qemu_cpu: qemu's CPU model with the same instruction set extensions as the chip's big core.
        hardware: The `Hardware` line of /proc/cpuinfo; libraries choose their kernels by it.
        features: The `Features` of /proc/cpuinfo.
        memory_kb: MemTotal.
        l3_kb: Shared cache, 0 where there is none.
        properties: System properties beyond those that follow from the rest.
        battery: Whether the device has a battery.
    """

    name: str
    description: str
    manufacturer: str
    model: str
    soc_manufacturer: str
    soc_model: str
    qemu_cpu: str
    hardware: str
    features: str
    memory_kb: int
    l3_kb: int = 0
    kernel: str
    os_release: str
    sdk: int
    properties: dict[str, str] = {}
    battery: bool = True
    clusters: tuple[CoreCluster, ...]
    thermal_zones: tuple[ThermalZone, ...]

    @property
    def core_count(self) -> int:
        return sum(cluster.count for cluster in self.clusters)

    def cores(self) -> list[tuple[int, CoreCluster, range]]:
        """Every core: its number, its cluster, and the numbers of the cores of that cluster."""
        listed = []
        first = 0
        for cluster in self.clusters:
            siblings = range(first, first + cluster.count)
            listed += [(core, cluster, siblings) for core in siblings]
            first += cluster.count
        return listed


def list_socs() -> list[str]:
    """Names that `load_soc` takes."""
    directory = resources.files("edgekit.virtual.machine") / "socs"
    return sorted(entry.name[:-5] for entry in directory.iterdir() if entry.name.endswith(".toml"))


def load_soc(name: str) -> Soc:
    """A chip by its name.

    Raises:
        InputError: There is no such chip.
    """
    known = list_socs()
    if name not in known:
        raise InputError(
            f"starting a virtual device: no SoC {name!r}; there are {', '.join(known)}",
            hint=f"edgekit virtual start --soc {DEFAULT_SOC}",
        )
    text = (resources.files("edgekit.virtual.machine") / "socs" / f"{name}.toml").read_text()
    return msgspec.toml.decode(text, type=Soc)
