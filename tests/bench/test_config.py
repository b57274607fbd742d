"""`bench --config`: the same as the command line, and what is no option is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from edgekit.bench.config import load_config
from edgekit.cli.bench_options import given_options
from edgekit.cli.commands.bench import command
from edgekit.core.bench_options import OPTIONS, BenchOptions, FieldOption, Place, PowerMode
from edgekit.core.spec import Precision
from edgekit.errors import InputError, UsageError
from tests.conftest import RunCli

QUICK = "repeats = 3\nwarmup = 1\nmin-secs = 0\nprocesses = 1\nhost = true\n"


def test_a_configuration_gives_the_fields_of_the_record(tmp_path: Path) -> None:
    path = tmp_path / "bench.toml"
    path.write_text(
        'models = ["a", "b"]\ndevice = ["one", "two"]\nengine = "paddle,openvino"\nthreads = [1, 2]\n'
        'batch-size = 4\nprecision = "fp32"\ncores = [0, 1]\nmin-secs = 0.5\ncooldown = 1\n'
        'target-ci = "3%"\noutput = "out.json"\n[engine-option]\nonednn = "off"\n'
    )
    assert BenchOptions(**load_config(path)) == BenchOptions(
        models=("a", "b"),
        devices=("one", "two"),
        engines=("paddle", "openvino"),
        threads=(1, 2),
        batch_sizes=(4,),
        precisions=(Precision.FP32,),
        cores="0,1",
        min_s=0.5,
        cooldown_s=1.0,
        target_ci=0.03,
        output="out.json",
        engine_options={"onednn": "off"},
    )


WORDS = {
    "str": "word", "int": "7", "float": "7.5", "Precision": "bf16", "PowerMode": "LOW", "dict": "name=value",
}  # fmt: skip


@pytest.mark.parametrize("one", OPTIONS, ids=lambda one: one.name)
def test_the_command_line_and_a_configuration_give_the_same(one: FieldOption, tmp_path: Path) -> None:
    """Whatever the record has, both ways lead to it."""
    kind = next(
        name for name in (*WORDS, "bool") if re.search(rf"\b{name}\b", str(one.type).split("Option(")[0])
    )
    kind = "dict" if isinstance(one.default, dict) else kind
    flags = () if one.option.argument else (f"--{one.name}",)
    word = "7%" if one.option.percent else WORDS.get(kind)
    parsed = command.make_context("bench", [*flags, *(() if kind == "bool" else (str(word),))])
    given = given_options(parsed.params)
    assert list(given) == [one.field], "nothing else is taken for asked"
    as_toml = {"bool": "true", "int": word, "float": word, "dict": '{name = "value"}'}
    path = tmp_path / "bench.toml"
    value = f'"{word}"' if one.option.percent or one.option.celsius else as_toml.get(kind, f'"{word}"')
    path.write_text(f"{one.name} = {value}\n")
    assert load_config(path) == given
    made = BenchOptions(**given)
    assert getattr(made, one.field) != one.default
    assert msgspec.json.decode(msgspec.json.encode(made), type=BenchOptions) == made


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("thread = 1", "no option `thread`; did you mean `threads`"),
        ("min_s = 1", "no option `min_s`"),
        ("threads = 0", "`threads`: Expected `int` >= 1"),
        ('threads = "many"', "`threads`: "),
        ("threads =", "configuration"),
        ("target-ci = 0.03", "not a percentage"),
        ('target-ci = "3"', "not a percentage"),
        ('start-below = "37F"', "not a temperature like 37C"),
        ("start-below = 999", "`start-below`: "),
        ('precision = "fp64"', "`precision`: Invalid enum value 'fp64'"),
        ('host = "yes"', "`host`: Expected `bool`"),
    ],
)
def test_what_is_no_option_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bench.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        load_config(path)
    assert str(path) in caught.value.message


def test_a_place_refuses_what_it_does_not_have_by_name() -> None:
    for place, options, said in (
        (Place.HOST, BenchOptions(host=True, devices=("one",)), "--host excludes --device"),
        (Place.HOST, BenchOptions(power_modes=(PowerMode.HIGH,)), "--host excludes --power-mode"),
        (Place.DEVICE, BenchOptions(ab=True), "--ab is for --host"),
        (Place.AB, BenchOptions(repeats=3), "--ab does not go with --repeats"),
    ):
        with pytest.raises(UsageError, match=said):
            options.check_place(place)
    BenchOptions(host=True, models=("a",), repeats=3).check_place(Place.HOST)


def test_defaults_are_the_targets() -> None:
    asked = BenchOptions(repeats=7, max_s=0.5)
    host, phone, emulated = (asked.with_defaults(host=place == 0, emulated=place == 2) for place in range(3))
    assert host.engines == ("paddle",)
    assert phone.engines == emulated.engines == (), "which engine can be had, the target says"
    assert [one.processes for one in (host, phone, emulated)] == [5, 5, 1]
    assert [one.repeats for one in (host, phone, emulated)] == [7, 7, 7]
    assert [one.min_s for one in (host, phone, emulated)] == [0.5, 0.5, 0.0]
    assert host.with_defaults(host=False) == host, "what is settled stays"


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
    # The options are in the result: what the configuration says now is another sweep.
    config.write_text('engine = "openvino"\nbatch-size = 9\n')
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
