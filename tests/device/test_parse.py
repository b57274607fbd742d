"""The parsers of what devices print, on recordings (tests/data/devices) and invented samples."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.core.device import Battery, Cluster, DeviceInfo
from edgekit.device import parse
from edgekit.device.probe import (
    check_identity,
    describe,
    describe_environment,
    has_dotprod,
    has_fp16,
    require_64_bit,
)
from edgekit.errors import DeviceError, DeviceLostError
from edgekit.transports.interface import CommandResult, DeviceTransport

RECORDINGS = Path(__file__).parent.parent / "data" / "devices"

# Invented in the format of Android 13's `dumpsys battery`.
DUMPSYS_BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  Max charging current: 500000
  status: 2
  health: 2
  present: true
  level: 64
  scale: 100
  voltage: 4123
  temperature: 287
  technology: Li-ion
"""
# Invented in the format of Linux 4.14 on an SM8150 phone: heterogeneous clusters, one zone broken.
THREE_CLUSTERS = """0 1785600 576000 schedutil
1 1785600 576000 schedutil
7 2841600 - -
4 2419200 710400 schedutil
"""


def _recorded(name: str) -> dict[str, str]:
    return parse.split_sections((RECORDINGS / f"{name}.txt").read_text())


def test_the_virtual_device_recorded() -> None:
    info = describe(_recorded("virtual_sd855"), serial="S", transport="adb")
    assert (info.manufacturer, info.model, info.soc) == ("Qualcomm", "Snapdragon 855 (virtual)", "SM8150")
    assert info.os == "Android 11 (SDK 30)"
    assert info.abis == ("arm64-v8a",)
    assert info.emulated
    assert info.clusters == (
        Cluster(cores=(0, 1, 2, 3), max_frequency_khz=1785600, part="0x805"),
        Cluster(cores=(4, 5, 6), max_frequency_khz=2419200, part="0x804"),
        Cluster(cores=(7,), max_frequency_khz=2841600, part="0x804"),
    )
    assert (info.big_cores, info.little_cores) == ((4, 5, 6, 7), (0, 1, 2, 3))
    assert has_fp16(info.features)
    assert has_dotprod(info.features)
    assert info.battery is not None
    assert (info.battery.level_percent, info.battery.charging) == (87, False)
    assert info.temperatures_celsius["cpu-1-0-usr"] == 39.4
    require_64_bit(info)


def test_a_server_recorded() -> None:
    info = describe(_recorded("debian12_x86"), serial="ssh://x", transport="ssh")
    assert info.abi == "x86_64"
    assert info.os == "Debian GNU/Linux 12 (bookworm)"
    assert info.kernel == "6.18.44"
    assert info.clusters == (Cluster(cores=(0, 1), max_frequency_khz=None),)
    assert info.memory_bytes == 24683656 * 1024
    assert info.free_bytes == 67841888 * 1024
    assert (info.battery, info.temperatures_celsius, info.emulated) == (None, {}, False)
    assert not has_fp16(info.features)


def test_the_environment_of_the_recordings() -> None:
    phone = describe_environment(_recorded("virtual_sd855"))
    assert len(phone.cores) == 8
    assert phone.cores[7].max_frequency_khz == 2841600
    assert phone.battery_percent == 87
    assert "temperatures" not in phone.unreadable
    server = describe_environment(_recorded("debian12_x86"))
    assert server.load_1min == 2.82
    assert server.steal_ticks == 853
    assert server.memory_available_bytes == 23937800 * 1024
    assert {"core frequencies", "temperatures", "battery", "screen"} <= set(server.unreadable)


def test_a_32_bit_phone_is_refused_by_name() -> None:
    # Invented: the properties of a 32-bit Android phone.
    properties = (
        "[ro.product.cpu.abilist]: [armeabi-v7a,armeabi]\n[ro.product.manufacturer]: [Acme]\n"
        "[ro.product.model]: [Pocket 3]\n[ro.build.version.release]: [8.1.0]\n"
    )
    info = describe({"properties": properties, "uname": "Linux\n3.18\narmv8l"}, serial="S1", transport="adb")
    with pytest.raises(DeviceError, match=r"Acme Pocket 3 is a 32-bit device \(armeabi-v7a, armeabi\)"):
        require_64_bit(info)


def test_a_32_bit_board_is_refused_by_name() -> None:
    # Invented in the format of Raspberry Pi OS 12 (32-bit) on a Pi 2.
    cpuinfo = "processor\t: 0\nFeatures\t: half neon vfpv4\n\nModel\t\t: Raspberry Pi 2 Model B\n"
    sections = {"uname": "Linux\n6.1.0-rpi7\narmv7l", "cpuinfo": cpuinfo}
    info = describe(sections, serial="ssh://pi", transport="ssh")
    with pytest.raises(DeviceError, match=r"Raspberry Pi 2 Model B is a 32-bit device \(armv7l\)"):
        require_64_bit(info)


