"""Sweeps whose engine idles: what is kept, what is gone on with, and on which machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgekit.bench import several, sweep
from edgekit.bench.bench import Outcome, bench
from edgekit.bench.journal import journal_path
from edgekit.bench.results import load_result
from edgekit.core.bench_options import BenchOptions
from edgekit.core.device import DeviceInfo, hash_machine_id
from edgekit.core.measurement import Environment, Status
from edgekit.errors import DeviceLostError, RunnerError, UsageError
from edgekit.report.table import latency_table
from edgekit.runners.protocol import EnvironmentRead, Load, Loaded
from edgekit.runners.session import RunnerSession
from scripts.idle_target import ENGINE, IdleSession, IdleTarget, idle_subject

SWEEP = BenchOptions(engines=(ENGINE,), batch_sizes=(1, 2), processes=2)


def run(target: IdleTarget, options: BenchOptions, place: Path, *, resume: Path | None = None) -> Outcome:
    subject = idle_subject(place / "Idle")
    options = msgspec.structs.replace(options, output=str(place / "r.json"))
    return bench(target, [subject], options, show=lambda _: None, resume=resume, references=lambda _: None)


class Machine(IdleTarget):
    """This machine with another identity, that is another one from a reading of its circumstances on.

    Args:
        readings: How many there are before; None for all.
        changes: Fields of its description.
    """

    def __init__(self, *, readings: int | None = None, **changes: str) -> None:
        super().__init__()
        self._readings, self._changes = readings, changes
        self.ended = 0

    @property
    def info(self) -> DeviceInfo:
        return msgspec.structs.replace(super().info, **self._changes)

    def environment(self, engine: str) -> Environment:
        if self._readings is not None:
            if self.ended >= self._readings:
                raise DeviceLostError("measuring on X: another machine answers there now")
            self.ended += 1
        return super().environment(engine)


def test_a_sweep_is_kept_as_it_was_measured(tmp_path: Path) -> None:
    target = IdleTarget()
    done = run(target, SWEEP, tmp_path)
    assert target.sessions == 2 * (2 + 1)
    assert done.path == tmp_path / "r.json"
    assert load_result(tmp_path / "r.json") == done.result
    assert [point.status for point in done.result.points] == [Status.DONE] * 2
    assert all(point.spent_s > 0 and point.environment_before for point in done.result.points)


class SlowlyStarting(IdleSession):
    """Its process takes a second until it answers."""

    def start(self) -> None:
        self._ready_at = time.monotonic() + 1.0

    def _wait(self) -> None:
        time.sleep(max(0.0, self._ready_at - time.monotonic()))

    def environment(self) -> EnvironmentRead:
        self._wait()
        return super().environment()

    def load(self, request: Load, *, timeout_s: float = 0.0) -> Loaded:
        self._wait()
        return super().load(request)


class Interpreted(IdleTarget):
    """Says what of a start it leaves out."""

    def __init__(self, left_out: str | None) -> None:
        super().__init__()
        self._left_out = left_out

    def start_left_out(self, engine: str) -> str | None:
        return self._left_out

    def session(
        self, engine: str, label: str, *, counted: bool = False, remake: Callable[[], str] | None = None
    ) -> RunnerSession:
        return SlowlyStarting(20, 1.0, label)


@pytest.mark.parametrize("left_out", [None, "the interpreter's start"])
def test_cold_start_leaves_out_what_it_says(tmp_path: Path, left_out: str | None) -> None:
    options = msgspec.structs.replace(SWEEP, batch_sizes=(1,), processes=1)
    done = run(Interpreted(left_out), options, tmp_path)
    [point] = done.result.points
    assert point.startup is not None
    assert point.startup.left_out == left_out
    assert (point.startup.cold_start_ns > 1_000_000_000) is (left_out is None)
    assert (point.processes[0].cold_start_ns or 0) > 1_000_000_000 or left_out is not None
    said = "cold start is without the interpreter's start" in latency_table(done.result)
    assert said is (left_out is not None)


@pytest.mark.parametrize("readings", range(6))
def test_nothing_of_another_machine_gets_the_first_ones_name(tmp_path: Path, readings: int) -> None:
    """Each cold start and each turn ends with a reading: what comes before a wrong one is thrown away."""
    done = run(Machine(readings=readings, transport="adb"), SWEEP, tmp_path)
    points = load_result(tmp_path / "r.json").points
    assert points == done.result.points
    kept = sum(point.startup is not None for point in points) + sum(len(point.processes) for point in points)
    assert kept == readings
    assert done.error is not None
    assert done.error.exit_code == DeviceLostError.exit_code
    assert [point.status for point in points].count(Status.FAILED) == 1


class Failing(Machine):
    """Another machine took its place, where nothing of the runner lies."""

    def session(
        self, engine: str, label: str, *, counted: bool = False, remake: Callable[[], str] | None = None
    ) -> RunnerSession:
        if self.ended == self._readings:
            raise RunnerError(f"{label}: no such file")
        return super().session(engine, label, counted=counted, remake=remake)


def test_a_failure_on_another_machine_ends_the_sweep(tmp_path: Path) -> None:
    target = Failing(readings=2, transport="adb")
    done = run(target, SWEEP, tmp_path)
    assert target.sessions == 2, "the second point's turn is not tried there"
    assert [point.status for point in done.result.points] == [Status.FAILED, Status.INTERRUPTED]
    assert done.error is not None
    assert "another machine" in done.error.message


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"soc": "Another CPU"}, "its SoC is Another CPU"),
        ({"machine_id": "f" * 32}, "its machine id is ffff"),
        ({"transport": "adb", "model": "Another phone"}, "its model is Another phone"),
        ({"transport": "adb", "machine_id": "f" * 32}, "its machine id is"),
    ],
)
def test_another_machine_does_not_resume(tmp_path: Path, changes: dict[str, str], why: str) -> None:
    transport = {"transport": changes.get("transport", "local")}
    first = run(Machine(**transport), SWEEP, tmp_path)
    before = (tmp_path / "r.json").read_bytes()
    assert first.path is not None
    with pytest.raises(UsageError, match=why):
        run(Machine(**changes), SWEEP, tmp_path, resume=first.path)
    assert (tmp_path / "r.json").read_bytes() == before
    again = Machine(**transport)
    assert run(again, SWEEP, tmp_path, resume=first.path).error is None
    assert again.sessions == 0, "everything has finished"


def test_serials_count_where_nothing_else_tells_machines_apart() -> None:
    def phone(serial: str, machine_id: str | None) -> DeviceInfo:
        return DeviceInfo(
            serial=serial, state="device", transport="adb", model="P", soc="S", machine_id=machine_id
        )

    assert phone("a", "1").differs_from(phone("192.168.0.7:5555", "1")) is None
    assert phone("a", None).differs_from(phone("a", None)) is None
    assert phone("a", None).differs_from(phone("b", None)) == "its serial is b, not a"
    assert phone("a", "1").differs_from(phone("a", None)) == "its machine id is not known, not 1"


def test_a_machine_id_is_hashed_and_none_where_there_is_nothing() -> None:
    assert hash_machine_id([]) is None
    assert hash_machine_id(["", "0000000000", "\0"]) is None
    known = hash_machine_id(["3d1219c7c4c5404aaa1f6d2a48adfda4\n"])
    assert known is not None
    assert "3d12" not in known
    assert known == hash_machine_id(["", "3d1219c7c4c5404aaa1f6d2a48adfda4"])
    assert known != hash_machine_id(["3d1219c7c4c5404aaa1f6d2a48adfda5"])


def test_resume_keeps_the_time_that_a_point_has_taken(tmp_path: Path) -> None:
    """`--target-ci` may take `--max-secs` for a point, however often it is resumed."""
    narrow = msgspec.structs.replace(SWEEP, target_ci=1e-9, max_s=2.0, min_s=0.0)
    first = run(IdleTarget(), SWEEP, tmp_path)
    assert first.path is not None
    spent = [
        msgspec.structs.replace(point, status=Status.INTERRUPTED, spent_s=seconds, requested_ci=1e-9)
        for point, seconds in zip(first.result.points, (1.9999, 2.5), strict=True)
    ]
    from edgekit.bench.document import save_result

    save_result(first.path, msgspec.structs.replace(first.result, points=tuple(spent)))
    done = run(IdleTarget(), narrow, tmp_path, resume=first.path)
    runs = [len(point.processes) for point in done.result.points]
    assert runs[1] == 2, "its time was over"
    assert runs[0] > 2
    assert done.result.points[0].spent_s >= 2.0
    assert all(point.status is Status.DONE for point in done.result.points)


def test_a_bench_in_which_nothing_ran_leaves_no_file(tmp_path: Path) -> None:
    subject = idle_subject(tmp_path / "Idle")
    (subject.directory / "inference.onnx").write_bytes(b"spoilt")
    options = msgspec.structs.replace(SWEEP, output=str(tmp_path / "r.json"))
    done = bench(IdleTarget(), [subject], options, show=lambda _: None, references=lambda _: None)
    assert done.path is None
    assert done.error is not None
    assert not (tmp_path / "r.json").exists()
    assert not journal_path(tmp_path / "r.json").exists()


class Cooling(IdleTarget):
    """A device whose battery shows these temperatures, one a reading, and then the last for ever."""

    def __init__(self, *degrees: float) -> None:
        super().__init__()
        self._degrees = list(degrees)
        self.shown: list[float] = []

    def environment(self, engine: str) -> Environment:
        read = super().environment(engine)
        if not self._degrees:
            return msgspec.structs.replace(read, temperatures_celsius={})
        degrees = self._degrees.pop(0) if len(self._degrees) > 1 else self._degrees[0]
        self.shown.append(degrees)
        zones = {"cpu0-thermal": 90.0, "battery": degrees}
        return msgspec.structs.replace(read, temperatures_celsius=zones)


COOL = msgspec.structs.replace(SWEEP, batch_sizes=(1,), processes=1, start_below_celsius=37.0)


def test_a_hot_device_waits_until_it_is_cool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "COOLING_POLL_S", 0.01)
    target = Cooling(45.0, 45.0, 41.0, 36.5)
    done = run(target, COOL, tmp_path)
    (point,) = done.result.points
    assert point.status is Status.DONE
    assert target.shown.index(36.5) == 3, "it was read until it was cool"
    assert point.environment_before is not None
    assert point.environment_before.temperatures_celsius["battery"] < 37


def test_a_device_that_stays_hot_fails_with_its_temperature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "COOLING_POLL_S", 0.01)
    monkeypatch.setattr(sweep, "COOLING_S", 0.1)
    done = run(Cooling(45.0), COOL, tmp_path)
    assert done.error is not None
    assert done.error.exit_code == 6
    assert "below 37 °C: it shows 45.0 °C" in done.error.message
    assert not done.result.points[0].processes


def test_a_device_without_temperature_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it shows no temperature"):
        run(Cooling(), COOL, tmp_path)


def test_a_missing_artifact_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not once for each of its points, which all fail."""
    subject = idle_subject(tmp_path / "Idle")
    subject = msgspec.structs.replace(
        subject, manifest=msgspec.structs.replace(subject.manifest, artifacts={})
    )
    options = msgspec.structs.replace(SWEEP, output=str(tmp_path / "r.json"))
    done = bench(IdleTarget(), [subject], options, show=lambda _: None, references=lambda _: None)
    assert [point.status for point in done.result.points] == [Status.FAILED] * 2
    said = [record.getMessage() for record in caplog.records if "it has no artifact" in record.getMessage()]
    assert said == ["failed: model Idle: it has no artifact onnx"]


