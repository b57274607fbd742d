"""What a reader asks first: which configuration is the fastest, and is that number valid?"""

from __future__ import annotations

from typing import Any

import pytest

from edgekit.core.measurement import InstructionCount, Point, PointError, Status, Verdict
from edgekit.judge.intervals import latency_interval
from edgekit.report.headlines import headline_table, headlines
from edgekit.report.leaderboard import leaderboard
from edgekit.report.rows import result_rows
from edgekit.report.tables import published_tables
from edgekit.report.text import as_markdown, column_blocks
from tests.points import point, process, result, samples


def measured(
    ms: float, engine: str = "onnxruntime", *, verdict: Verdict = Verdict.VALID, **changes: Any
) -> Point:
    runs = [
        process(samples(ms, seed=seed), cold_start_ns=300_000_000, peak_memory_bytes=90_000_000)
        for seed in range(3)
    ]
    return point(*runs, engine=engine, verdict=verdict, **changes)


SKIPPED = point(
    status=Status.SKIPPED,
    engine="paddlelite",
    parity=None,
    artifact=None,
    error=PointError(message="it cannot"),
)


def test_the_fastest_valid_point_is_compared_with_the_reference() -> None:
    rows = result_rows([result(
        measured(6, "paddle"), measured(4, "paddle", requested_threads=2), measured(2), SKIPPED,
        measured(1, verdict=Verdict.UNSTABLE, requested_threads=4),
    )])  # fmt: skip
    (one,) = headlines(rows)
    assert (one.figure.split()[0], one.configuration, one.alarm) == (
        "2.00",
        "onnxruntime fp32, 1 thread",
        False,
    )
    assert one.remarks == ("2.00 times as fast as paddle, the reference",)
    assert [bar.name for bar in one.bars] == ["onnxruntime", "paddle"]
    assert [round(bar.percent) for bar in one.bars] == [50, 100]


@pytest.mark.parametrize(
    ("points", "remark"),
    [
        ([measured(2, "paddle"), measured(3)], "1.50 times as fast as onnxruntime, the next; "
         "it is the reference engine itself"),
        ([measured(2)], "the reference paddle was not measured"),
        ([measured(2), measured(3, "paddle", verdict=Verdict.THROTTLED)],
         "the reference paddle has no valid point"),
        ([measured(2, parity=None)], "no reference engine"),
    ],
)  # fmt: skip
def test_where_there_is_no_other_to_compare_with_it_is_said(points: list[Point], remark: str) -> None:
    assert headlines(result_rows([result(*points)]))[0].remarks == (remark,)


def test_a_model_without_a_valid_point_raises_an_alarm() -> None:
    rows = result_rows(
        [result(measured(2, verdict=Verdict.UNSTABLE), measured(1, verdict=Verdict.UNSTABLE), SKIPPED)]
    )
    (one,) = headlines(rows)
    assert (one.figure, one.alarm, one.remarks) == ("no valid point", True, ("2 unstable, 1 skipped",))
    assert as_markdown([headline_table(rows)]).endswith(
        "- PPLCNet_x1_0: no valid point, 2 unstable, 1 skipped"
    )
    assert headlines(result_rows([result(SKIPPED)]))[0].alarm


def test_a_batch_is_no_rival_of_a_picture() -> None:
    rows = result_rows([result(measured(2), measured(8, batch_size=8))])
    (one,) = headlines(rows)
    assert one.figure.startswith("2.00 ms")
    assert one.remarks[-1] == "most pictures: 1000/s with onnxruntime fp32, 1 thread, batch 8"


def test_machines_have_headlines_of_their_own_and_emulated_ones_no_time() -> None:
    count = InstructionCount(total=8_000_000, main_thread=8_000_000)
    counted = measured(900, "paddlelite", verdict=Verdict.EMULATED, instruction_count=count)
    virtual = result(counted, serial="127.0.0.1:1", transport="adb", soc="SM8150", emulated=True)
    first, second = headlines(result_rows([result(measured(2)), virtual]))
    assert (first.machine, second.machine) == ("Invented CPU", "127.0.0.1:1, SM8150")
    assert (second.figure, second.configuration) == (
        "8 M instructions",
        "EMULATED, paddlelite fp32, 1 thread",
    )


def test_the_leaderboard_has_every_column_and_the_best_first() -> None:
    rows = result_rows([result(
        measured(3), measured(1, verdict=Verdict.UNSTABLE, requested_threads=4, reasons=("rest",)), SKIPPED,
        measured(2, requested_threads=2),
    )])  # fmt: skip
    table = leaderboard(rows)
    assert table.header == (
        "Model", "Engine", "Threads", "Median, ms", "p90, ms", "Pictures/s", "Cold start, ms",
        "Peak memory, MB", "Parity", "Verdict", "Precision", "Batch",
    )  # fmt: skip
    medians = [line[3] for line in table.rows]
    assert [text.partition(" ")[0] for text in medians] == ["2.00", "3.00", "1.00*", "skipped"]
    assert table.rows[0][4:] == ("2.03", "500.1", "300", "90", "passed", "valid", "fp32", "1")
    assert {rows[1].number, rows[2].number} == set(table.points.values())
    assert len(leaderboard(rows, limit=2).rows) == 2
    assert leaderboard(rows, limit=2).notes == ("2 more points: name fewer files to see them",)


def test_rows_have_the_interval_that_the_judge_gives() -> None:
    made = [measured(3), measured(2, requested_threads=2), point(process(samples(3.0)))]
    rows = result_rows([result(*made)])
    for row, one in zip(rows[:2], made, strict=False):
        medians = [sorted(run.samples_ns) for run in one.processes]
        interval = latency_interval([(run[99] + run[100]) / 2e6 for run in medians])
        assert interval is not None
        assert (row.latency_low_ms, row.latency_high_ms) == pytest.approx((interval.low, interval.high))
    assert (rows[2].latency_low_ms, rows[2].latency_high_ms) == (None, None)


def test_a_wide_table_is_split_between_groups_of_columns() -> None:
    (table,) = published_tables(
        result_rows([result(*(measured(3, requested_threads=count) for count in (1, 2, 4)),
                            transport="adb", serial="A1", soc="SM8150")]), published=True)  # fmt: skip
    blocks = column_blocks(table, [15] * len(table.header), 60)
    assert len(blocks) > 2 and all(block[0] == 0 for block in blocks)
    for block in blocks:
        titles = [table.header[column] for column in block]
        assert [title.startswith("published(") for title in titles].count(True) == sum(
            title.startswith("Latency") for title in titles
        )
