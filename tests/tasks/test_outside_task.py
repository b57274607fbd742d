"""A task of another package is one file, which its card names."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from edgekit.convert.manifest import load_manifest
from edgekit.errors import InputError
from tests.conftest import REPOSITORY, RunCli, require_paddle
from tests.zoo.test_outside_network import CARD

HERE = Path(__file__).parent
PICTURE = REPOSITORY / "models" / "samples" / "page_0.png"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """The environment of a command beside which the package of a network and a task is installed."""
    site = tmp_path / "site"
    about = site / "toys-1.0.dist-info"
    about.mkdir(parents=True)
    for file in (HERE / "toy_task.py", HERE.parent / "zoo" / "toy_network.py"):
        shutil.copy(file, site)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[edgekit.networks]\ntoynet = toy_network\n[edgekit.tasks]\neven = toy_task\n"
    )
    return {"PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)}


def test_its_answers_come_out_of_predict(run_cli: RunCli, tmp_path: Path, env: dict[str, str]) -> None:
    require_paddle()
    (tmp_path / "labels.txt").write_text("".join(f"class {number}\n" for number in range(10)))
    task = 'task = "even"\npostprocess = {even = "EVEN", odd = "ODD"}\n'
    (tmp_path / "ToyNet_w8.toml").write_text(task + CARD)
    words = ["export", "./ToyNet_w8.toml", "--weights", "random", "--formats", "paddle,onnx"]
    done = run_cli(words, cwd=tmp_path, env=env)
    assert done.exit_code == 0, done.stderr
    manifest = json.loads((tmp_path / "models" / "ToyNet_w8" / "manifest.json").read_text())
    assert (manifest["task"], manifest["postprocess"]) == ("even", {"even": "EVEN", "odd": "ODD"})
    parity = manifest["parity"]["onnx"]
    assert (parity["passed"], parity["judged_by"]) == (True, "evenness")
    answered = run_cli(["predict", "ToyNet_w8", PICTURE], cwd=tmp_path, env=env)
    assert answered.stdout in (f"{PICTURE} is EVEN\n", f"{PICTURE} is ODD\n")
    word = answered.stdout.split()[-1]
    other = "ODD" if word == "EVEN" else "EVEN"
    truth = f"{PICTURE.name} {word}\n{PICTURE.name} {other}\ngone.png EVEN\n"
    (tmp_path / "evenness.txt").write_text(truth)
    evaluate = ["eval", "ToyNet_w8", "--data", PICTURE.parent, "--list", "evenness.txt", "-o", "even.json"]
    evaluated = run_cli(evaluate, cwd=tmp_path, env=env)
    assert evaluated.exit_code == 3 and "1 of 3 pictures could not be read" in evaluated.stderr
    document = json.loads((tmp_path / "even.json").read_text())
    assert (document["task"], document["schema_version"], document["pictures"]) == ("even", 7, 2)
    assert {(one["engine"], one["right"], one["drop"]) for one in document["routes"]} == {
        ("onnxruntime", 0.5, 0.0), ("paddle", 0.5, None),
    }  # fmt: skip
    reported = run_cli(["report", "even.json"], cwd=tmp_path, env=env)
    assert reported.exit_code == 0 and reported.stdout.strip() == evaluated.stdout.strip()
    unknown = run_cli(["report", "even.json"], cwd=tmp_path)
    assert unknown.exit_code == 3 and "the task 'even'" in unknown.stderr
    by_labels = ["--held-back", PICTURE.parent, "--list", "labels.txt"]
    words_too = ["quantize", "ToyNet_w8", "--calibration", PICTURE.parent, *by_labels]
    refused = run_cli(words_too, cwd=tmp_path, env=env)
    assert refused.exit_code == 2 and "no classifier" in refused.stderr
    without = run_cli(["predict", "ToyNet_w8", PICTURE], cwd=tmp_path)
    assert without.exit_code == 3 and "the task 'even'" in without.stderr
    (tmp_path / "ToyNet_w8.toml").write_text(task.replace("odd", "old") + CARD)
    wrong = run_cli([*words, "--force"], cwd=tmp_path, env=env)
    assert wrong.exit_code == 3 and "card of ToyNet_w8: its postprocess is none of even" in wrong.stderr


def test_a_manifest_without_a_task_gets_the_one_that_it_meant(exported: Path, tmp_path: Path) -> None:
    written = json.loads((exported / "PPLCNet_x0_25" / "manifest.json").read_text())
    path = tmp_path / "manifest.json"

    def older(**changes: object) -> str:
        path.write_text(json.dumps({**written, "schema_version": 1, "task": "", **changes}))
        manifest = load_manifest(tmp_path)
        assert manifest.schema_version == 2
        return manifest.task

    assert older() == "classification"
    assert older(postprocess={"kind": "multilabel", "thresholds": [0.5]}) == "multilabel"
    assert older(model=None, num_classes=0) == "tensors"
    with pytest.raises(InputError, match="thresholds do not fit"):
        older(postprocess={"kind": "multilabel"})
    with pytest.raises(InputError, match="the task 'registry'"):
        path.write_text(json.dumps({**written, "task": "registry"}))
        load_manifest(tmp_path)
