"""Differences between two results beside their latencies, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator

from edgekit.core.device import DeviceInfo
from edgekit.core.measurement import Point, Result, Verdict
from edgekit.judge.pairs import KEY_NAMES, key_of, settings_of


def between_points(old: Point, new: Point) -> Iterator[str]:
    """Artifacts, verdicts, settings, versions, cores, governors and load that differ."""
    if old.artifact is not None and new.artifact is not None:
        if old.artifact.sha256 != new.artifact.sha256:
            yield f"artifact {old.artifact.sha256[:12]} -> {new.artifact.sha256[:12]}"
        if old.artifact.converter_version != new.artifact.converter_version:
            versions = (old.artifact.converter_version, new.artifact.converter_version)
            yield f"{new.artifact.converter} {versions[0]} -> {versions[1]}"
    for name, point in (("old", old), ("new", new)):
        if point.verdict not in (None, Verdict.VALID, Verdict.EMULATED):
            yield f"{name} is {point.verdict.value}: {point.reasons[0] if point.reasons else '-'}"
    for name, before, after in zip(KEY_NAMES, key_of(old), key_of(new), strict=True):
        if before != after:
            yield f"{name} {before} -> {after}"
    settings = settings_of(old), settings_of(new)
    for name in sorted({*settings[0], *settings[1]}):
        pair = [one.get(name) or "-" for one in settings]
        if pair[0] != pair[1]:
            yield f"{name} {pair[0]} -> {pair[1]}"
    for name in ("engine_version", "effective_threads", "cores"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield f"{name.replace('_', ' ')} {_shown(before)} -> {_shown(after)}"
    a, b = old.environment_before, new.environment_before
    if a is None or b is None:
        return
    governors = [sorted({core.governor for core in one.cores if core.governor}) for one in (a, b)]
    if governors[0] != governors[1]:
        yield f"governor {','.join(governors[0]) or '-'} -> {','.join(governors[1]) or '-'}"
    if (
        a.load_1min is not None
        and b.load_1min is not None
        and not math.isclose(a.load_1min, b.load_1min, abs_tol=0.5)
    ):
        yield f"load {a.load_1min:.1f} -> {b.load_1min:.1f}"


def between_results(old: Result, new: Result) -> Iterator[str]:
    """Versions and properties of the machines that differ."""
    for name, before, after in (
        ("edgekit", old.edgekit_version, new.edgekit_version),
        ("serial", old.target.serial, new.target.serial),
        ("SoC", old.target.soc, new.target.soc),
        ("cores", len(old.target.cores), len(new.target.cores)),
        ("emulated", old.target.emulated, new.target.emulated),
        ("system", old.target.os, new.target.os),
        ("kernel", old.target.kernel, new.target.kernel),
        ("microcode", old.target.microcode, new.target.microcode),
        *_libraries(old.target, new.target),
    ):
        if before != after:
            yield f"{name} {_shown(before)} -> {_shown(after)}"
    features = set(old.target.features), set(new.target.features)
    if features[0] != features[1]:
        changes = [f"-{name}" for name in sorted(features[0] - features[1])]
        changes += [f"+{name}" for name in sorted(features[1] - features[0])]
        yield f"CPU features {' '.join(changes)}"


def _shown(value: object) -> str:
    return "-" if value is None else str(value)


def _libraries(old: DeviceInfo, new: DeviceInfo) -> Iterator[tuple[str, str | None, str | None]]:
    for name in sorted({*old.libraries, *new.libraries}):
        yield name, old.libraries.get(name), new.libraries.get(name)
