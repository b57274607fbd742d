"""Detection models from `import` on."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekit import EdgeKit
from edgekit.convert.manifest import load_manifest
from tests.conftest import RunCli, python_with_paddle
from tests.convert import detection_models

WAYS = {
    "raw": (detection_models.picodet, detection_models.PICODET),
    "nms": (detection_models.with_nms, detection_models.WITH_NMS),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, run_cli: RunCli) -> Path:
    """A directory with the imported detectors `raw` and `nms`."""
    directory = tmp_path_factory.mktemp("detection")
    for name, (make, configuration) in WAYS.items():
        (directory / name).mkdir()
        make(directory / name / "model.onnx")
        (directory / name / "infer_cfg.yml").write_text(configuration)
        done = run_cli(["import", name, "--name", name, "--formats", "onnx"], cwd=directory)
        assert done.exit_code == 0, done.stderr
    return directory


def test_an_import_is_a_detector(place: Path) -> None:
    raw, nms = (load_manifest(place / "models" / name) for name in WAYS)
    for manifest in (raw, nms):
        assert (manifest.task, manifest.num_classes, manifest.labels) == ("detection", 3, "labels.txt")
        assert manifest.preprocess.size == (64, 96)
        assert manifest.parity["onnx"].passed and manifest.notes == ()
    assert (raw.postprocess["kind"], raw.postprocess["strides"]) == ("picodet", [16, 32])
    assert nms.postprocess == {"kind": "boxes", "score_threshold": 0.0, "answer_threshold": 0.5}
    assert [each.name for each in nms.inputs] == ["scale_factor", "image"]


def test_what_does_not_fit_is_refused(place: Path, tmp_path: Path, run_cli: RunCli) -> None:
    (tmp_path / "labels.txt").write_text("a\nb\n")
    shutil.copy(place / "raw" / "model.onnx", tmp_path)
    words = ["import", "model.onnx", "--name", "other", "--formats", "onnx", "--no-verify"]
    labels = run_cli([*words, "--labels", "labels.txt"], cwd=tmp_path)
    assert labels.exit_code == 3 and "2 labels" in labels.stderr and "3 classes" in labels.stderr
    (tmp_path / "other.yml").write_text(detection_models.PICODET.replace("[16, 32]", "[8, 16]"))
    strides = run_cli([*words, "--preprocess", "other.yml"], cwd=tmp_path)
    assert strides.exit_code == 3
    assert "its outputs are neither rows of boxes with their counts nor PicoDet's scores" in strides.stderr
    alone = run_cli(words, cwd=tmp_path)
    assert alone.exit_code == 0
    assert "its outputs are the scores and distances of PicoDet's head" in alone.stderr
    assert load_manifest(tmp_path / "models" / "other").task == "detection"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures, each twice or three times as large as the networks' input."""
    directory = tmp_path_factory.mktemp("pictures")
    for number, cells in enumerate([[(0, 0, 0), (2, 5, 2)], [], [(1, 1, 1)], [(3, 2, 0)]]):
        pixels = detection_models.picture(*cells, scale=2 + number % 2)
        assert cv2.imwrite(str(directory / f"{number:012d}.png"), pixels)
    return directory


@pytest.mark.parametrize("name", WAYS)
def test_boxes_of_pictures_that_keep_their_ratio(name: str, place: Path, run_cli: RunCli) -> None:
    configuration = WAYS[name][1].replace("keep_ratio: false", "keep_ratio: true")
    (place / "kept.yml").write_text(configuration)
    words = ["import", f"{name}/model.onnx", "--name", f"kept_{name}", "--preprocess", "kept.yml"]
    done = run_cli([*words, "--formats", "onnx", "--no-verify"], cwd=place)
    assert done.exit_code == 0, done.stderr
    assert "pictures are padded with zeros to 96x64" in done.stderr
    # The left two thirds of a picture of three times the network's input: 64x64, then padding.
    wide = detection_models.picture((0, 0, 0), (2, 2, 2), (1, 4, 1), scale=3)
    assert cv2.imwrite(str(place / "square.png"), np.ascontiguousarray(wide[:, :192]))
    done = run_cli(["predict", f"kept_{name}", "square.png", "--json"], cwd=place)
    assert done.exit_code == 0, done.stderr
    found = [
        (each["category_name"], [round(side) for side in each["bbox"]]) for each in json.loads(done.stdout)
    ]
    assert sorted(found) == [("blue", [96, 96, 48, 48]), ("red", [0, 0, 48, 48])]


