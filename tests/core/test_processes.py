"""Busy processes: differences between two looks at /proc/PID/stat."""

from __future__ import annotations

from edgekit.core.processes import ProcessWatch, Spent, parse_ticks


def stat(pid: int, name: str, user: int, system: int, *, parent: int = 1) -> str:
    """A line as proc(5) says it is; invented."""
    return f"{pid} ({name}) R {parent} 1 1 0 -1 4194304 105 0 0 0 {user} {system} 4 5 20 0 1 0 300 9000 100\n"


def watch_of(*times: float) -> ProcessWatch:
    clock = iter(times)
    return ProcessWatch(clock=lambda: next(clock))


def test_names_with_brackets_and_blanks_are_read() -> None:
    text = stat(7, "a (b) c", 12, 3) + "no process\n" + stat(8, "sh", 1, 0, parent=7)
    assert parse_ticks(text) == {(7, "a (b) c"): Spent(15, 9, 1), (8, "sh"): Spent(1, 9, 7)}


def test_what_used_a_tenth_of_a_core_between_two_looks_is_busy() -> None:
    watch = watch_of(0.0, 10.0, 20.0)
    assert watch.look({(2, "old"): Spent(5000), (3, "idle"): Spent(10), (4, "adbd"): Spent(0)}) is None
    # 10 s are 1000 ticks: more than 100 are busy, also of what has started since.
    now = {
        (2, "old"): Spent(5101), (3, "idle"): Spent(110), (4, "adbd"): Spent(900), (9, "new"): Spent(101)
    }  # fmt: skip
    assert watch.look(now, own=frozenset({"adbd"})) == ("new", "old")
    assert watch.look(now) == ()


def test_another_process_under_an_old_number_has_started_since() -> None:
    watch = watch_of(0.0, 1.0)
    watch.look({(2, "before"): Spent(5000)})
    assert watch.look({(2, "after"): Spent(20)}) == ("after",)


def test_a_process_that_takes_another_name_has_not_started_since() -> None:
    watch = watch_of(0.0, 1.0)
    watch.look({(2, "kworker/0:0-events"): Spent(5000)})
    assert watch.look({(2, "kworker/0:0-writeback"): Spent(5005)}) == ()


def test_short_children_are_their_parents() -> None:
    watch = watch_of(0.0, 1.0, 2.0)
    watch.look({(2, "make"): Spent(1, 100), (5, "cc1"): Spent(900, 0, 2), (1, "init"): Spent(1, 100)})
    # What a child had spent before the first look is no work of this second; nor is what init takes over.
    quiet = {(2, "make"): Spent(1, 1005), (1, "init"): Spent(1, 5000)}
    assert watch.look(quiet) == ()
    assert watch.look({(2, "make"): Spent(1, 1100), (1, "init"): Spent(1, 5000)}) == ("make",)
