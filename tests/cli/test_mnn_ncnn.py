"""A trained network on MNN and ncnn: exported, checked, predicted with, measured and served."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edgekit.convert.manifest import load_manifest
from edgekit.serving.runner import ServedModel, fixed_batch
from edgekit.targets.target import Subject
from tests.conftest import ANOTHER_PYTHON, REPOSITORY, RunCli

# Its wheel asks for an executable stack, which glibc 2.41 and later refuse.
pytest.importorskip("_mnncengine", reason=f"needs MNN that loads: {ANOTHER_PYTHON}", exc_type=ImportError)
pytest.importorskip("ncnn")
MODEL = "PPLCNet_x1_0_doc_ori"
QUICK = ["--processes", "1", "--warmup", "1", "--repeats", "3", "--min-secs", "0"]
SAMPLES = [str(REPOSITORY / "models" / "samples" / f"page_{angle}.png") for angle in (0, 90, 180, 270)]


@pytest.mark.slow
def test_a_trained_network_goes_all_the_way_on_both(run_cli: RunCli, doc_ori: Path, tmp_path: Path) -> None:
    shutil.copytree(doc_ori, tmp_path / "models" / MODEL)
    made = run_cli(
        ["export", MODEL, "--formats", "paddle,onnx,mnn,mnn-fp16,ncnn,ncnn-fp16", "--json"], cwd=tmp_path
    )
    assert made.exit_code == 0, made.stderr
    manifest = json.loads(made.stdout)[0]["manifest"]
    for kind, tool in (("mnn", "mnnconvert"), ("ncnn-fp16", "pnnx")):
        assert manifest["artifacts"][kind]["tool"] == tool
        assert (
            manifest["artifacts"][kind]["parent_sha256"]
            == manifest["artifacts"]["onnx"]["files"][0]["sha256"]
        )
        assert manifest["parity"][kind]["passed"]
    assert (
        "unchanged" in run_cli(["export", MODEL, "--formats", "onnx,mnn,ncnn", "--json"], cwd=tmp_path).stdout
    )
    answers = {}
    for engine in ("onnxruntime", "mnn", "ncnn"):
        predicted = run_cli(["predict", MODEL, *SAMPLES, "--engine", engine, "--json"], cwd=tmp_path)
        assert predicted.exit_code == 0, predicted.stderr
        answers[engine] = [one["class_ids"] for one in json.loads(predicted.stdout)]
    assert answers["mnn"] == answers["ncnn"] == answers["onnxruntime"]
    for engine in ("mnn", "ncnn"):
        words = ["--engine", engine, "--threads", "1", "--repeats", "3", "--json"]
        profiled = run_cli(["profile", MODEL, *words], cwd=tmp_path)
        assert profiled.exit_code == 0, profiled.stderr
        profile = json.loads(profiled.stdout)
        assert profile["engine"] == engine
        artifact = load_manifest(tmp_path / "models" / MODEL).artifacts[engine]
        assert profile["artifact_sha256"] == artifact.sha256
        assert profile["operators"][0]["operator"] in ("Convolution", "ConvolutionDepthWise")
    words = ["--engine", "mnn,ncnn", "--threads", "2", "--batch-size", "1,2", *QUICK]
    measured = run_cli(["bench", MODEL, "--host", *words, "-o", "result.json"], cwd=tmp_path)
    assert measured.exit_code == 0, measured.stderr
    points = json.loads((tmp_path / "result.json").read_text())["points"]
    assert len(points) == 4
    for point in points:
        cannot = point["engine"] == "ncnn" and point["batch_size"] == 2
        assert (point["status"] == "skipped") == cannot, point
        if not cannot:
            assert point["effective_threads"] == 2
            assert point["parity"]["passed"], point
    place = tmp_path / "models" / MODEL
    subject = Subject(directory=place, manifest=load_manifest(place))
    # The network takes any batch; the files of ncnn do not.
    assert fixed_batch(subject, ServedModel(engine="ncnn")) == 1
    assert fixed_batch(subject, ServedModel(engine="mnn")) is None
