"""`edgekit models` as users run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekit.zoo.registry import model_names
from tests.conftest import RunCli


def test_list_shows_every_model_with_its_figures(run_cli: RunCli, tmp_path: Path) -> None:
    done = run_cli(["models", "list"], cwd=tmp_path)
    assert (done.exit_code, done.stderr) == (0, "")
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("PPLCNet_x0_5 ")]
    assert row.split() == [
        *(
            "PPLCNet_x0_5",
            "1.89",
            "47.28",
            "63.14",
            "84.66",
            "-",
            "2.05",
            "0.70/1.32/1.94",
            "4.27/2.73/1.92",
            "-",
        )
    ]
    assert "PPHGNet_base_ssld" in done.stdout
    found = {words[0]: words[1:] for line in done.stdout.splitlines() if (words := line.split())}
    assert found["PicoDet_LCNet_x0_5_320"] == ["-", "-", "-", "-", "20.30", "6.00", "-", "-", "-"]
    assert found["DeepLabV3P_PPLCNet_x1_0"][4] == "66.03"


def test_list_as_json_names_the_source_of_every_latency(run_cli: RunCli, tmp_path: Path) -> None:
    done = run_cli(["models", "list", "--json"], cwd=tmp_path)
    models = {model["name"]: model for model in json.loads(done.stdout)}
    assert sorted(models) == list(model_names())
    assert all(each["source"] for model in models.values() for each in model["latencies"])
    assert models["PPLCNet_x1_0_doc_ori"]["num_classes"] == 4
    detector = models["PicoDet_m_416_LCNet"]
    assert [detector[name] for name in ("task", "map", "map50", "miou")] == ["detection", 37.5, 53.4, None]
    assert models["DeepLabV3P_PPLCNet_x0_5"]["miou"] == 58.36


@pytest.mark.slow
def test_list_and_show_tell_what_is_exported(run_cli: RunCli, exported: Path) -> None:
    done = run_cli(["models", "list", "--json"], cwd=exported.parent)
    models = {model["name"]: model for model in json.loads(done.stdout)}
    assert "onnx" in models["PPLCNet_x0_25"]["exported"][0]["artifacts"]
    assert models["PPLCNet_x0_5"]["exported"] == []
    done = run_cli(["models", "show", "PPLCNet_x0_25"], cwd=exported.parent)
    assert "models/PPLCNet_x0_25: paddle" in done.stdout


def test_an_unreadable_manifest_is_a_warning(run_cli: RunCli, tmp_path: Path) -> None:
    broken = tmp_path / "models" / "mine"
    broken.mkdir(parents=True)
    (broken / "manifest.json").write_text("{")
    done = run_cli(["models", "list"], cwd=tmp_path)
    assert done.exit_code == 0
    assert "models/mine/manifest.json" in done.stderr
    assert "PPLCNet_x0_5" in done.stdout


def test_show_names_sources_and_preprocessing(run_cli: RunCli, tmp_path: Path) -> None:
    done = run_cli(["models", "show", "PPHGNet_tiny"], cwd=tmp_path)
    assert done.exit_code == 0
    assert "short side to 232 (bicubic, pillow)" in done.stdout
    assert "PP-HGNet_en.md, section 1.3" in done.stdout
    assert "TensorRT" in done.stdout
    card = json.loads(run_cli(["models", "show", "PPHGNet_tiny", "--json"], cwd=tmp_path).stdout)["card"]
    assert card["weights"]["pretrained_url"].endswith("/PPHGNet_tiny_pretrained.pdparams")


def test_show_of_an_unknown_model(run_cli: RunCli, tmp_path: Path) -> None:
    done = run_cli(["models", "show", "PPHGNet_tinny"], cwd=tmp_path)
    assert (done.exit_code, done.stdout) == (3, "")
    assert "PPHGNet_tinny" in done.stderr and "did you mean PPHGNet_tiny" in done.stderr
