"""Damaged files end in a message and a documented exit code; never in a traceback, a hang or a leftover."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.bench.config import load_config
from edgekit.bench.results import load_result
from edgekit.convert.importing.configuration import read_configuration
from edgekit.convert.manifest import load_manifest
from edgekit.errors import EdgekitError
from edgekit.zoo.registry import read_card
from tests.fuzz.damage import CONFIG, KINDS, YML, Kind, attempt, schedule

COUNT = 300
PARTS = 10
RESULT = """{"schema_version": 1, "run_id": "x", "started_at": "2026-01-01T00:00:00", "ended_at": null,
"edgekit_version": "0.1.0", "command": [], "target": {"serial": "host", "state": "device",
"transport": "local"}, "points": []}"""
TEXTS = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=200).map(str.encode),
    st.tuples(st.sampled_from([CONFIG, RESULT, YML]), st.integers(0, 400), st.binary(max_size=20)).map(
        lambda each: each[0].encode()[: each[1]] + each[2] + each[0].encode()[each[1] + len(each[2]) :]
    ),
)


def refusal(read: Callable[[Path], object], path: Path) -> str | None:
    """Return the error for a file; None where it is taken."""
    try:
        read(path)
    except EdgekitError as error:
        return error.message
    return None


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=TEXTS)
def test_any_text_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    for name, read in (
        ("bench.toml", load_config),
        ("result.json", load_result),
        ("inference.yml", read_configuration),
        ("preprocess.toml", read_configuration),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        message = refusal(read, path)
        assert message is None or str(path) in message
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(EdgekitError):
        load_manifest(tmp_path)


@pytest.mark.parametrize(
    ("name", "start", "read"),
    [
        ("manifest.json", '{"x": ', lambda path: load_manifest(path.parent)),
        ("result.json", '{"schema_version": 1, "points": ', load_result),
        ("card.toml", "x = ", read_card),
        ("bench.toml", "threads = ", load_config),
        ("preprocess.toml", "mean = ", read_configuration),
        ("inference.yml", "PreProcess: ", read_configuration),
    ],
)
def test_what_is_nested_too_deep_is_refused(
    tmp_path: Path, name: str, start: str, read: Callable[[Path], object]
) -> None:
    (tmp_path / name).write_text(start + "[" * 10_000)
    message = refusal(read, tmp_path / name)
    assert message is not None and name in message


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_damaged_files(python: Path, seeds: Path, tmp_path: Path, part: int) -> None:
    kinds = schedule(COUNT)
    attempts = [
        attempt(python, seeds, kinds[number], number, tmp_path) for number in range(part, COUNT, PARTS)
    ]
    assert [one.finding for one in attempts if one.finding] == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_warm_start_is_a_cold_one(python: Path, seeds: Path, tmp_path: Path, kind: Kind) -> None:
    warm, cold = (attempt(each, seeds, kind, 3, tmp_path) for each in (python, Path(sys.executable)))
    assert (warm.words, warm.exit_code, warm.finding) == (cold.words, cold.exit_code, cold.finding)
