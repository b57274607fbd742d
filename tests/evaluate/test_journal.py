"""The journal of an evaluation: whatever stops it, the next run goes on with whole lines."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgekit.errors import OutputError
from edgekit.evaluate.journal import Identity, Journal
from edgekit.tasks.truth.evaluation import Seen

FOUND = tuple[tuple[int, ...], ...]
IDENTITY = Identity(
    task="classification",
    list_sha256="0" * 64,
    data="/data",
    pictures=9,
    preprocess="{}",
    routes=(("paddle", "fp32", "1" * 64),),
)
PICTURES = [Seen(found=((index, 1, 2, 3, 4),)) for index in range(5)]


def test_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "results" / "x.journal"
    journal = Journal(path, IDENTITY, FOUND)
    journal.append(PICTURES[:3])
    journal.close()
    journal = Journal(path, IDENTITY, FOUND)
    assert journal.done == 3
    journal.append([*PICTURES[3:], Seen(error="broken")])
    assert list(journal.read()) == [*PICTURES, Seen(error="broken")]
    journal.close(remove=True)
    assert not path.exists()


@pytest.mark.parametrize("cut", range(1, 20, 3))
def test_half_a_line_is_cut_off(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "x.journal"
    journal = Journal(path, IDENTITY, FOUND)
    journal.append(PICTURES)
    journal.close()
    path.write_bytes(path.read_bytes()[:-cut])
    journal = Journal(path, IDENTITY, FOUND)
    assert journal.done == 4
    journal.append(PICTURES[4:])
    assert list(journal.read()) == PICTURES
    journal.close()


@pytest.mark.parametrize(
    "change", [{"task": "multilabel"}, {"list_sha256": "2" * 64}, {"data": "/other"}, {"routes": ()}]
)
def test_another_evaluation_begins_anew(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "x.journal"
    journal = Journal(path, IDENTITY, FOUND)
    journal.append(PICTURES)
    journal.close()
    journal = Journal(path, msgspec.structs.replace(IDENTITY, **change), FOUND)
    assert journal.done == 0
    assert list(journal.read()) == []
    journal.close()


def test_restart_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    journal = Journal(path, IDENTITY, FOUND)
    journal.append(PICTURES)
    journal.close()
    journal = Journal(path, IDENTITY, FOUND, restart=True)
    journal.append(PICTURES[:1])
    assert list(journal.read()) == PICTURES[:1]
    journal.close()


def test_two_evaluations_do_not_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    journal = Journal(path, IDENTITY, FOUND)
    journal.append(PICTURES[:2])
    with pytest.raises(OutputError, match="another edgekit eval is writing it now"):
        Journal(path, IDENTITY, FOUND, restart=True)
    journal.append(PICTURES[2:])
    assert list(journal.read()) == PICTURES
    journal.close()


def test_random_bytes_are_another_journal(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    path.write_bytes(bytes(range(256)) * 10)
    journal = Journal(path, IDENTITY, FOUND)
    assert journal.done == 0
    journal.close()


def test_an_unwritable_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"x\.journal"):
        Journal(tmp_path / "file" / "x.journal", IDENTITY, FOUND)
