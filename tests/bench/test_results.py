"""The result file, its schema, its table, and the readings that go into it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from edgekit.bench.document import encode_result, save_result
from edgekit.bench.results import default_path, load_result
from edgekit.core.device import DeviceInfo
from edgekit.core.measurement import (
    RESULT_SCHEMA_VERSION,
    Environment,
    InstructionCount,
    Point,
    PointError,
    ProcessRun,
    Result,
    Startup,
    Status,
    Verdict,
)
from edgekit.core.parity import Parity
from edgekit.core.processes import ProcessWatch
from edgekit.core.result_versions import UPGRADES, ResultFormatError, decode_result
from edgekit.core.spec import Precision
from edgekit.errors import InputError, OutputError
from edgekit.report.rows import result_rows
from edgekit.report.schema import encode_schema, result_schema
from edgekit.report.table import latency_table
from edgekit.targets.environment import read_host_environment
from edgekit.targets.host import host_info
from tests.conftest import REPOSITORY


def point(model: str, threads: int, **changes: object) -> Point:
    run = ProcessRun(
        samples_ns=(1_000_000, 1_100_000, 5_000_000),
        warmup_runs=10,
        cold_start_ns=23_000_000,
        peak_memory_bytes=81_000_000,
        steady=True,
    )
    made = Point(
        model=model,
        artifact=None,
        engine="onnxruntime",
        precision=Precision.FP32,
        requested_threads=threads,
        batch_size=1,
        status=Status.DONE,
        processes=(run,),
    )
    return msgspec.structs.replace(made, **changes)


def result(*points: Point, emulated: bool = False) -> Result:
    return Result(
        run_id="x",
        started_at="2026-11-23T12:00:00Z",
        ended_at=None,
        edgekit_version="0.1.0",
        command=("edgekit", "bench"),
        target=DeviceInfo(serial="host", state="device", transport="local", soc="Chip", emulated=emulated),
        points=points,
    )


def test_a_result_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "result.json"
    document = result(point("a", 1), point("b", 2))
    save_result(path, document)
    assert load_result(path) == document


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"schema_version": "one"}', b'{"schema_version": 1}']
)
def test_what_is_no_result_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"result\.json.* - at `\$") as caught:
        load_result(path)
    assert caught.value.hint


def test_a_newer_schema_is_refused_with_the_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text('{"schema_version": 99, "points": "of another shape"}')
    with pytest.raises(InputError, match="schema_version 99") as caught:
        load_result(path)
    assert "upgrade" in (caught.value.hint or "")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.touch()
    with pytest.raises(OutputError, match="result.json"):  # noqa: RUF043
        save_result(blocker / "result.json", result())


def test_default_names_say_when_and_where() -> None:
    moment = datetime(2026, 11, 23, 12, 0, 5, tzinfo=timezone.utc)
    assert (
        default_path(moment, "192.168.0.7:5555").as_posix()
        == "results/20261123T120005Z-192.168.0.7-5555.json"
    )


def test_the_published_schema_is_current() -> None:
    published = (REPOSITORY / "docs" / "result.schema.json").read_bytes()
    assert published == encode_schema(), "run: python scripts/write_schema.py"


def test_the_published_schema_takes_what_is_read_and_nothing_else() -> None:
    check = jsonschema.Draft202012Validator(result_schema())
    check.check_schema(result_schema())
    document = json.loads(b"".join(encode_result(load_result(RECORDED[0]))))
    check.validate(document)
    unnamed = {key: value for key, value in document.items() if key != "schema_version"}
    assert not check.is_valid(unnamed)
    for path, wrong in (
        (("schema_version",), "2"),
        (("schema_version",), 99),
        (("points", 0, "requested_threads"), 0),
        (("points", 0, "processes", 0, "samples_ns", 1), -5),
        (("points", 0, "status"), "nearly"),
        (("started_at",), "yesterday"),
    ):
        holder = document
        for step in path[:-1]:
            holder = holder[step]
        right, holder[path[-1]] = holder[path[-1]], wrong
        assert [tuple(error.absolute_path) for error in check.iter_errors(document)] == [path]
        holder[path[-1]] = right


def test_the_schema_names_every_field_that_is_written() -> None:
    schema = result_schema()
    definitions = schema["$defs"]
    written = json.loads(msgspec.json.encode(result(point("a", 1))))
    assert set(written) == set(definitions["Result"]["properties"])
    assert set(written["points"][0]) == set(definitions["Point"]["properties"])
    assert set(written["points"][0]["processes"][0]) == set(definitions["ProcessRun"]["properties"])


def test_the_latency_is_the_median_of_process_medians() -> None:
    runs = tuple(
        ProcessRun(samples_ns=samples, warmup_runs=0) for samples in [(1, 2, 9), (5, 5, 5), (7, 8, 9)]
    )
    assert point("a", 1, processes=runs).latency_ns == 5
    assert point("a", 1, processes=()).latency_ns is None


def test_the_table_has_a_row_a_model_and_a_column_a_configuration() -> None:
    error = PointError(message="8 threads: too few cores\nmore", exit_code=2)
    table = latency_table(
        result(
            point("PPLCNet_x0_25", 1),
            point("PPLCNet_x0_25", 8, status=Status.SKIPPED, processes=(), error=error),
            point("PPLCNet_x1_0", 1, effective_threads=1),
        )
    )
    blocks = table.split("\n\n")
    assert blocks[1].splitlines() == [
        "Latency, ms (median)",
        "               onnxruntime  onnxruntime",
        "Model             1 thread    8 threads",
        "-------------- ------------ -----------",
        "PPLCNet_x0_25         1.10      skipped",
        "PPLCNet_x1_0          1.10            -",
    ]
    assert blocks[2].splitlines()[4].split() == ["PPLCNet_x0_25", "23", "skipped"]
    assert blocks[3].splitlines()[4].split() == ["PPLCNet_x0_25", "81", "skipped"]
    assert blocks[4] == "skipped: 8 threads: too few cores"


def test_the_table_gives_one_reason_and_says_that_there_are_more() -> None:
    reasons = ("spread by ±40%: rest", "other processes were busy (make): end them", "drifts by +7%: rest")
    one = point("a", 1, verdict=Verdict.UNSTABLE, reasons=reasons)
    table = latency_table(result(one))
    assert "* a, onnxruntime, fp32, 1 thread, bs1: unstable: spread by ±40%: rest (and 2 more: " in table
    assert "make" not in table
    assert "more" not in latency_table(result(msgspec.structs.replace(one, reasons=reasons[:1])))


def test_the_table_marks_what_a_reader_must_know() -> None:
    failed = Parity(
        reference="paddle", inputs=2, max_relative_error=0.5, top1_agreement=1.0, outputs_differ=True,
        passed=False, reason="relative error 5.00e-01 exceeds 1e-04 (fp32)",
    )  # fmt: skip
    table = latency_table(
        result(point("a", 4, effective_threads=2, parity=failed, status=Status.INTERRUPTED))
    )
    assert "no parity" in table
    assert "1.10" not in table
    assert "4 threads asked, 2 took effect" in table
    assert "parity with paddle failed: relative error" in table
    assert "interrupted after 1 process(es)" in table
    assert "parity with paddle: 0 of 1 points passed" in table


def test_cold_start_and_memory_are_those_of_fresh_processes() -> None:
    run = ProcessRun(samples_ns=(1,), warmup_runs=0, peak_memory_bytes=90_000_000)
    runs = tuple(msgspec.structs.replace(run, cold_start_ns=start) for start in (300_000_000, 500_000_000))
    own = Startup(cold_start_ns=400_000_000, peak_memory_bytes=70_000_000, inferences=10)
    table = latency_table(result(point("a", 1, processes=runs, startup=own)))
    cold, memory = (block.splitlines()[-1].split()[-1] for block in table.split("\n\n")[2:4])
    assert (cold, memory) == ("400", "70")
    older = point("a", 1, processes=runs)
    assert older.peak_memory_bytes == 90_000_000, "files of before have no process for it alone"
    assert point("a", 1, processes=(run,)).cold_start_ns is None


def test_what_an_engine_computes_in_is_said() -> None:
    shown = latency_table(
        result(
            point("a", 1, layer_precisions={"fp32": 33}),
            point("b", 1, precision=Precision.INT8, layer_precisions={"int8": 30, "fp32": 3}),
        )
    )
    assert (
        "b, onnxruntime, int8, 1 thread, bs1: of its convolutions and matrix products 30 in int8, 3 in fp32"
        in shown
    )
    assert "33 in fp32" not in shown, "as asked"


def test_emulated_targets_show_instructions_and_no_milliseconds() -> None:
    count = InstructionCount(total=117_000_000, main_thread=58_577_000)
    table = latency_table(result(point("a", 1, instruction_count=count), emulated=True))
    assert "58.58 M" in table
    assert "EMULATED" in table
    assert " ms" not in table


def test_energy_is_shown_where_the_battery_tells_it() -> None:
    drawing = Environment(battery_current_ua=-500_000, battery_voltage_uv=4_000_000, charging=False)
    run = ProcessRun(samples_ns=(10_000_000,) * 3, warmup_runs=10, readings=(drawing, drawing))
    table = latency_table(result(point("a", 1, processes=(run,)), point("a", 2)))
    assert "Energy of an inference, mJ (whole device)" in table
    assert "20.0" in table
    around = Environment(unreadable=("battery", "battery current"))
    unread = latency_table(result(*[point("a", 1, environment_before=around, environment_after=around)] * 2))
    assert unread.count("not readable here: battery, battery current") == 1
    assert "Energy" not in latency_table(result(point("a", 1)))
    assert [row.energy_mj for row in result_rows([result(point("a", 1, processes=(run,)))])] == [20.0]


def test_the_hosts_environment_is_read_and_gaps_are_named() -> None:
    environment = read_host_environment(ProcessWatch())
    assert len(environment.cores) == os.cpu_count()
    assert environment.load_1min is not None
    assert environment.memory_available_bytes is not None
    assert environment.memory_available_bytes > 1_000_000
    assert environment.steal_ticks is not None
    assert environment.busy_processes is not None
    frequencies = [core.frequency_khz for core in environment.cores]
    assert ("core frequencies" in environment.unreadable) == all(one is None for one in frequencies)
    assert ("temperatures" in environment.unreadable) == (not environment.temperatures_celsius)


def test_the_hosts_battery_and_zones_are_read_as_a_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "AC/type": "Mains", "BAT0/type": "Battery", "BAT0/capacity": "81", "BAT0/status": "Discharging",
        "BAT0/current_now": "-500000", "BAT0/voltage_now": "11400000",
        "thermal_zone0/type": "acpitz", "thermal_zone0/temp": "27800",
        "thermal_zone1/type": "acpitz", "thermal_zone1/temp": "29800",
        "thermal_zone2/type": "absent", "thermal_zone2/temp": "-274000",
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{content}\n")
    monkeypatch.setattr("edgekit.targets.environment.THERMAL_ROOT", tmp_path)
    monkeypatch.setattr("edgekit.targets.environment.BATTERY_ROOT", tmp_path)
    read = read_host_environment(ProcessWatch())
    assert read.temperatures_celsius == {"acpitz": 27.8, "acpitz#2": 29.8}
    assert (read.battery_percent, read.battery_current_ua, read.battery_voltage_uv) == (81, -500000, 11400000)
    assert read.charging is False
    assert not {"battery", "temperatures", "screen"} & set(read.unreadable)


def test_a_process_that_is_busy_between_two_readings_is_named() -> None:
    watch = ProcessWatch()
    read_host_environment(watch)
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as burner:
        try:
            time.sleep(1.0)
            busy = read_host_environment(watch).busy_processes
            name = (Path("/proc") / str(burner.pid) / "comm").read_text().strip()
        finally:
            burner.kill()
    assert busy is not None
    assert name in busy


def test_the_host_is_described_as_devices_are() -> None:
    info = host_info()
    assert info.serial == "host"
    assert info.abi == os.uname().machine
    assert set(info.cores) == os.sched_getaffinity(0)
    assert info.memory_bytes is not None
    assert info.memory_bytes > 100_000_000
    assert not info.emulated
    assert info.libraries["python"] == platform.python_version()
    assert info.libraries["onnxruntime"] == importlib.metadata.version("onnxruntime")


# Recorded by edgekit when its results were of version 1: PPLCNet_x0_25 with random weights on ONNX Runtime,
# on a two-core Debian 12 server beside other work, and on the virtual Snapdragon 855.
RECORDED = sorted((REPOSITORY / "tests" / "data" / "results").glob("version1_*.json"))
APP = REPOSITORY / "tests" / "data" / "android" / "app_result.json"


@pytest.mark.parametrize("path", [*RECORDED, APP], ids=lambda path: path.name)
def test_an_older_version_is_brought_to_the_present_one(path: Path, tmp_path: Path) -> None:
    older = json.loads(path.read_text())
    assert older["schema_version"] == 1
    assert '"max_frequency_khz"' in json.dumps(older["points"])
    loaded = load_result(path)
    assert loaded.schema_version == RESULT_SCHEMA_VERSION
    assert [one.samples_ns for point in loaded.points for one in point.processes] == [
        tuple(one["samples_ns"]) for point in older["points"] for one in point.get("processes", ())
    ]
    assert [cluster.max_frequency_khz for cluster in loaded.target.clusters] == [
        cluster["max_frequency_khz"] for cluster in older["target"].get("clusters", ())
    ]
    cores = [
        core
        for point in loaded.points
        for reading in (
            point.environment_before,
            point.environment_after,
            *(one for run in point.processes for one in run.readings),
        )
        if reading is not None
        for core in reading.cores
    ]
    assert cores
    assert {core.max_frequency_khz for core in cores} == {None}
    save_result(tmp_path / "now.json", loaded)
    assert load_result(tmp_path / "now.json") == loaded


def test_there_is_a_step_from_every_older_version() -> None:
    assert sorted(UPGRADES) == list(range(1, RESULT_SCHEMA_VERSION))


@pytest.mark.parametrize("version", [0, -1, RESULT_SCHEMA_VERSION + 1, 10**30])
def test_other_versions_are_refused_by_the_field(version: int) -> None:
    with pytest.raises(ResultFormatError, match=rf"schema_version {version}, .* at `\$\.schema_version`"):
        decode_result(json.dumps({"schema_version": version, "points": 1}).encode())


def leaves(value: object, path: str = "$") -> Iterator[tuple[str, dict[str, Any] | list[Any], str | int]]:
    """Every value that holds no others: its JSON path, and where it stands."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        at = f"{path}[{key}]" if isinstance(value, list) else f"{path}.{key}"
        if inner and isinstance(inner, dict | list):
            yield from leaves(inner, at)
        else:
            assert isinstance(value, dict | list)
            yield at, value, key


