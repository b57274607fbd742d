"""`bench --config`: the same as the command line, and what is no option is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekit.bench.config import load_config, to_words
from edgekit.errors import InputError
from tests.conftest import RunCli

QUICK = "repeats = 3\nwarmup = 1\nmin-secs = 0\nprocesses = 1\nhost = true\n"


def test_every_option_becomes_its_words(tmp_path: Path) -> None:
    path = tmp_path / "bench.toml"
    path.write_text(
        'models = ["a", "b"]\ndevice = ["one", "two"]\nengine = ["paddle", "openvino"]\nthreads = [1, 2]\n'
        'batch-size = 4\nprecision = "fp32"\ncores = [0, 1]\nmin-secs = 0.5\n'
        'output = "out.json"\n[engine-option]\nonednn = "off"\n'
    )
    assert to_words(load_config(path)) == [
        *("--device", "one", "--device", "two"),
        *("--engine", "paddle,openvino", "--precision", "fp32", "--threads", "1,2", "--batch-size", "4"),
        *("--cores", "0,1", "--min-secs", "0.5", "--output", "out.json"),
        *("--engine-option", "onednn=off", "--", "a", "b"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("thread = 1", "unknown field `thread`"),
        ("threads = 0", "threads"),
        ('threads = "many"', "threads"),
        ("threads =", "configuration"),
    ],
)
def test_what_is_no_option_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bench.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        load_config(path)
    assert str(path) in caught.value.message


def test_a_sweep_by_configuration_resumes(
    x0_25: Path, tmp_path: Path, run_cli: RunCli, has_x86_nb: bool
) -> None:
    config = tmp_path / "nightly.toml"
    second = "paddlelite" if has_x86_nb else "openvino"
    config.write_text(
        f'models = ["{x0_25}"]\nengine = ["onnxruntime", "{second}"]\nthreads = [1, 2]\n'
        f'output = "tonight.json"\n{QUICK}'
    )
    result = run_cli(["bench", "--config", config, "--json"], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    points = json.loads(result.stdout)["points"]
    asked = [(point["engine"], point["requested_threads"], point["status"]) for point in points]
    assert asked[0] == ("onnxruntime", 1, "done")
    assert asked[2] == (second, 1, "done")
    if has_x86_nb:
        assert asked[3] == ("paddlelite", 2, "skipped")
        assert "1 thread" in points[3]["error"]["message"]
    resumed = run_cli(["bench", "--resume", "tonight.json", "--json"], cwd=tmp_path)
    assert resumed.exit_code == 0, resumed.stderr
    again = json.loads(resumed.stdout)["points"]
    assert [each["processes"] for each in again] == [each["processes"] for each in points]


def test_the_command_line_comes_first(x0_25: Path, tmp_path: Path, run_cli: RunCli) -> None:
    config = tmp_path / "nightly.toml"
    config.write_text(f'models = ["{x0_25}"]\nengine = "onnxruntime"\nthreads = [1, 2]\n{QUICK}')
    result = run_cli(["bench", "--config", config, "--threads", "1", "-o", "r.json", "--json"], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert [point["requested_threads"] for point in json.loads(result.stdout)["points"]] == [1]
