"""A profile as a table, and as a self-contained HTML page of bars."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgekit.core.profile import OperatorShare, Profile, Scaling, Unit
from edgekit.core.units import format_count
from edgekit.report.canvas import COLOURS, Entry
from edgekit.report.grid import MISSING, Table
from edgekit.report.template import load_template

TEMPLATE = Path(__file__).parent / "profile.html.j2"


def profile_table(profile: Profile) -> Table:
    """Return one row an operator and kernel: share, cost and gain at each number of threads."""
    base, *more = profile.threads
    header = (
        "Operator",
        "nodes",
        "share",
        *(f"{profile.unit.value}, {_threads(number)}" for number in profile.threads),
        *(f"gain, {number}" for number in more),
        *(("threads",) if more else ()),
    )
    rows = [
        (
            _name(one),
            str(one.nodes) if one.nodes else MISSING,
            f"{one.share:.1%}",
            *(_spread_cost(profile, one, number) for number in profile.threads),
            *(f"{one.gains[str(number)]:.2f}" for number in more),
            *(() if one.scaling is None else (one.scaling.value,)),
        )
        for one in profile.operators
    ]
    whole = profile.whole(base)
    rows.append(
        (
            "all",
            str(sum(one.nodes for one in profile.operators)),
            "100.0%",
            *(_cost(profile, profile.whole(number)) for number in profile.threads),
            *(f"{whole / profile.whole(number):.2f}" for number in more),
            *(("",) if more else ()),
        )
    )
    return Table(title=_title(profile), header=header, rows=tuple(rows), notes=_notes(profile))


def profile_page(profile: Profile) -> str:
    """Render the page; the page loads nothing from elsewhere.

    Raises:
        ToolError: jinja2 is not installed.
    """
    legend = [
        Entry(sign="■", colour=COLOURS[index % len(COLOURS)], text=_threads(number))
        for index, number in enumerate(profile.threads)
    ]
    longest = max((cost for one in profile.operators for cost in one.costs.values()), default=0.0)
    return load_template(TEMPLATE).render(
        table=profile_table(profile),
        legend=legend,
        unit=profile.unit.value,
        groups=[_Group.of(profile, one, longest) for one in profile.operators],
    )


class _Bar(msgspec.Struct, frozen=True, kw_only=True):
    percent: float
    colour: str
    text: str


class _Group(msgspec.Struct, frozen=True, kw_only=True):
    """Bars of one operator."""

    name: str
    remark: str
    bars: tuple[_Bar, ...]

    @classmethod
    def of(cls, profile: Profile, one: OperatorShare, longest: float) -> _Group:
        bars = []
        for index, number in enumerate(profile.threads):
            cost = one.costs[str(number)]
            gain = f"gain {one.gains[str(number)]:.2f}" if index else f"{one.share:.1%}"
            percent = 100 * cost / longest if longest else 0.0
            bars.append(
                _Bar(
                    percent=percent,
                    colour=COLOURS[index % len(COLOURS)],
                    text=f"{_spread_cost(profile, one, number)}, {gain}",
                )
            )
        remark = "" if one.scaling in (None, Scaling.GAINS) else one.scaling.value
        return cls(name=_name(one), remark=remark, bars=tuple(bars))


def _title(profile: Profile) -> str:
    local = profile.target.transport == "local"
    where = "on this machine" if local else f"on {profile.target.serial}, EMULATED"
    engine = f"{profile.engine} {profile.engine_version}"
    each = f" in each of {profile.processes} processes" if profile.processes > 1 else ""
    return f"{profile.model} {profile.precision} {where}, {engine}, median of {profile.repeats}{each}"


def _notes(profile: Profile) -> tuple[str, ...]:
    notes = [*profile.reasons]
    if profile.unit is Unit.INSTRUCTIONS:
        notes.append("instructions of the main thread, which the others wait for: no time of a phone's")
    if len(profile.threads) > 1:
        notes.append(_share_note(profile, Scaling.SERIAL))
    if any(one.scaling is Scaling.UNCLEAR for one in profile.operators):
        notes.append(
            f"{_share_note(profile, Scaling.UNCLEAR)}: whether these gain from threads cannot be told"
        )
    return tuple(notes)


def _share_note(profile: Profile, scaling: Scaling) -> str:
    shares = (
        f"{profile.share_of(scaling, number):.1%} with {_threads(number)}" for number in profile.threads
    )
    return f"{scaling.value} operators take {', '.join(shares)}"


def _threads(number: int) -> str:
    return f"{number} thread{'s' * (number != 1)}"


def _name(one: OperatorShare) -> str:
    return one.operator if one.kernel is None else f"{one.operator}: {one.kernel}"


def _spread_cost(profile: Profile, one: OperatorShare, threads: int) -> str:
    spread = f" ±{one.spread(threads):.0%}" if profile.processes > 1 else ""
    return f"{_cost(profile, one.costs[str(threads)])}{spread}"


def _cost(profile: Profile, cost: float) -> str:
    return f"{cost:.0f}" if profile.unit is Unit.MICROSECONDS else format_count(round(cost))