@pytest.mark.parametrize("path", [*RECORDED, APP], ids=lambda path: path.name)
@pytest.mark.parametrize("version", [1, RESULT_SCHEMA_VERSION])
def test_every_field_of_another_type_is_refused_by_its_path(path: Path, version: int) -> None:
    document = json.loads(path.read_text() if version == 1 else b"".join(encode_result(load_result(path))))
    checked = 0
    for at, holder, key in list(leaves(document)):
        # Keys of a map are no fields of the schema; what version 1 said there is left out on the way.
        if "temperatures" in at or "runtimes" in at or "options" in at or (version == 1 and "max_freq" in at):
            continue
        right, holder[key] = holder[key], [["another type"]]
        with pytest.raises(ResultFormatError) as caught:
            decode_result(json.dumps(document).encode())
        assert re.sub(r"\[\d+\]", "[...]", at) in re.sub(r"\[\d+\]", "[...]", str(caught.value))
        holder[key] = right
        checked += 1
    assert checked > 100


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
def test_a_file_cut_anywhere_is_refused_with_the_place(path: Path) -> None:
    content = path.read_bytes()
    for end in range(1, len(content.rstrip()), 37):
        with pytest.raises(ResultFormatError, match=r"- at `\$.*`$"):
            decode_result(content[:end])