def test_a_rest_ends_when_the_sweep_is_to_stop(tmp_path: Path) -> None:
    """Ctrl-C on several devices: no turn begins after the rest in which it came."""
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    options = msgspec.structs.replace(SWEEP, cooldown_s=60.0, output=str(tmp_path / "r.json"))
    target, began = IdleTarget(), time.monotonic()
    subject = idle_subject(tmp_path / "Idle")
    done = bench(target, [subject], options, show=lambda _: None, references=lambda _: None, stop=stop)
    assert done.interrupted and time.monotonic() - began < 30
    assert not any(point.processes for point in done.result.points)


def test_several_targets_share_one_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps shown count the turns of all targets that have begun, not now one's and then the other's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(several, "References", lambda _target: lambda _subject: None)
    subject = idle_subject(tmp_path / "Idle")
    targets = [Machine(serial=f"idle-{number}") for number in range(2)]
    steps: list[sweep.Progress] = []
    outcomes = several.bench_all(targets, [subject], SWEEP, show=steps.append, several=True)
    assert [one.error for one in outcomes] == [None, None]
    done = [step.done for step in steps]
    turns = sum(
        len(point.processes) for one in outcomes if one.outcome for point in one.outcome.result.points
    )
    assert done == sorted(done) and (steps[-1].done, steps[-1].total) == (turns, turns)
