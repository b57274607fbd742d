"""Imported models answer as their configuration says, from `import` to `predict` and `eval`."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest

from edgekit import EdgeKit
from edgekit.convert.manifest import load_manifest
from edgekit.errors import InputError
from tests.conftest import RunCli
from tests.convert.onnx_models import classifier

# Pictures of 48 wide and 32 high in BGR, without normalising, several labels; one of them a number.
SEVERAL = """
Global: {model_name: PP-LCNet_x1_0_ML}
Hpi: {backend_configs: {paddle_infer: {trt_dynamic_shapes: &id001 {x: [[1, 3, 32, 48]]}},
  tensorrt: {dynamic_shapes: *id001}}}
PreProcess:
  transform_ops:
  - DecodeImage: {img_mode: BGR, channel_first: false}
  - ResizeImage: {size: [48, 32]}
  - NormalizeImage: {scale: 1.0/255.0, mean: [0, 0, 0], std: [1, 1, 1], order: ''}
  - ToCHWImage: null
PostProcess:
  MultiLabelThreshOutput: {threshold: 0.4, label_list: ["0 stars", 'a\\u2028b', "no", '~', x]}
"""
FORMATS = ["--formats", "paddle,onnx", "--no-verify"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, run_cli: RunCli) -> Path:
    """A directory with the imported model `mine`, pictures and their list."""
    directory = tmp_path_factory.mktemp("several")
    classifier(directory / "net.onnx", width=48, end="Sigmoid")
    (directory / "inference.yml").write_text(SEVERAL.replace("'a\\u2028b'", '"a\\u2028b"'))
    random = np.random.default_rng(5)
    for number in range(3):
        assert cv2.imwrite(
            str(directory / f"{number}.png"), random.integers(0, 256, (50, 70, 3), dtype=np.uint8)
        )
    done = run_cli(["import", "net.onnx", "--name", "mine", *FORMATS[:2]], cwd=directory)
    assert done.exit_code == 0, done.stderr
    return directory


def test_several_labels(place: Path, run_cli: RunCli) -> None:
    manifest = load_manifest(place / "models" / "mine")
    assert manifest.output_activation == "sigmoid"
    assert (manifest.task, manifest.postprocess["thresholds"]) == ("multilabel", [0.4])
    assert manifest.inputs[0].shape == (None, 3, 32, 48)
    # Its answers are compared, not its highest class.
    assert {rung: parity.judged_by for rung, parity in manifest.parity.items()} == {
        "paddle": "threshold",
        "onnx": "threshold",
    }
    names = [f"{number}.png" for number in range(3)]
    done = run_cli(["predict", "mine", *names, "--json"], cwd=place)
    assert done.exit_code == 0, done.stderr
    session = onnxruntime.InferenceSession(place / "net.onnx", providers=["CPUExecutionProvider"])
    labels = ("0 stars", "a\u2028b", "no", "~", "x")
    counts = set()
    for name, answer in zip(names, json.loads(done.stdout), strict=True):
        resized = cv2.resize(cv2.imread(str(place / name)), (48, 32)).astype(np.float32) * np.float32(1 / 255)
        (scores,) = session.run(None, {"input": resized.transpose(2, 0, 1)[None]})[0]
        passing = [index for index, score in enumerate(scores) if score >= 0.4]
        assert answer["class_ids"] == passing
        assert answer["label_names"] == [labels[index] for index in passing]
        assert answer["scores"] == pytest.approx([scores[index] for index in passing], abs=2e-5)
        counts.add(len(passing))
    assert counts - {0, 5}  # the threshold does divide them
    (batch,) = EdgeKit(place / "models" / "mine", batch_size=3).predict([place / name for name in names])
    assert [each["class_ids"] for each in batch] == [each["class_ids"] for each in json.loads(done.stdout)]
    done = run_cli(["predict", "mine", "0.png", "--threshold", "0", "--json"], cwd=place)
    assert json.loads(done.stdout)[0]["class_ids"] == [0, 1, 2, 3, 4]


def test_several_labels_are_evaluated(place: Path, run_cli: RunCli) -> None:
    session = onnxruntime.InferenceSession(place / "net.onnx", providers=["CPUExecutionProvider"])
    names = [f"{number}.png" for number in range(3)]
    pictures = [cv2.resize(cv2.imread(str(place / name)), (48, 32)) for name in names]
    inputs = np.stack(pictures).astype(np.float32).transpose(0, 3, 1, 2) * np.float32(1 / 255)
    scores = np.concatenate([session.run(None, {"input": one[None]})[0] for one in inputs])
    answers = (scores >= 0.4).astype(int)
    truth = answers.copy()
    truth[1] = 1 - truth[1]  # all wrong
    truth[2, 0] = -1  # unknown
    lines = [f"{name}\t{','.join(map(str, row))}\n" for name, row in zip(names, truth, strict=True)]
    (place / "list.txt").write_text("".join([*lines, "gone.png 0,0,0,0,1\n"]))
    words = ["eval", "mine", "--data", ".", "--list", "list.txt", "-o", "several.json"]
    done = run_cli([*words, "--html", "several.html"], cwd=place)
    assert done.exit_code == InputError.exit_code and "1 of 4 pictures could not be read" in done.stderr
    result = json.loads((place / "several.json").read_text())
    (route,) = [one for one in result["routes"] if one["engine"] == "onnxruntime"]
    assert (result["pictures"], route["right"]["hits"]) == (3, 2)
    for column, figures in enumerate(route["labels"]):
        known = [row for row in range(3) if truth[row, column] != -1]
        true = [row for row in known if truth[row, column]]
        given = [row for row in known if answers[row, column]]
        hits = len(set(true) & set(given))
        best = sorted(known, key=lambda row: -scores[row, column])
        points = [(len(set(best[: n + 1]) & set(true)) / (n + 1), row in true) for n, row in enumerate(best)]
        expected = {
            "positives": len(true),
            "precision": hits / len(given) if given else None,
            "recall": hits / len(true) if true else None,
            "f1": 2 * hits / (len(given) + len(true)) if given or true else None,
            "average_precision": sum(p for p, hit in points if hit) / len(true) if true else None,
        }
        assert figures == {name: pytest.approx(value) for name, value in expected.items()}
    with (place / "several.wrong.csv").open() as file:
        (wrong,) = csv.DictReader(file)
    assert (wrong["picture"], wrong["labels"]) == ("1.png", ",".join(map(str, truth[1])))
    assert wrong["onnxruntime fp32"] == ",".join(map(str, answers[1]))
    reported = run_cli(["report", "several.json"], cwd=place)
    assert reported.exit_code == 0 and "instance F1" in reported.stdout and "0 stars" in reported.stdout
    assert result["thresholds"] == [0.4] * 5 and re.search(r"0 stars +0\.4 ", reported.stdout)
    page = (place / "several.html").read_text()
    named = [
        [("0 stars", r"a\u2028b", "no", "~", "x")[column] for column in np.flatnonzero(answers[1] == state)]
        for state in (0, 1)
    ]
    assert (
        "Wrong pictures" in page
        and "; ".join(
            f"{word} {', '.join(names)}"
            for word, names in zip(("missed", "wrong"), named, strict=True)
            if names
        )
        in page
    )
    for line, why in (
        ("0.png 1", "1 label(s), but the model has 5 classes"),
        ("0.png 0,1,2,0,0", "does not end in labels of 0, 1 and -1"),
    ):
        (place / "bad.txt").write_text(f"{line}\n")
        done = run_cli(["eval", "mine", "--data", ".", "--list", "bad.txt"], cwd=place)
        assert done.exit_code == InputError.exit_code and why in done.stderr


def test_one_class_a_picture_says_nothing_of_int8(place: Path, run_cli: RunCli) -> None:
    (place / "one.txt").write_text("0.png 1\n")
    words = ["quantize", "mine", "--calibration", ".", "--held-back", ".", "--list", "one.txt"]
    done = run_cli(words, cwd=place)
    assert done.exit_code == 2 and "the model answers several" in done.stderr


def test_probabilities_get_no_second_softmax(tmp_path: Path, run_cli: RunCli) -> None:
    classifier(tmp_path / "net.onnx", end="Softmax")
    # A clip behind the softmax hides it from a look at the last operator.
    import onnx

    model = onnx.load(tmp_path / "net.onnx")
    model.graph.node[-1].output[0] = "probabilities"
    model.graph.node.append(onnx.helper.make_node("Clip", ["probabilities", "low", "high"], ["scores"]))
    for name, value in (("low", 0.0), ("high", 1.0)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, np.float32), name))
    onnx.save(model, tmp_path / "net.onnx")
    assert cv2.imwrite(
        str(tmp_path / "p.png"), np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    )
    done = run_cli(["import", "net.onnx", "--name", "mine", *FORMATS], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    assert "its preprocessing was not said" in done.stderr
    assert load_manifest(tmp_path / "models" / "mine").output_activation == "softmax"
    done = run_cli(["predict", "mine", "p.png", "--json"], cwd=tmp_path)
    (answer,) = json.loads(done.stdout)
    # Softmax over probabilities would leave no more than e / (e + 4) to the best of five classes.
    assert sum(answer["scores"]) == pytest.approx(1.0, abs=1e-4)
    assert answer["scores"][0] > 0.41


def test_a_configuration_for_another_size_is_refused(tmp_path: Path, run_cli: RunCli) -> None:
    classifier(tmp_path / "net.onnx")
    (tmp_path / "inference.yml").write_text(SEVERAL)
    done = run_cli(["import", "net.onnx", "--name", "mine", *FORMATS], cwd=tmp_path)
    assert done.exit_code == 3
    assert "gives pictures of 32x48 (height, width), the model takes 32x32" in done.stderr


@pytest.mark.parametrize("free", [False, True], ids=["fixed sizes", "free sizes"])
def test_grey_pictures(tmp_path: Path, run_cli: RunCli, free: bool) -> None:
    classifier(tmp_path / "net.onnx", channels=1, side=28, end="Softmax")
    if free:
        document = onnx.load(tmp_path / "net.onnx")
        for number, size in enumerate(document.graph.input[0].type.tensor_type.shape.dim):
            size.dim_param = f"size_{number}"
        onnx.save(document, tmp_path / "net.onnx")
    (tmp_path / "grey.toml").write_text(
        'channel_order = "grey"\nmean = [0.1307, 0, 0]\nstd = [0.3081, 1, 1]\n'
        '[[steps]]\nstep = "resize"\nsize = [28, 28]\n'
    )
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    assert cv2.imwrite(str(tmp_path / "p.png"), pixels)
    words = ["import", "net.onnx", "--name", "mine", "--preprocess", "grey.toml", "--formats", "onnx"]
    done = run_cli(words, cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    assert load_manifest(tmp_path / "models" / "mine").parity["onnx"].passed
    done = run_cli(["predict", "mine", "p.png", "--json"], cwd=tmp_path)
    (answer,) = json.loads(done.stdout)
    grey = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), (28, 28)).astype(np.float32) / 255
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"input": (grey[None, None] - 0.1307) / np.float32(0.3081)})[0]
    assert answer["class_ids"] == np.argsort(-scores).tolist()
    assert answer["scores"] == pytest.approx(sorted(scores, reverse=True), abs=2e-5)
