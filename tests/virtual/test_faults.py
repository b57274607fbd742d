"""Faults as a user writes them, and the table of those armed."""

from __future__ import annotations

import asyncio

import pytest

from edgekit.errors import UsageError
from edgekit.virtual.faults.faults import Fault, FaultName, FaultTable, parse_fault


def test_dashes_and_underscores_are_the_same() -> None:
    assert parse_fault("drop-after-push", ("10",)) == parse_fault("drop_after_push", ("10",))


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("explode", (), "no fault 'explode'; there are drop_after_push"),
        ("drop_after_push", (), "takes BYTES"),
        ("drop_after_push", ("1", "2"), "takes BYTES"),
        ("drop_after_push", ("many",), "'many' is no number"),
        ("drop_after_push", ("-1",), "-1 is negative"),
        ("offline", ("1",), "takes no value"),
        ("slow", ("0",), "0 bytes a second"),
        ("temperature", ("0", "hot"), "'hot' is no number"),
        ("kill", ("runner", "soon"), "'soon' is no number"),
    ],
)
def test_wrong_faults_are_refused(name: str, values: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_fault(name, values)


def test_an_act_cannot_be_armed_once() -> None:
    with pytest.raises(UsageError, match="happens at once"):
        parse_fault("reboot", once=True)


def test_a_clock_may_jump_back() -> None:
    assert parse_fault("clock_jump", ("-3600.5",)).values == ("-3600.5",)


def test_a_one_shot_strikes_once_and_a_lasting_one_again() -> None:
    async def scenario() -> None:
        table = FaultTable()
        table.arm(Fault(name=FaultName.DROP_AFTER_PUSH, values=("100",), once=True))
        assert table.strike_after(FaultName.DROP_AFTER_PUSH, 99) is None
        assert table.strike_after(FaultName.DROP_AFTER_PUSH, 100) is not None
        assert table.strike_after(FaultName.DROP_AFTER_PUSH, 100) is None
        table.arm(Fault(name=FaultName.DROP_AFTER_PUSH, values=("100",)))
        assert table.strike_after(FaultName.DROP_AFTER_PUSH, 100) is not None
        assert table.strike_after(FaultName.DROP_AFTER_PUSH, 100) is not None

    asyncio.run(scenario())


def test_clearing_lets_go_of_what_a_hang_holds() -> None:
    async def scenario() -> None:
        table = FaultTable()
        table.arm(Fault(name=FaultName.HANG_PUSH))
        held = asyncio.ensure_future(table.hold(FaultName.HANG_PUSH))
        await asyncio.sleep(0.01)
        assert not held.done()
        table.clear(FaultName.HANG_PUSH)
        await asyncio.wait_for(held, 1)

    asyncio.run(scenario())
