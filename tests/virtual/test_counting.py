"""Instruction counts: the counter's text, and what it counts on the device."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgekit.core.measurement import InstructionCount
from edgekit.errors import RunnerError
from edgekit.virtual.counting.counting import (
    Stretch,
    counting_argv,
    entry_list,
    parse_counts,
    parse_stretches,
)
from tests.devices import AdbDevice
from tests.virtual.conftest import PROBE

# Invented: two inferences on two threads; the second thread appears after the first mark.
TWO_THREADS = """\
{"mark": 0, "pid": 7, "thread": 0, "threads": [[100, 0]]}
{"mark": 1, "pid": 7, "thread": 0, "threads": [[1100, 5], [800, 40]]}
{"mark": 2, "pid": 7, "thread": 0, "threads": [[1200, 5], [800, 90]]}
{"mark": 3, "pid": 7, "thread": 0, "threads": [[2200, 9], [1620, 95]]}
{"exit": 0, "pid": 7, "threads": [[2300, 9], [1620, 99]]}
{"exit": 0, "pid": 9, "threads": [[123456, 0]]}
"""


def test_parse_sums_threads_and_keeps_spinning_apart() -> None:
    assert parse_counts(TWO_THREADS) == InstructionCount(
        total=1800, main_thread=1000, spinning=9, inferences=2, spread=20 / 1800
    )


# Invented: two inferences that enter the functions at 64 and 96, the second one with a helper at work.
ENTRIES = """\
{"mark": 0, "pid": 7, "thread": 0, "threads": [[100, 0], [0, 0]]}
{"entry": 64, "pid": 7, "thread": 0, "threads": [[110, 0], [0, 0]]}
{"entry": 96, "pid": 7, "thread": 0, "threads": [[310, 0], [190, 7]]}
{"mark": 1, "pid": 7, "thread": 0, "threads": [[340, 0], [190, 7]]}
{"mark": 2, "pid": 7, "thread": 0, "threads": [[400, 0], [190, 7]]}
{"entry": 64, "pid": 7, "thread": 0, "threads": [[410, 0], [190, 7]]}
{"entry": 96, "pid": 7, "thread": 0, "threads": [[610, 0], [382, 9]]}
{"mark": 3, "pid": 7, "thread": 0, "threads": [[641, 0], [382, 9]]}
{"exit": 0, "pid": 7, "threads": [[700, 0], [382, 9]]}
"""


def test_stretches_reach_from_entry_to_entry() -> None:
    assert parse_stretches(ENTRIES) == (
        Stretch(entry=None, main_thread=10, total=10),
        Stretch(entry=64, main_thread=200, total=390),
        Stretch(entry=96, main_thread=30, total=30),
    )


def test_inferences_that_enter_other_functions_have_no_stretches() -> None:
    lines = ENTRIES.splitlines()
    with pytest.raises(RunnerError, match="did not enter the same"):
        parse_stretches("\n".join([*lines[:2], *lines[3:]]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "marked no inference"),
        ('{"exit": 0, "pid": 7, "threads": [[2300, 9]]}\n', "marked no inference"),
        ("\n".join(TWO_THREADS.splitlines()[:3]), "cut short"),
        ("\n".join(TWO_THREADS.splitlines()[1:3]), "mark 1 is followed by 2"),
        (TWO_THREADS + TWO_THREADS.replace('"pid": 7', '"pid": 8'), "several processes"),
        ('{"mark": 0, "pid": 7, "thr', "wrote something else"),
    ],
)
def test_parse_refuses_what_is_no_whole_count(text: str, message: str) -> None:
    with pytest.raises(RunnerError, match=message):
        parse_counts(text)


def _count(device: AdbDevice, threads: int) -> InstructionCount:
    output = f"/data/local/tmp/counts-{threads}"
    command = " ".join(counting_argv([PROBE, "marks", str(threads)], output))
    done = device.host.adb("-s", device.serial, "shell", f"{command} && cat {output}")
    assert done.returncode == 0, done.stderr
    return parse_counts(done.stdout)


def test_one_thread_repeats_exactly_ten_times_of_ten(device: AdbDevice) -> None:
    counts = {_count(device, 1) for _ in range(10)}
    assert len(counts) == 1
    (count,) = counts
    assert (count.inferences, count.spread, count.spinning) == (10, 0.0, 0)
    # The loop of `work`: 100,000 rounds of 4 instructions (add, eor, compare, branch) and a few beside.
    assert 300_000 < count.total < 600_000
    assert count.main_thread == count.total


def test_work_of_several_threads_does_not_grow_by_their_waiting(device: AdbDevice) -> None:
    one, three = _count(device, 1), _count(device, 3)
    assert three.total == pytest.approx(3 * one.total, rel=2e-3)
    assert three.main_thread == pytest.approx(one.main_thread, rel=2e-3)
    assert three.spinning > 0


def test_the_counter_follows_a_script_to_the_program(device: AdbDevice) -> None:
    script = "/data/local/tmp/launch.sh"
    output = "/data/local/tmp/counts-script"
    command = (
        f"printf '#!/system/bin/sh\\nexec {PROBE} marks 1\\n' > {script} && chmod 755 {script} && "
        + " ".join(counting_argv([script], output))
        + f" && cat {output}"
    )
    done = device.host.adb("-s", device.serial, "shell", command)
    assert done.returncode == 0, done.stderr
    assert parse_counts(done.stdout).total == _count(device, 1).total


def test_blocks_tell_where_the_instructions_went(device: AdbDevice) -> None:
    output = "/data/local/tmp/counts-blocks"
    command = " ".join(counting_argv([PROBE, "marks", "1"], output, blocks=True))
    done = device.host.adb("-s", device.serial, "shell", f"{command} && cat {output}")
    assert done.returncode == 0, done.stderr
    counted = sum(
        block["instructions"] * block["count"] for block in _json_lines(done.stdout) if "block" in block
    )
    assert counted == pytest.approx(10 * parse_counts(done.stdout).total, rel=1e-3)
    assert [line["map"] for line in _json_lines(done.stdout) if "map" in line] == [PROBE]


def test_entries_cut_an_inference(device: AdbDevice) -> None:
    """Blocks that run once a round, found by their own counts, are entered once a round."""
    output, listing = "/data/local/tmp/counts-entries", "/data/local/tmp/entries"
    command = " ".join(counting_argv([PROBE, "marks", "1"], output, blocks=True))
    done = device.host.adb("-s", device.serial, "shell", f"{command} && cat {output}")
    assert done.returncode == 0, done.stderr
    lines = _json_lines(done.stdout)
    once = {line["block"] for line in lines if "block" in line and line["count"] == 10}
    offsets = {
        block - line["start"] + line["offset"]
        for line in lines
        if "map" in line
        for block in once
        if line["start"] <= block < line["end"]
    }
    assert len(offsets) == len(once) > 0
    text = entry_list(PROBE.rpartition("/")[2], offsets)
    command = " ".join(counting_argv([PROBE, "marks", "1"], output, entries=listing))
    done = device.host.adb(
        "-s", device.serial, "shell", f"printf '{text}' > {listing} && {command} && cat {output}"
    )
    assert done.returncode == 0, done.stderr
    stretches = parse_stretches(done.stdout)
    assert {one.entry for one in stretches[1:]} == offsets
    assert len(stretches) == 1 + len(offsets)
    assert sum(one.total for one in stretches) == parse_counts(done.stdout).total
    assert max(one.total for one in stretches) > 300_000


def test_an_empty_list_of_entries_is_refused(device: AdbDevice) -> None:
    command = " ".join(counting_argv([PROBE, "exit", "0"], "/data/local/tmp/none", entries="/dev/null"))
    done = device.host.adb("-s", device.serial, "shell", command)
    assert done.returncode != 0
    assert "names no library" in done.stdout + done.stderr


def _json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]
