"""Damaged files end in a message and a documented exit code; never in a traceback, a hang or a leftover."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.convert.import_config import read_configuration
from edgekit.convert.manifest import load_manifest
from edgekit.errors import EdgekitError
from edgekit.measure.config import load_config
from edgekit.measure.results import load_result
from tests.fuzz.damage import CONFIG, RESULT, YML, attempt, schedule

COUNT = 500
PARTS = 10
TEXTS = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=200).map(str.encode),
    st.tuples(st.sampled_from([CONFIG, RESULT, YML]), st.integers(0, 400), st.binary(max_size=20)).map(
        lambda each: each[0].encode()[: each[1]] + each[2] + each[0].encode()[each[1] + len(each[2]) :]
    ),
)


def refusal(read: Callable[[Path], object], path: Path) -> str | None:
    """What is said of a file; None where it is taken."""
    try:
        read(path)
    except EdgekitError as error:
        return error.message
    return None


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_damaged_files(seeds: Path, tmp_path: Path, part: int) -> None:
    kinds = schedule(COUNT)
    findings = [attempt(seeds, kinds[number], number, tmp_path) for number in range(part, COUNT, PARTS)]
    assert [finding for finding in findings if finding] == []