def test_a_board_without_android() -> None:
    # Invented in the format of Raspberry Pi OS 12 on a Pi 4.
    cpuinfo = "".join(
        f"processor\t: {core}\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU part\t: 0xd08\n\n"
        for core in range(4)
    )
    sections = {
        "uname": "Linux\n6.1.0-rpi7\naarch64",
        "cpuinfo": cpuinfo + "Model\t\t: Raspberry Pi 4 Model B Rev 1.4\n",
        "cores": "".join(f"{core} 1800000 600000 ondemand\n" for core in range(4)),
        "thermal": "cpu-thermal 48199",
        "system": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"',
    }
    info = describe(sections, serial="ssh://pi", transport="ssh")
    assert info.abis == ("arm64-v8a",)
    assert info.model == "Raspberry Pi 4 Model B Rev 1.4"
    assert info.clusters == (Cluster(cores=(0, 1, 2, 3), max_frequency_khz=1800000, part="0xd08"),)
    assert info.temperatures_celsius == {"cpu-thermal": 48.199}
    assert not has_fp16(info.features)
    require_64_bit(info)


def test_clusters_of_unreadable_and_unordered_cores() -> None:
    cores = parse.parse_cores(THREE_CLUSTERS)
    assert [core.core for core in cores] == [0, 1, 4, 7]
    assert (cores[3].current_khz, cores[3].governor) == (None, None)
    clusters = parse.group_clusters(cores, {0: "0x805", 1: "0x805", 4: "0x804", 7: "0x804"})
    assert [cluster.cores for cluster in clusters] == [(0, 1), (4,), (7,)]


def test_only_features_that_all_cores_have_count() -> None:
    text = "processor: 0\nFeatures: fp asimddp\nprocessor: 1\nFeatures: fp\n"
    assert parse.parse_cpuinfo(text).features == ("fp",)


def test_battery_of_dumpsys_and_of_the_kernel() -> None:
    battery = parse.parse_battery(DUMPSYS_BATTERY, "current_now=-312000")
    assert battery == Battery(
        level_percent=64, temperature_celsius=28.7, current_ua=-312000, voltage_uv=4123000, charging=True
    )
    kernel = parse.parse_battery("", "capacity=0\nstatus=Discharging\nvoltage_now=3500000\ntemp=310")
    assert kernel == Battery(level_percent=0, temperature_celsius=31.0, voltage_uv=3500000, charging=False)
    assert parse.parse_battery("", "") is None
    charger = parse.parse_battery("", "online=1\ncapacity=50\nstatus=Discharging")
    assert charger is not None
    assert charger.charging, "a charger that gives less than is used"


def test_temperatures_in_degrees_in_millidegrees_and_nonsense() -> None:
    text = "cpu 41000\ncpu 42500\nboard 38\nmodem -\nabsent 0\nbroken 2147483647\nfrozen -40000\n"
    assert parse.parse_thermal(text) == {"cpu": 41.0, "cpu#2": 42.5, "board": 38.0, "frozen": -40.0}


def test_a_property_with_line_breaks() -> None:
    text = "[a]: [one\ntwo]\n[b.c]: []\n[d]: [x]: [y]\n"
    assert parse.parse_properties(text) == {"a": "one\ntwo", "b.c": "", "d": "x]: [y"}


@pytest.mark.parametrize(
    ("text", "state"), [("  mWakefulness=Awake\n", True), ("mWakefulness=Dozing", False), ("", None)]
)
def test_screen(text: str, state: bool | None) -> None:
    assert parse.parse_screen(text) is state


@given(st.text(max_size=300))
def test_no_text_breaks_a_parser(text: str) -> None:
    names = "cores thermal power battery screen files load stat uname properties cpuinfo system model pushed"
    sections = dict.fromkeys((*names.split(), "space"), text)
    info = describe(sections, serial="S", transport="adb")
    assert info.serial == "S"
    describe_environment(sections)
    parse.split_sections(text)


# Invented: a Qualcomm phone whose own serial is not unique.
IDENTITY = """serial_number=2791728742
serial-number=-
machine-id=-
serial=0123456789ABCDEF
model=Phone A
"""


class Answering:
    """A device that says one thing, whatever is run."""

    name, serial = "adb", "0123456789ABCDEF"

    def __init__(self, stdout: str) -> None:
        self._stdout = stdout

    def run_script(self, script: object, **_: object) -> CommandResult:
        return CommandResult(exit_code=0, stdout=self._stdout, stderr="")


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (IDENTITY.replace("2791728742", "2791728743"), "its machine id is"),
        (IDENTITY.replace("Phone A", "Phone B"), "its model is Phone B, not Phone A"),
    ],
)
def test_another_phone_behind_the_same_serial_is_found(other: str, why: str) -> None:
    section = "== edgekit identity\n"
    machine_id, model = parse.parse_identity(IDENTITY)
    known = DeviceInfo(
        serial=Answering.serial, state="device", transport="adb", machine_id=machine_id, model=model
    )
    check_identity(cast("DeviceTransport", Answering(section + IDENTITY)), known)
    with pytest.raises(DeviceLostError, match=f"another machine answers there now: {why}"):
        check_identity(cast("DeviceTransport", Answering(section + other)), known)


def test_a_machine_that_tells_no_number_has_no_id() -> None:
    assert parse.parse_identity("serial_number=-\nmachine-id=\nmodel=Board\n") == (None, "Board")
    assert parse.parse_identity("") == (None, None)
