"""A profile as a table, and as a self-contained HTML page of bars and layers."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgekit.core.profile import Layer, OperatorShare, Profile, Scaling, Unit
from edgekit.core.units import format_count
from edgekit.report.canvas import COLOURS, Bar
from edgekit.report.grid import MISSING, Table, threads_words
from edgekit.report.template import SORTING, load_template

TEMPLATE = Path(__file__).parent / "profile.html.j2"
# Groups with a smaller share are summed up on the page.
OTHERS_BELOW = 0.005


def profile_table(profile: Profile) -> Table:
    """Return one row an operator and kernel: share, cost and gain at each number of threads."""
    base, *more = profile.threads
    header = (
        "Operator",
        "nodes",
        "share",
        *(f"{profile.unit.value}, {threads_words(number)}" for number in profile.threads),
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


def layer_table(profile: Profile) -> Table:
    """Return the layers, the most expensive first, with their cumulative share; the cheapest in one row."""
    base, *more = profile.threads
    ranked = sorted(profile.layers, key=lambda one: -one.share)
    shown = [one for one in ranked if one.share >= OTHERS_BELOW]
    others = ranked[len(shown) :]
    costs = {number: sum(one.costs[str(number)] for one in others) for number in profile.threads}
    if others:
        share = sum(one.share for one in others)
        named = f"others, {len(others)} under {OTHERS_BELOW:.1%}"
        shown.append(
            Layer(name=named, operator="", costs={str(one): cost for one, cost in costs.items()}, share=share)
        )
    shapes = any(one.output_shape for one in shown)
    kernels = any(one.kernel for one in shown)
    rows, cumulative = [], 0.0
    for one in shown:
        cumulative += one.share
        first = one.costs[str(base)]
        rows.append(
            (
                one.name,
                one.operator,
                *((one.kernel or "",) if kernels else ()),
                *((_shape(one.input_shape), _shape(one.weights_shape, whole=True), _shape(one.output_shape))
                  if shapes else ()),
                f"{one.share:.1%}",
                f"{cumulative:.1%}",
                *(_cost(profile, one.costs[str(number)]) for number in profile.threads),
                *(f"{_ratio(first, one.costs[str(number)])}" for number in more),
            )
        )  # fmt: skip
    words = ["Layer", "Operator", *(["Kernel"] * kernels), *(["Input", "Weights", "Output"] * shapes)]
    header = [*words, "share", "cumulative"]
    header += [f"{profile.unit.value}, {threads_words(number)}" for number in profile.threads]
    header += [f"gain, {number}" for number in more]
    return Table(
        title="Layers", header=tuple(header), rows=tuple(rows), words=tuple(range(len(words))), filters=(1,)
    )


def _ratio(before: float, after: float) -> str:
    return f"{before / after:.2f}" if after else MISSING


def _shape(shape: tuple[int, ...], *, whole: bool = False) -> str:
    """Format a shape without its batch as `16x112x112`; with all dimensions where `whole`."""
    return "×".join(map(str, shape if whole else shape[1:])) if shape else ""


def profile_page(profile: Profile) -> str:
    """Render the page; the page loads nothing from elsewhere.

    Raises:
        ToolError: jinja2 is not installed.
    """
    base = profile.threads[0]
    shown = [one for one in profile.operators if one.share >= OTHERS_BELOW]
    others = profile.operators[len(shown) :]
    longest = max((cost for one in shown for cost in one.costs.values()), default=0.0)
    return load_template(TEMPLATE, script=SORTING).render(
        table=profile_table(profile),
        unit=profile.unit.value,
        groups=[_Group.of(profile, one, longest) for one in shown],
        others=", ".join(map(_name, others)),
        others_share=f"{sum(one.costs[str(base)] for one in others) / (profile.whole(base) or 1):.1%}",
        layers=layer_table(profile),
    )


class _Group(msgspec.Struct, frozen=True, kw_only=True):
    """Bars of one operator, one for each number of threads."""

    name: str
    remark: str
    bars: tuple[Bar, ...]

    @classmethod
    def of(cls, profile: Profile, one: OperatorShare, longest: float) -> _Group:
        bars = []
        for index, number in enumerate(profile.threads):
            gain = f"gain {one.gains[str(number)]:.2f}" if index else f"{one.share:.1%}"
            bars.append(
                Bar(
                    name=threads_words(number),
                    percent=100 * one.costs[str(number)] / longest if longest else 0.0,
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
        f"{profile.share_of(scaling, number):.1%} with {threads_words(number)}" for number in profile.threads
    )
    return f"{scaling.value} operators take {', '.join(shares)}"


def _name(one: OperatorShare) -> str:
    return one.operator if one.kernel is None else f"{one.operator}: {one.kernel}"


def _spread_cost(profile: Profile, one: OperatorShare, threads: int) -> str:
    spread = f" ±{one.spread(threads):.0%}" if profile.processes > 1 else ""
    return f"{_cost(profile, one.costs[str(threads)])}{spread}"


def _cost(profile: Profile, cost: float) -> str:
    return f"{cost:.0f}" if profile.unit is Unit.MICROSECONDS else format_count(round(cost))
