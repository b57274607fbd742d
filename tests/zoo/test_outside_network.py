"""A network of another package is a card and a file."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from edgekit.zoo.build import families
from tests.conftest import RunCli, require_paddle

CARD = """
name = "ToyNet_w8"
family = "ToyNet"
summary = "Two convolutions"
num_classes = 10
input_shape = [3, 32, 32]
labels = "labels.txt"

[network]
family = "toynet"
variant = "w8"

[preprocess]
resize_short = 36
crop_size = 32
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """The environment of a command beside which the network's package is installed."""
    site = tmp_path / "site"
    about = site / "toy_network-1.0.dist-info"
    about.mkdir(parents=True)
    shutil.copy(Path(__file__).parent / "toy_network.py", site)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-network\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[edgekit.networks]\ntoynet = toy_network\n")
    return {"PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)}


def test_its_card_exports_and_verifies(run_cli: RunCli, tmp_path: Path, env: dict[str, str]) -> None:
    require_paddle()
    (tmp_path / "ToyNet_w8.toml").write_text(CARD)
    (tmp_path / "labels.txt").write_text("".join(f"class {number}\n" for number in range(10)))
    formats = ["--formats", "paddle,onnx,nb", "--nb-targets", "x86"]
    words = ["export", "./ToyNet_w8.toml", "--weights", "random", *formats]
    without = run_cli(words, cwd=tmp_path)
    assert without.exit_code == 3
    assert "no network family 'toynet'" in without.stderr
    done = run_cli(words, cwd=tmp_path, env=env)
    assert done.exit_code == 0, done.stderr
    manifest = json.loads((tmp_path / "models" / "ToyNet_w8" / "manifest.json").read_text())
    assert manifest["num_classes"] == 10
    assert manifest["parity"]["onnx"]["passed"]
    assert set(manifest["artifacts"]) == {"paddle", "onnx", "nb-x86"}
    verified = run_cli(["verify", "ToyNet_w8", "--json"], cwd=tmp_path)
    assert verified.exit_code == 0, verified.stderr
    rungs = {rung["name"]: rung["status"] for rung in json.loads(verified.stdout)["rungs"]}
    assert rungs["paddle"] == "reference"
    assert rungs["onnx"] == rungs["nb-x86"] == "passed"


def test_the_families_are_the_modules_of_networks() -> None:
    assert {"efficientnet", "mobilenetv3", "pphgnet", "pplcnet", "resnet"} <= set(families())
    assert "layers" not in families()
