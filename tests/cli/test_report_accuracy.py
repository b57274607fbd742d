"""Accuracy that eval measured reaches the points that ran the same artifact, and is called measured."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgekit.bench.document import save_result
from edgekit.core.accuracy import wilson
from edgekit.core.measurement import ArtifactRef, Verdict
from edgekit.core.spec import Precision
from edgekit.tasks.truth.attributes import AttributeFigures
from edgekit.tasks.truth.boxes import BoxEvalResult, BoxScore
from edgekit.tasks.truth.classes import EvalResult, RouteScore
from edgekit.tasks.truth.label_maps import LabelMapEvalResult, LabelMapRoute
from edgekit.tasks.truth.labels import LabelEvalResult, LabelRoute
from edgekit.vision.average_precision import AveragePrecision
from edgekit.vision.label_maps import LabelMapScore
from tests.conftest import RunCli
from tests.points import point, process, result, samples

FLOAT, INT8 = "a" * 64, "b" * 64


def artifact(sha256: str) -> ArtifactRef:
    return ArtifactRef(
        kind="onnx", format="onnx", sha256=sha256, converter="paddle2onnx", converter_version="2"
    )


def score(engine: str, precision: Precision, sha256: str, hits: int) -> RouteScore:
    return RouteScore(
        engine=engine, precision=precision, artifact=artifact(sha256),
        top1=wilson(hits, 1000), top5=wilson(hits + 100, 1000),
    )  # fmt: skip


COMMON = {
    "edgekit_version": "0", "started_at": "2026-11-23T12:00:00+00:00",
    "ended_at": "2026-11-23T12:01:00+00:00", "target": "host", "list_path": "val.txt",
    "list_sha256": "c" * 64, "data": "pictures", "threads": 1, "batch_size": 8, "skipped": (),
    "weights": "own.pdparams", "pictures": 1000, "unreadable": 0, "first_error": None,
}  # fmt: skip


def evaluation(*routes: RouteScore) -> EvalResult:
    """Invented scores on a list of a thousand pictures."""
    return EvalResult(
        **COMMON, schema_version=EvalResult.version, model="PPLCNet_x1_0", disagreements=0,
        confusion_path="c.csv", disagreements_path="d.csv", routes=routes,
    )  # fmt: skip


def box_evaluation(model: str) -> BoxEvalResult:
    """An invented evaluation of a detector."""
    figures = AveragePrecision(
        ap=0.2512, ap50=0.4, ap75=0.2, ap_small=None, ap_medium=None, ap_large=0.3, recall=0.5, by_class=()
    )
    route = BoxScore(
        engine="onnxruntime", precision=Precision.FP32, artifact=artifact(FLOAT), figures=figures,
        ap_drop=None, results_path="b.json",
    )  # fmt: skip
    return BoxEvalResult(
        **COMMON, schema_version=BoxEvalResult.version, task="detection", model=model, classes=(),
        routes=(route,),
    )  # fmt: skip


def label_map_evaluation(model: str) -> LabelMapEvalResult:
    """An invented evaluation of a segmenter."""
    route = LabelMapRoute(
        engine="onnxruntime", precision=Precision.FP32, artifact=artifact(FLOAT), mean_iou_drop=None,
        figures=LabelMapScore(mean_iou=0.6123, accuracy=0.9, kappa=None, class_iou=()),
    )  # fmt: skip
    return LabelMapEvalResult(
        **COMMON, schema_version=LabelMapEvalResult.version, task="segmentation", model=model, classes=(),
        routes=(route,),
    )  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> Path:
    runs = process(samples(3.0))
    points = [
        point(runs, precision=precision, artifact=artifact(sha256), verdict=Verdict.VALID, model=model)
        for precision, sha256, model in (
            (Precision.FP32, FLOAT, "PPLCNet_x1_0"),
            (Precision.INT8, INT8, "PPLCNet_x1_0"),
            (Precision.INT8, "d" * 64, "PPLCNet_x0_5"),
        )
    ]
    save_result(tmp_path / "host.json", result(*points))
    routes = (
        score("onnxruntime", Precision.FP32, FLOAT, 700),
        score("onnxruntime", Precision.INT8, INT8, 690),
        score("openvino", Precision.INT8, INT8, 650),
    )
    (tmp_path / "eval.json").write_bytes(msgspec.json.encode(evaluation(*routes)))
    return tmp_path


@pytest.mark.parametrize("places", [["host.json", "eval.json"], ["eval.json", "host.json"], ["."]])
def test_it_stands_beside_the_published_as_measured(files: Path, run_cli: RunCli, places: list[str]) -> None:
    done = run_cli(["report", *places, "--format", "md"], cwd=files)
    assert (done.exit_code, done.stderr) == (0, "")
    _, _headlines, _leaderboard, *tables = done.stdout.split("### ")
    lines = [[cell.strip() for cell in line.strip("|").split("|")]
             for table in tables for line in table.splitlines() if line.startswith("| ")]  # fmt: skip
    measured = ["measured Top-1(%)", "measured Top-5(%)"]
    assert lines[0][3:7] == ["published Top-1(%)", "published Top-5(%)", *measured]
    assert lines[1][3:7] == ["71.32", "90.03", "70.00", "80.00"]
    assert lines[2][3:5] == measured
    assert [line[3:5] for line in lines[3:]] == [["69.00", "79.00"], ["-", "-"]]
    assert "accuracy of PPLCNet_x1_0 int8: measured by onnxruntime on val.txt, 1000 pictures" in done.stdout


def test_every_precision_of_a_gpu_has_its_own(files: Path, run_cli: RunCli) -> None:
    points = [
        point(process(samples(1.0)), precision=precision, artifact=artifact(sha256), engine="paddle-gpu")
        for precision, sha256 in ((Precision.FP32, FLOAT), (Precision.INT8, INT8))
    ]
    save_result(files / "gpu.json", result(*points))
    text = run_cli(["report", "gpu.json", "eval.json", "--format", "md"], cwd=files).stdout
    *_, header, _, line = [row for row in text.splitlines() if row.startswith("|")]
    cells = dict(zip(header.split(" | "), line.split(" | "), strict=True))
    assert cells["published Top-1(%)"] == "71.32"
    assert (cells["measured Top-1(%) FP32"], cells["measured Top-1(%) INT8"]) == ("70.00", "65.00")


def test_rows_say_on_what(files: Path, run_cli: RunCli) -> None:
    text = run_cli(["report", ".", "--format", "csv"], cwd=files).stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["top1"] for row in rows] == ["71.32", "", ""]
    assert [row["measured_top1"] for row in rows] == ["70.0", "69.0", ""]
    assert [row["measured_pictures"] for row in rows] == ["1000", "1000", ""]
    assert rows[1]["measured_source"] == "onnxruntime on val.txt"


def test_a_plain_table_says_where_accuracy_is(files: Path, run_cli: RunCli) -> None:
    done = run_cli(["report", "."], cwd=files)
    assert (done.exit_code, done.stderr) == (0, "accuracy is shown with --published or another --format\n")


def test_an_evaluation_alone_is_shown_by_itself(files: Path, run_cli: RunCli) -> None:
    done = run_cli(["report", "eval.json"], cwd=files)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "PPLCNet_x1_0, 1000 pictures of val.txt, per cent" in done.stdout
    page = run_cli(["report", "eval.json", "--format", "html"], cwd=files)
    assert page.exit_code == 0 and "<h1>PPLCNet_x1_0: accuracy</h1>" in page.stdout
    rows = run_cli(["report", "eval.json", "--format", "csv"], cwd=files)
    assert (rows.exit_code, rows.stdout) == (3, "")
    assert "no result of bench among them" in rows.stderr
    assert "edgekit report eval.json --format html -o accuracy.html" in rows.stderr
    (files / "alone").mkdir()
    (files / "alone/eval.json").write_bytes((files / "eval.json").read_bytes())
    directory = run_cli(["report", "alone"], cwd=files)
    assert (directory.exit_code, directory.stdout) == (0, done.stdout)
    newer = json.loads((files / "eval.json").read_text()) | {"schema_version": EvalResult.version + 1}
    (files / "eval.json").write_bytes(msgspec.json.encode(newer))
    done = run_cli(["report", "."], cwd=files)
    assert done.stderr == "eval.json is no result of bench or eval: left out\n"


# PaddleClas, docs/en/models/PP-LCNet_en.md, sections 1.3.2 and 1.3.3, with the invented measurements beside.
DETECTION = """
PicoDet on MobileNetV3_large_x0_35 | 19.2 | - | 8.10 | published only
PicoDet on PPLCNet_x0_5 | 20.3 | 25.12 | 6.00 | 3.00
PicoDet on MobileNetV3_large_x0_75 | 25.8 | - | 11.10 | published only
PicoDet on PPLCNet_x1_0 | 26.9 | - | 7.90 | published only
"""
SEGMENTATION = """
DeepLabV3+ on MobileNetV3_large_x0_5 | 55.42 | - | 135.00 | published only
DeepLabV3+ on PPLCNet_x0_5 | 58.36 | - | 82.00 | published only
DeepLabV3+ on MobileNetV3_large_x0_75 | 64.53 | - | 151.00 | published only
DeepLabV3+ on PPLCNet_x1_0 | 66.03 | 61.23 | 96.00 | 3.00
"""


@pytest.mark.parametrize(
    ("model", "evaluated", "title", "published", "figures"),
    [
        ("PicoDet_LCNet_x0_5_320", box_evaluation, "PicoDet on PP-LCNet beside MobileNetV3, COCO", DETECTION,
         {"published mAP(%)": "20.3", "measured mAP(%)": "25.12", "measured mAP at IoU 0.5(%)": "40.00"}),
        ("DeepLabV3P_PPLCNet_x1_0", label_map_evaluation,
         "DeepLabV3+ on PP-LCNet beside MobileNetV3, Cityscapes", SEGMENTATION,
         {"published mIoU(%)": "66.03", "measured mIoU(%)": "61.23"}),
    ],
)  # fmt: skip
def test_detectors_and_segmenters_stand_in_their_published_tables(
    tmp_path: Path, run_cli: RunCli, model: str, evaluated: Any, title: str, published: str,
    figures: dict[str, str],
) -> None:  # fmt: skip
    measured = point(
        process(samples(3.0)), model=model, artifact=artifact(FLOAT), verdict=Verdict.VALID, parity=None
    )
    save_result(tmp_path / "host.json", result(measured))
    (tmp_path / "eval.json").write_bytes(msgspec.json.encode(evaluated(model)))
    reports = {
        form: run_cli(["report", ".", "--format", form, "--published"], cwd=tmp_path)
        for form in ("md", "table", "html", "csv")
    }
    assert [(done.exit_code, done.stderr) for done in reports.values()] == [(0, "")] * 4
    *_, own, comparison = reports["md"].stdout.split("### ")
    assert comparison.startswith(title)
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in comparison.splitlines()
        if line.startswith("| ")
    ]
    assert [" | ".join(line) for line in lines[1:]] == published.strip().splitlines()
    assert "which size of pictures is not said" in comparison
    header, cells = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in own.splitlines()
        if line.startswith("| ")
    )
    assert figures.items() <= dict(zip(header, cells, strict=True)).items()
    for form in ("table", "html"):
        assert all(figure in reports[form].stdout for figure in figures.values())
    (row,) = csv.DictReader(io.StringIO(reports["csv"].stdout))
    found = {
        name: float(row[name]) for name in ("measured_map", "measured_map50", "measured_miou") if row[name]
    }
    wanted = [float(figure) for name, figure in figures.items() if name.startswith("measured")]
    assert sorted(found.values()) == pytest.approx(sorted(wanted))


def test_a_multi_label_models_figures_stand_beside_its_latency(tmp_path: Path, run_cli: RunCli) -> None:
    figures = AttributeFigures(
        ma=0.8125, label_f1=0.75, label_pos_recall=0.7, label_neg_recall=0.9, instance_f1=0.6875,
        instance_acc=0.6, instance_prec=0.7, instance_recall=0.68,
    )  # fmt: skip
    route = LabelRoute(
        engine="onnxruntime", precision=Precision.FP32, artifact=artifact(FLOAT), right=wilson(5, 10),
        agreement=None, mean_average_precision=0.9, mean_average_precision_drop=None, attributes=figures,
        labels=(),
    )  # fmt: skip
    evaluated = LabelEvalResult(
        **COMMON, schema_version=LabelEvalResult.version, task="multilabel", model="mine", routes=(route,),
        disagreements=0, disagreements_path="d.csv", wrong_path="w.csv",
    )  # fmt: skip
    measured = point(process(samples(3.0)), model="mine", artifact=artifact(FLOAT), verdict=Verdict.VALID)
    save_result(tmp_path / "host.json", result(measured))
    (tmp_path / "eval.json").write_bytes(msgspec.json.encode(evaluated))
    text = run_cli(["report", ".", "--published", "--format", "md"], cwd=tmp_path).stdout
    for words in ("measured mAP of labels(%)", "measured mA(%)", "measured instance F1(%)", "90.00", "81.25"):
        assert words in text
    (row,) = json.loads(run_cli(["report", ".", "--format", "json"], cwd=tmp_path).stdout)["rows"]
    found = {name: row[name] for name in row if name.startswith("measured_") and isinstance(row[name], float)}
    assert found == {
        "measured_label_map": 90.0, "measured_ma": 81.25, "measured_label_f1": 75.0,
        "measured_instance_f1": 68.75,
    }  # fmt: skip


def test_a_random_detector_has_no_published_accuracy(tmp_path: Path, run_cli: RunCli) -> None:
    random = msgspec.structs.replace(artifact(FLOAT), weights="random (seed 0)")
    measured = point(process(samples(3.0)), model="PicoDet_LCNet_x0_5_320", artifact=random)
    save_result(tmp_path / "host.json", result(measured))
    text = run_cli(["report", ".", "--published"], cwd=tmp_path).stdout
    assert "20.3" not in text and "PicoDet on PPLCNet_x0_5" in text