@pytest.mark.parametrize("name", WAYS)
def test_boxes_in_the_pixels_of_the_pictures(
    name: str, place: Path, pictures: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    drawn = tmp_path / "drawn"
    done = run_cli(["predict", name, pictures, "--json", "--draw", drawn], cwd=place)
    assert done.exit_code == 0, done.stderr
    found = [
        (each["image_id"], each["category_name"], [round(side) for side in each["bbox"]])
        for each in json.loads(done.stdout)
    ]
    assert sorted(found) == [
        (0, "blue", [160, 64, 32, 32]),
        (0, "red", [0, 0, 32, 32]),
        (2, "green", [32, 32, 32, 32]),
        (3, "red", [96, 144, 48, 48]),
    ]
    assert all(each["score"] > 0.9 for each in json.loads(done.stdout))
    for number in range(4):
        before = cv2.imread(str(pictures / f"{number:012d}.png"))
        after = cv2.imread(str(drawn / f"{number:012d}.png"))
        assert after.shape == before.shape and (after != before).any() == (number != 1)


def test_a_line_a_picture(place: Path, pictures: Path, run_cli: RunCli) -> None:
    done = run_cli(["predict", "raw", pictures, "--workers", "2", "--threshold", "0.2"], cwd=place)
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert lines[1] == (
        f"class_ids: [], scores: [], label_names: [], boxes: [], filename: {pictures}/000000000001.png"
    )
    assert lines[2].startswith("class_ids: [1], scores: [1.0], label_names: ['green'], boxes: [[3")


def test_python_yields_the_same(place: Path, pictures: Path) -> None:
    with EdgeKit(place / "models" / "raw", batch_size=3) as model:
        batches = list(model.predict([pictures]))
    assert [len(batch) for batch in batches] == [3, 1]
    assert batches[1][0]["label_names"] == ["red"] and batches[0][1]["boxes"] == []
    (corners,) = batches[0][2]["boxes"]
    assert corners == pytest.approx([32, 32, 64, 64], abs=0.1)


def coco(directory: Path, truth: list[tuple[int, int, list[int]]]) -> Path:
    """Write COCO instances of the four pictures; categories are numbered 10, 20, 30, and not in order."""
    path = directory / "instances.json"
    document = {
        "images": [{"id": number, "file_name": f"{number:012d}.png"} for number in range(4)],
        "annotations": [
            {"id": place, "image_id": image, "category_id": category, "bbox": bbox}
            for place, (image, category, bbox) in enumerate(truth, start=1)
        ],
        "categories": [{"id": 30, "name": "red"}, {"id": 10, "name": "blue"}, {"id": 20, "name": "green"}],
    }
    path.write_text(json.dumps(document))
    return path


RIGHT = [(0, 10, [160, 64, 32, 32]), (0, 30, [0, 0, 32, 32]), (2, 20, [32, 32, 32, 32])]


def test_mean_average_precision(place: Path, pictures: Path, tmp_path: Path, run_cli: RunCli) -> None:
    truth = coco(tmp_path, [*RIGHT, (3, 30, [96, 144, 48, 48])])
    for name in WAYS:
        output = tmp_path / f"{name}.json"
        words = ["eval", name, "--data", pictures, "--list", truth, "-o", output, "--json"]
        done = run_cli(words, cwd=place)
        assert done.exit_code == 0, done.stderr
        result = json.loads(done.stdout)
        assert result == json.loads(output.read_text())
        (route,) = result["routes"]
        assert route["figures"]["ap"] == route["figures"]["ap_medium"] == pytest.approx(1)
        assert route["figures"]["by_class"] == pytest.approx([1, 1, 1]) and result["classes"] == [
            "red",
            "green",
            "blue",
        ]
        boxes = json.loads((tmp_path / f"{name}.onnxruntime-fp32.bbox.json").read_text())
        best = {each["image_id"]: each["category_id"] for each in boxes if each["score"] > 0.9}
        assert best == {0: 10, 2: 20, 3: 30} or best == {0: 30, 2: 20, 3: 30}
        assert not output.with_suffix(".journal").exists()


def test_a_missed_and_a_false_box_cost_precision(
    place: Path, pictures: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    """Of two red objects one is found; the other picture shows red where none is said to be."""
    truth = coco(tmp_path, [*RIGHT, (1, 30, [0, 0, 50, 50])])
    words = ["eval", "raw", "--data", pictures, "--list", truth, "-o", tmp_path / "r.json"]
    done = run_cli([*words, "--html", tmp_path / "r.html"], cwd=place)
    assert done.exit_code == 0, done.stderr
    assert "mAP" in done.stdout and "AP50" in done.stdout
    result = json.loads((tmp_path / "r.json").read_text())
    figures, counts = result["routes"][0]["figures"], result["routes"][0]["counts"]
    assert counts == [
        {"objects": 2, "answers": 2, "right": 1},
        {"objects": 1, "answers": 1, "right": 1},
        {"objects": 1, "answers": 1, "right": 1},
    ]
    page = (tmp_path / "r.html").read_text()
    row = r'<th scope="row">(\w+)</th><td>(\d+)</td><td>([\d.]+)</td><td>([\d.]+)</td><td>([\d.]+)</td></tr>'
    assert re.findall(row, page) == [
        ("red", "2", "50.00", "50.00", f"{100 * figures['by_class'][0]:.2f}"),
        ("green", "1", "100.00", "100.00", f"{100 * figures['by_class'][1]:.2f}"),
        ("blue", "1", "100.00", "100.00", f"{100 * figures['by_class'][2]:.2f}"),
    ]
    missed, wrong = json.loads((tmp_path / "r.wrong.json").read_text())
    assert (missed["picture"], missed["answers"]) == ("000000000001.png", [[]])
    assert missed["objects"] == [{"class_id": 0, "corners": [0, 0, 50, 50], "found": [False]}]
    assert (wrong["picture"], wrong["objects"], wrong["answers"][0][0]["right"]) == (
        "000000000003.png", [], False,
    )  # fmt: skip
    assert re.findall(r'<rect class="(\w+)" x="([\d.]+)"[^>]*><title>red', page) == [
        ("missed", "0.0"), ("wrong", "96.0"),
    ]  # fmt: skip
    assert "missed red" in page and page.count("data:image/jpeg") == 2
    figures = json.loads((tmp_path / "r.json").read_text())["routes"][0]["figures"]
    assert figures["by_class"][1:] == pytest.approx([1, 1])
    assert 0.4 < figures["by_class"][0] < 0.6


def test_a_voc_list(place: Path, pictures: Path, tmp_path: Path, run_cli: RunCli) -> None:
    box = "<bndbox><xmin>32</xmin><ymin>32</ymin><xmax>64</xmax><ymax>64</ymax></bndbox>"
    (pictures / "2.xml").write_text(f"<annotation><object><name>green</name>{box}</object></annotation>")
    (tmp_path / "list.txt").write_text("000000000002.png 2.xml\nnone.png 2.xml\n")
    words = ["eval", "raw", "--data", pictures, "--list", tmp_path / "list.txt", "-o", tmp_path / "r.json"]
    done = run_cli([*words, "--json"], cwd=place)
    assert done.exit_code == 3 and "1 of 2 pictures could not be read" in done.stderr
    result = json.loads(done.stdout)
    assert (result["pictures"], result["unreadable"]) == (1, 1)
    assert result["routes"][0]["figures"]["ap"] == pytest.approx(1)


def test_annotations_of_another_data_set(
    place: Path, pictures: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    truth = coco(tmp_path, RIGHT)
    truth.write_text(truth.read_text().replace('"green"', '"person"'))
    done = run_cli(["eval", "raw", "--data", pictures, "--list", truth], cwd=place)
    assert done.exit_code == 3
    assert "its category 'person' is none of the model's labels (red, green, blue)" in done.stderr
    assert not (place / "results").exists()


@pytest.mark.slow
def test_a_program_of_paddle_with_nms_and_sizes(pictures: Path, tmp_path: Path, run_cli: RunCli) -> None:
    """Batches of three with an empty place, in two lanes: rows go to their pictures by the counts."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "infer_cfg.yml").write_text(detection_models.WITH_NMS)
    script = Path(__file__).parents[1] / "convert" / "paddle_detector.py"
    subprocess.run([python_with_paddle(), script, tmp_path / "net" / "model"], check=True, timeout=120)
    imported = run_cli(["import", "net", "--name", "net", "--formats", "paddle"], cwd=tmp_path)
    assert imported.exit_code == 0, imported.stderr
    manifest = load_manifest(tmp_path / "models" / "net")
    assert [each.name for each in manifest.inputs] == ["im_shape", "image", "scale_factor"]
    assert manifest.parity["paddle"].passed
    names = [str(pictures / f"{number:012d}.png") for number in range(4)]
    words = ["predict", "net", *names, "--engine", "paddle", "--batch-size", "3", "--workers", "2", "--jsonl"]
    done = run_cli(words, cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["label_names"] for each in answers] == [["red", "blue"], [], ["green"], ["red"]]
    assert answers[0]["boxes"] == [[0, 0, 32, 32], [160, 64, 192, 96]]
    assert answers[3]["boxes"] == [[96, 144, 144, 192]]


@pytest.mark.slow
def test_int8_is_measured_by_its_boxes(place: Path, tmp_path: Path, run_cli: RunCli) -> None:
    random = np.random.default_rng(0)
    for number in range(30):
        cells = [tuple(int(random.integers(most)) for most in (4, 6, 3)) for _ in range(3)]
        pixels = detection_models.picture(*cells)
        assert cv2.imwrite(str(tmp_path / f"{number}.png"), pixels)
    words = ["quantize", "raw", "--calibration", tmp_path, "--formats", "onnx", "--json"]
    strict = run_cli([*words, "--max-drop", "0.01"], cwd=place)
    assert strict.exit_code == 9 and "held-back boxes" in strict.stderr
    done = run_cli([*words, "--max-drop", "40"], cwd=place)
    assert done.exit_code == 0, done.stderr
    (artifact,) = json.loads(done.stdout)["artifacts"]
    assert artifact["counted"] == "boxes" and artifact["agreement"]["trials"] > 10
    # On noise it finds other boxes, for that leaves the ranges that pictures have.
    verified = run_cli(["verify", "raw", "--json"], cwd=place)
    assert verified.exit_code == 0, verified.stdout
    int8 = load_manifest(place / "models" / "raw").parity["onnx-int8"]
    assert (int8.passed, int8.judged_by, int8.inputs) == (True, "boxes", 6)
    answered = run_cli(["predict", "raw", tmp_path / "0.png", "--precision", "int8", "--json"], cwd=place)
    assert json.loads(answered.stdout)
    refused = run_cli(["quantize", "nms", "--calibration", tmp_path, "--formats", "onnx"], cwd=place)
    assert refused.exit_code == 2 and "several inputs (scale_factor, image)" in refused.stderr


def test_bench_compares_every_output(place: Path, tmp_path: Path, run_cli: RunCli) -> None:
    words = ["bench", *WAYS, "--host", "--engine", "onnxruntime", "--threads", "1", "-o", tmp_path / "r.json"]
    quick = ["--repeats", "3", "--warmup", "1", "--min-secs", "0", "--processes", "1"]
    done = run_cli([*words, *quick], cwd=place)
    assert done.exit_code == 0, done.stderr
    points = json.loads((tmp_path / "r.json").read_text())["points"]
    assert [(point["parity"]["passed"], point["parity"]["judged_by"]) for point in points] == [
        (True, "boxes")
    ] * 2