@pytest.mark.parametrize("end", ["2", "?", "?, 3]}]}]}"])
def test_the_place_of_a_cut_is_that_of_the_last_value(end: str) -> None:
    points = '[{"model": "a"}, {"model": "b", "processes": [{"samples_ns": [1, '
    text = f'{{"schema_version": {RESULT_SCHEMA_VERSION}, "points": {points}{end}'
    with pytest.raises(ResultFormatError, match=r"`\$\.points\[1\]\.processes\[0\]\.samples_ns\[1\]`"):
        decode_result(text.encode())


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"requested_threads": 0}, "requested_threads"),
        ({"batch_size": -1}, "batch_size"),
        ({"processes": [{"samples_ns": [3, 0], "warmup_runs": 1}]}, "processes[0].samples_ns[1]"),
        ({"processes": [{"samples_ns": [3, 10**320], "warmup_runs": 1}]}, "processes[0].samples_ns[1]"),
        ({"processes": [{"samples_ns": [3], "warmup_runs": 1, "started_at": "2026-13-01T00"}]}, "started_at"),
        ({"processes": [{"samples_ns": [3], "warmup_runs": 1, "started_at": "2026-11-01T00:00:00 or so"}]},
         "started_at"),
        ({"startup": {"cold_start_ns": -5, "peak_memory_bytes": 1, "inferences": 1}},
         "startup.cold_start_ns"),
        ({"environment_before": {"cores": [{"core": -1}]}}, "environment_before.cores[0].core"),
    ],
)  # fmt: skip
def test_figures_that_no_run_can_have_are_refused(change: dict[str, Any], place: str) -> None:
    document = json.loads(b"".join(encode_result(result(point("a", 1)))))
    document["points"][0] |= change
    with pytest.raises(ResultFormatError, match=re.sub(r"\d", r"(\\d|\\.\\.\\.)", re.escape(place))):
        decode_result(json.dumps(document).encode())
