"""The identity of the chips, as programs read it."""

from __future__ import annotations

import re

import pytest

from edgekit.errors import InputError
from edgekit.virtual.machine.machine_files import cpuinfo, frequency_files, meminfo, sys_files
from edgekit.virtual.machine.soc import list_socs, load_soc


@pytest.mark.parametrize("name", list_socs())
def test_every_chip_is_consistent(name: str) -> None:
    soc = load_soc(name)
    assert soc.name == name
    assert max(cluster.capacity for cluster in soc.clusters) == 1024
    tops = [cluster.frequencies_khz[-1] for cluster in soc.clusters]
    assert tops == sorted(tops), "clusters come slowest first"
    for cluster in soc.clusters:
        assert list(cluster.frequencies_khz) == sorted(set(cluster.frequencies_khz))
    half_precision = {"asimdhp", "asimddp"} <= set(soc.features.split())
    assert half_precision == (soc.qemu_cpu == "cortex-a76"), "the features are those that qemu executes"


def test_snapdragon_855_is_what_paddle_lite_knows_it_by() -> None:
    text = cpuinfo(load_soc("sd855"))
    assert re.findall(r"CPU part\t: (0x\w+)", text) == ["0x805"] * 4 + ["0x804"] * 4
    assert re.findall(r"CPU implementer\t: (0x\w+)", text) == ["0x51"] * 8
    assert text.endswith("Hardware\t: Qualcomm Technologies, Inc SM8150\n")
    files = sys_files(load_soc("sd855"))
    tops = [int(files[f"sys/devices/system/cpu/cpu{core}/cpufreq/cpuinfo_max_freq"]) for core in range(8)]
    assert tops == [1785600] * 4 + [2419200] * 3 + [2841600]
    assert "sys/devices/system/cpu/cpu7/uevent" in files
    assert "sys/devices/system/cpu/cpu8/uevent" not in files
    # hwloc reads masks of the cores, no lists; without them OpenVINO ends by a segmentation fault.
    topology = "sys/devices/system/cpu/cpu6/topology"
    assert int(files[f"{topology}/core_siblings"], 16) == 0xFF
    assert int(files[f"{topology}/thread_siblings"], 16) == 1 << 6
    assert files[f"{topology}/thread_siblings_list"] == "6\n"
    # MIDR_EL1 of a Kryo 485 Gold, as its kernel logs it.
    assert files["sys/devices/system/cpu/cpu4/regs/identification/midr_el1"] == "0x0000000051df804e\n"


def test_meminfo_has_the_spacing_that_paddle_lite_scans_for() -> None:
    assert re.match(r"MemTotal: +7664384 kB\n", meminfo(load_soc("sd855")))


def test_a_frequency_change_covers_the_whole_cluster() -> None:
    changed = frequency_files(load_soc("sd855"), 5, 1056000)
    cores = sorted(re.findall(r"/cpu(\d)/", " ".join(changed)))
    assert cores == ["4", "5", "6"]
    assert set(changed.values()) == {"1056000\n"}


def test_an_unknown_chip_is_named_with_those_there_are() -> None:
    with pytest.raises(InputError, match="no SoC 'sd999'; there are a53x8, rpi4, sd855"):
        load_soc("sd999")
