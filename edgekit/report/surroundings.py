"""Summary of a result's circumstances in words."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from edgekit.core.measurement import Environment, Result
from edgekit.core.processes import TICKS_PER_S
from edgekit.core.units import format_bytes
from edgekit.report.grid import MISSING, Table
from edgekit.report.rows import machine_name

# As many digits as compare shows.
HASH_DIGITS = 12


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """A result's target, the software on it, and pairs of a quantity and its readings."""

    run_id: str
    machine: str
    facts: tuple[tuple[str, str], ...]


def surroundings(result: Result) -> Surroundings:
    """Summarise the readings of all points as ranges and lists."""
    target = result.target
    return Surroundings(
        run_id=result.run_id,
        machine=("EMULATED " if target.emulated else "") + machine_name(target),
        facts=(
            ("system", ", ".join(filter(None, (target.os, target.kernel, f"{len(target.cores)} cores")))),
            *_libraries(target.libraries),
            *_engines(result),
            ("command", shlex.join(result.command)),
            ("measured", f"{result.started_at[:16].replace('T', ' ')} by edgekit {result.edgekit_version}"),
            *_facts(list(_readings(result))),
        ),
    )


def _libraries(versions: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if versions:
        yield "libraries", ", ".join(f"{name} {version}" for name, version in versions.items())


def _engines(result: Result) -> Iterator[tuple[str, str]]:
    versions = {f"{one.engine} {one.engine_version}": None for one in result.points if one.engine_version}
    if versions:
        yield "engines", ", ".join(versions)


def artifacts(results: Iterable[Result]) -> Table:
    """Return the artifacts that points ran, with the origin of their weights and their hashes."""
    rows = {
        (
            point.model,
            one.kind,
            one.weights or MISSING,
            f"{one.converter} {one.converter_version}",
            one.sha256[:HASH_DIGITS],
        ): None
        for result in results
        for point in result.points
        if (one := point.artifact) is not None
    }
    header = ("Model", "Artifact", "Weights", "Made by", f"SHA-256, first {HASH_DIGITS} digits")
    return Table(title="Artifacts", header=header, rows=tuple(rows), words=(0, 1, 2, 3, 4))


def _readings(result: Result) -> Iterator[Environment]:
    for point in result.points:
        yield from (one for one in (point.environment_before, point.environment_after) if one is not None)
        for run in point.processes:
            yield from run.readings


def _facts(readings: Sequence[Environment]) -> Iterator[tuple[str, str]]:
    cores = [core for one in readings for core in one.cores]
    heat = [value for one in readings for value in one.temperatures_celsius.values()]
    gpus = [gpu for one in readings for gpu in one.gpus or ()]
    watts = [gpu.power_milliwatts / 1000 for gpu in gpus if gpu.power_milliwatts is not None]
    mhz = [core.frequency_khz / 1000 for core in cores if core.frequency_khz is not None]
    currents = [one.battery_current_ua for one in readings]
    milliamperes = [value / 1000 for value in currents if value is not None]
    voltages = [one.battery_voltage_uv for one in readings]
    volts = [value / 1_000_000 for value in voltages if value is not None]
    ranges: tuple[tuple[str, Iterable[float | None], str, str], ...] = (
        ("load", (one.load_1min for one in readings), "{:.1f}", ""),
        ("temperature", heat, "{:.0f}", " °C"),
        ("frequency", mhz, "{:.0f}", " MHz"),
        ("GPU clock", (gpu.sm_clock_mhz for gpu in gpus), "{:.0f}", " MHz"),
        ("GPU temperature", (gpu.temperature_celsius for gpu in gpus), "{:.0f}", " °C"),
        ("GPU power", watts, "{:.0f}", " W"),
        ("battery", (one.battery_percent for one in readings), "{}", " %"),
        ("battery current", milliamperes, "{:.0f}", " mA"),
        ("battery voltage", volts, "{:.2f}", " V"),
    )  # fmt: skip
    for name, values, form, unit in ranges:
        if text := _range(values, form):
            yield name, text + unit
    yield from _counted(readings)
    memory = [one.memory_available_bytes for one in readings if one.memory_available_bytes is not None]
    if memory:
        yield "free memory", f"at least {format_bytes(min(memory))}"
    lists = (
        ("GPU", (gpu.name for gpu in gpus)),
        ("GPU held down by", (reason for gpu in gpus for reason in gpu.throttle_reasons or ())),
        ("charger", ({True: "on", False: "off", None: None}[one.charging] for one in readings)),
        ("governor", (core.governor for core in cores)),
        ("busy", (name for one in readings for name in one.busy_processes or ())),
        ("not readable", (name for one in readings for name in one.unreadable)),
    )
    for name, found in lists:
        if words := sorted({word for word in found if word}):
            yield name, ", ".join(words)


def _counted(readings: Sequence[Environment]) -> Iterator[tuple[str, str]]:
    """Return the increase of a kernel counter from the first reading to the last."""
    ticks = [one.steal_ticks for one in readings if one.steal_ticks is not None]
    if ticks:
        yield "steal time", f"{(max(ticks) - min(ticks)) / TICKS_PER_S:.1f} s"
    throttled: dict[int, list[int]] = {}
    for core in (core for one in readings for core in one.cores):
        if core.throttle_count is not None:
            throttled.setdefault(core.core, []).append(core.throttle_count)
    if throttled:
        yield (
            "throttled",
            f"{sum(max(counts) - min(counts) for counts in throttled.values())} times, all cores",
        )


def _range(values: Iterable[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = form.format(min(known)), form.format(max(known))
    return low if low == high else f"{low} to {high}"
