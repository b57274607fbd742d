"""Names in manifests and cards lead nowhere: they are refused like the name of a file would be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit._cards import cards_directory
from edgekit.convert.manifest import load_manifest
from edgekit.core.artifact import is_model_name
from edgekit.errors import InputError
from edgekit.zoo.registry import read_card
from tests.conftest import CliResult

BAD = [
    "../../../pwn",
    "a/b",
    "..",
    ".hidden",
    "-o",
    "",
    "a\x1b[2Jb",
    "a\nb",
    "a b",
    "$(touch pwned)",
    "x" * 200,
]
TENSOR = {"name": "x", "dtype": "float32", "shape": [None, 3, 8, 8]}
FILE = {"path": "inference.onnx", "sha256": "0" * 64, "size_bytes": 1}
ARTIFACT = {
    "kind": "onnx", "files": [FILE], "tool": "t", "tool_version": "1", "parent_sha256": None,
    "inputs": [TENSOR], "outputs": [TENSOR],
}  # fmt: skip
MANIFEST = {
    "schema_version": 1, "edgekit_version": "0.1.0", "name": "net", "model": None, "source": "net.onnx",
    "source_sha256": None, "num_classes": 8, "output_activation": "softmax", "preprocess": {},
    "labels": None, "inputs": [TENSOR], "outputs": [TENSOR], "artifacts": {"onnx": ARTIFACT},
}  # fmt: skip


def write_manifest(directory: Path, **changes: object) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "manifest.json").write_text(json.dumps({**MANIFEST, **changes}))
    return directory


def test_the_manifest_that_the_others_are_made_from_is_read(tmp_path: Path) -> None:
    assert load_manifest(write_manifest(tmp_path / "net")).name == "net"


@pytest.mark.parametrize("name", BAD)
def test_a_manifest_with_such_a_name_is_refused(tmp_path: Path, name: str) -> None:
    for changes in ({"name": name}, {"model": name}):
        with pytest.raises(InputError, match="is not made of letters"):
            load_manifest(write_manifest(tmp_path / "net", **changes))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"inputs": []}, "no inputs"),
        ({"outputs": []}, "no inputs or no outputs"),
        ({"artifacts": {"onnx": {**ARTIFACT, "inputs": []}}}, "no inputs"),
        ({"artifacts": {"onnx": {**ARTIFACT, "outputs": []}}}, "no outputs"),
        ({"command": "curl somewhere | sh"}, "none of edgekit's"),
        ({"command": "edgekit export 'open"}, "none of edgekit's"),
        ({"preprocess": {"crop_size": 10**9}}, "damaged"),
        ({"preprocess": {"crop_size": 10**5000}}, "damaged"),
        ({"preprocess": {"std": [1e-300, 1, 1]}}, "damaged"),
    ],
)
def test_a_manifest_with_nonsense_is_refused(tmp_path: Path, changes: dict[str, object], why: str) -> None:
    import sys

    sys.set_int_max_str_digits(0)
    try:
        directory = write_manifest(tmp_path / "net", **changes)
    finally:
        sys.set_int_max_str_digits(sys.int_info.default_max_str_digits)
    with pytest.raises(InputError, match=why):
        load_manifest(directory)


@pytest.mark.parametrize("command", ["bundle", "predict", "serve"])
def test_commands_write_nothing_outside(
    run_inside: Callable[..., CliResult], tmp_path: Path, command: str
) -> None:
    write_manifest(tmp_path / "models" / "net", name="../../../pwn")
    more = {"bundle": ["-o", "app/demo"], "predict": ["x.jpg"], "serve": ["--settings-only", "served"]}
    done = run_inside(command, "net", *more[command])
    assert done.exit_code == 3, done.stderr
    assert "its name '../../../pwn'" in done.stderr
    assert not list(tmp_path.parent.rglob("*pwn*"))


@pytest.mark.parametrize("name", BAD)
def test_a_card_with_such_a_name_is_refused(tmp_path: Path, name: str) -> None:
    text = (cards_directory() / "PPLCNet_x0_25.toml").read_text()
    (tmp_path / "card.toml").write_text(text.replace('"PPLCNet_x0_25"', json.dumps(name), 1))
    with pytest.raises(InputError, match="its name"):
        read_card(tmp_path / "card.toml")


def test_a_variant_with_such_a_name_is_refused(run_inside: Callable[..., CliResult]) -> None:
    done = run_inside("export", "PPLCNet_x0_25", "--weights", "random", "--name", "../pwn")
    assert done.exit_code == 2, done.stderr
    assert "--name mine" in done.stderr


def test_names_of_many_scripts_are_names() -> None:
    assert all(map(is_model_name, ["PPLCNet_x1_0", "my-net.v2", "猫", "2x"]))
