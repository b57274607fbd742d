"""The journal of a sweep: whatever ends it, what had been kept is in the document and nothing is half."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edgekit.bench.document import encode_result, save_result
from edgekit.bench.journal import Journal, journal_path, settle
from edgekit.bench.results import load_result, load_results
from edgekit.core.measurement import Result, Status
from edgekit.errors import InputError, OutputError
from tests.conftest import REPOSITORY
from tests.points import point, process, result, samples

END = "2026-11-29T00:00:00.000+00:00"


def waiting() -> Result:
    """Two points before their first turns."""
    return msgspec.structs.replace(
        result(*(point(status=Status.INTERRUPTED, batch_size=size) for size in (1, 2))), ended_at=None
    )


def grow(start: Result, turns: int) -> list[Result]:
    """Return the points of a sweep after each turn; the first are those that it starts from."""
    states = [start]
    for turn in range(turns):
        points = list(states[-1].points)
        run = process(samples(seed=turn, count=20), started_at=END)
        old = points[turn % 2]
        points[turn % 2] = msgspec.structs.replace(
            old, processes=(*old.processes, run), status=Status.DONE, spent_s=old.spent_s + 1
        )
        states.append(msgspec.structs.replace(start, points=tuple(points)))
    return states


def keep(journal: Journal, states: list[Result]) -> None:
    for turn, state in enumerate(states[1:]):
        kept = state.points[turn % 2]
        journal.add(turn % 2, kept, kept.processes[-1])


def test_the_document_is_the_one_of_memory_to_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    states = grow(waiting(), 6)
    journal = Journal(path, states[0])
    keep(journal, states)
    assert journal.close(END)
    assert path.read_bytes() == b"".join(encode_result(msgspec.structs.replace(states[-1], ended_at=END)))
    assert list(tmp_path.iterdir()) == [path]


def test_samples_are_on_one_line(tmp_path: Path) -> None:
    text = b"".join(encode_result(grow(waiting(), 3)[-1])).decode()
    assert sum('"samples_ns":[' in line and line.count(",") > 20 for line in text.splitlines()) == 3
    assert max(line.count('"samples_ns"') for line in text.splitlines()) == 1


def test_an_empty_document_is_whole(tmp_path: Path) -> None:
    save_result(tmp_path / "r.json", result())
    assert load_result(tmp_path / "r.json") == result()


def test_where_no_turn_was_kept_no_file_is_left(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    assert not Journal(path, waiting()).close(END)
    assert list(tmp_path.iterdir()) == []
    path.write_text("an older one")
    assert not Journal(path, waiting()).close(END)
    assert path.read_text() == "an older one"


def test_a_journal_cut_anywhere_gives_the_last_whole_turn(tmp_path: Path) -> None:
    """A resumed sweep is killed at any byte: never fewer turns than the file had."""
    path = tmp_path / "r.json"
    states = grow(waiting(), 5)
    save_result(path, states[2])
    before = path.read_bytes()
    journal = Journal(path, states[2])
    starts = [journal_path(path).stat().st_size]
    for turn in (2, 3, 4):
        kept = states[turn + 1].points[turn % 2]
        journal.add(turn % 2, kept, kept.processes[-1])
        starts.append(journal_path(path).stat().st_size)
    journal._file.close()
    content = journal_path(path).read_bytes()
    for length in (*range(0, len(content), 97), *(each + by for each in starts for by in (-1, 0))):
        path.write_bytes(before)
        journal_path(path).write_bytes(content[:length])
        whole = sum(start <= length for start in starts)
        assert load_result(path) == states[2 + max(0, whole - 1)]
        assert list(tmp_path.iterdir()) == [path], "the journal is gone once the document is made"


def test_a_running_benchs_journal_is_read_and_left(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    states = grow(waiting(), 4)
    journal = Journal(path, states[0])
    keep(journal, states)
    assert load_result(path) == states[-1]
    assert load_results([tmp_path]).results == {path: states[-1]}
    assert list(tmp_path.iterdir()) == [journal_path(path)]
    with pytest.raises(OutputError, match="another edgekit bench is writing it"):
        Journal(path, states[0])
    assert journal.close(END)
    assert load_result(path).points == states[-1].points


def test_a_new_bench_keeps_what_a_killed_one_left(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    states = grow(waiting(), 3)
    journal = Journal(path, states[0])
    keep(journal, states)
    journal._file.close()
    assert not Journal(path, waiting()).close(END)
    assert load_result(path) == states[-1]


def test_a_damaged_journal_is_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    states = grow(waiting(), 3)
    journal = Journal(path, states[0])
    keep(journal, states)
    journal._file.close()
    lines = journal_path(path).read_bytes().splitlines(keepends=True)
    journal_path(path).write_bytes(b"".join([*lines[:2], b'{"point": 9, "state": {}}\n', *lines[3:]]))
    with pytest.raises(InputError, match=r"r\.json\.journal: line 3") as caught:
        load_result(path)
    assert caught.value.hint
    subprocess.run(caught.value.hint, shell=True, check=True)
    assert not Journal(path, waiting()).close(END), "the hint's command mends it"


def test_a_place_that_fills_up_keeps_the_journal(tmp_path: Path) -> None:
    states = grow(waiting(), 2)
    path = tmp_path / "r.json"
    journal = Journal(path, states[0])
    keep(journal, states)
    tmp_path.chmod(0o500)
    try:
        if _can_write(tmp_path):
            pytest.skip("needs a user whom permissions hold")
        with pytest.raises(OutputError):
            journal.close(END)
        assert load_result(path).points == states[-1].points
    finally:
        tmp_path.chmod(0o700)
    assert load_result(path).points == states[-1].points
    assert list(tmp_path.iterdir()) == [path]


def _can_write(directory: Path) -> bool:
    try:
        (directory / "probe").touch()
    except OSError:
        return False
    (directory / "probe").unlink()
    return True


SWEEP = """
from pathlib import Path
from edgekit.bench.journal import Journal
from tests.bench.test_journal import END, grow, keep, waiting
states = grow(waiting(), 40)
while True:
    journal = Journal(Path("r.json"), states[0])
    for turn in range(40):
        kept = states[turn + 1].points[turn % 2]
        journal.add(turn % 2, kept, kept.processes[-1])
        print(turn + 1, flush=True)
    journal.close(END)
    print("closed", flush=True)
"""


def test_sigkill_at_random_moments_leaves_no_half_state(tmp_path: Path) -> None:
    moments = random.Random(7)
    states = {index: one.points for index, one in enumerate(grow(waiting(), 40))}
    path = tmp_path / "r.json"
    seen = set()
    for _ in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", SWEEP], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
            env={"PYTHONPATH": str(REPOSITORY), "PATH": ""},
        ) as child:  # fmt: skip
            assert child.stdout is not None
            for _ in range(moments.randrange(1, 90)):
                child.stdout.readline()
            child.send_signal(signal.SIGKILL)
            said = child.stdout.read().split()
        points = load_result(path).points
        turns = sum(len(one.processes) for one in points)
        assert points == states[turns], "a state that the sweep had"
        if said and said[-1] != "closed":
            # What it said to have kept is there, or the whole sweep before where its next has just begun.
            assert turns >= int(said[-1])
        assert settle(path) is None
        assert list(tmp_path.iterdir()) == [path] or list(tmp_path.glob(".r.json.*.part"))
        assert not journal_path(path).exists()
        seen.add(turns)
    assert len(seen) > 3, "kills have to hit at different moments to mean anything"
