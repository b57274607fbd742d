"""Busy processes: differences between two looks at /proc/PID/stat."""

from __future__ import annotations

from edgekit.core.processes import ProcessWatch, parse_ticks


def stat(pid: int, name: str, user: int, system: int) -> str:
    """A line as proc(5) says it is; invented."""
    return f"{pid} ({name}) R 1 1 1 0 -1 4194304 105 0 0 0 {user} {system} 0 0 20 0 1 0 300 9000 100\n"


def test_names_with_brackets_and_blanks_are_read() -> None:
    text = stat(7, "a (b) c", 12, 3) + "no process\n" + stat(8, "sh", 1, 0)
    assert parse_ticks(text) == {(7, "a (b) c"): 15, (8, "sh"): 1}


def test_what_used_a_tenth_of_a_core_between_two_looks_is_busy() -> None:
    times = iter((0.0, 10.0, 20.0))
    watch = ProcessWatch(clock=lambda: next(times))
    assert watch.look({(1, "old"): 5000, (2, "idle"): 10, (3, "adbd"): 0}) is None
    # 10 s are 1000 ticks: more than 100 are busy, also of what has started since.
    now = {(1, "old"): 5101, (2, "idle"): 110, (3, "adbd"): 900, (9, "new"): 101}
    assert watch.look(now, own=frozenset({"adbd"})) == ("new", "old")
    assert watch.look(now) == ()


def test_another_process_under_an_old_number_has_started_since() -> None:
    times = iter((0.0, 1.0))
    watch = ProcessWatch(clock=lambda: next(times))
    watch.look({(1, "before"): 5000})
    assert watch.look({(1, "after"): 20}) == ("after",)


def test_a_process_that_takes_another_name_has_not_started_since() -> None:
    times = iter((0.0, 1.0))
    watch = ProcessWatch(clock=lambda: next(times))
    watch.look({(1, "kworker/0:0-events"): 5000})
    assert watch.look({(1, "kworker/0:0-writeback"): 5005}) == ()
