"""Models of all tasks in one service: answers by tritonclient over REST and gRPC are those of `predict`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import edgekit
from edgekit.toolchain.cache import cache_directory
from tests.browser import running_chromium
from tests.cli.test_import_segmentation import DEPLOY, write_segmenter
from tests.conftest import RunCli, require_mlserver
from tests.convert import detection_models, onnx_models
from tests.serving.services import Ports, Service, rest_body, serve_command, start

require_mlserver()
grpc = pytest.importorskip("tritonclient.grpc")
http = pytest.importorskip("tritonclient.http")

DETECTORS = {
    "raw": (detection_models.picodet, detection_models.PICODET),
    "nms": (detection_models.with_nms, detection_models.WITH_NMS),
}
# Independent scores, and a threshold that decides between two classes.
MULTILABEL = """
PreProcess:
  transform_ops:
  - ResizeImage: {size: [32, 32]}
  - NormalizeImage: {scale: 1.0/255.0, mean: [0, 0, 0], std: [1, 1, 1], order: ''}
  - ToCHWImage: null
PostProcess:
  MultiLabelThreshOutput: {threshold: 0.4, label_list: [a, b, c, d, e]}
"""
DECIDED = MULTILABEL.replace("MultiLabelThreshOutput", "ThreshOutput").replace(
    "0.4", "0.9, default_label_index: 3"
)
ATTRIBUTES = MULTILABEL.replace(
    "MultiLabelThreshOutput: {threshold: 0.4, label_list: [a, b, c, d, e]}", "TableAttribute: {}"
)
CLASSIFIERS = {"several": ("Sigmoid", MULTILABEL), "decided": ("Softmax", DECIDED)}
SEGMENTERS = ["seg"]
TENSORS = {"two": onnx_models.two_inputs, "types": onnx_models.every_type}
MODELS = [*DETECTORS, *CLASSIFIERS, "attributes", *SEGMENTERS, *TENSORS]
both = pytest.mark.parametrize("package", [http, grpc], ids=["http", "grpc"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, python: Path) -> Path:
    """A directory with the imported models and four pictures of different sizes, the second of them black."""
    directory = tmp_path_factory.mktemp("tasks")
    for name, (make, configuration) in DETECTORS.items():
        (directory / name).mkdir()
        make(directory / name / "model.onnx")
        (directory / name / "infer_cfg.yml").write_text(configuration)
    for name, (end, configuration) in CLASSIFIERS.items():
        (directory / name).mkdir()
        onnx_models.classifier(directory / name / "model.onnx", end=end)
        (directory / name / "inference.yml").write_text(configuration)
    (directory / "attributes").mkdir()
    onnx_models.classifier(directory / "attributes" / "model.onnx", end="Sigmoid", classes=6)
    (directory / "attributes" / "inference.yml").write_text(ATTRIBUTES)
    for name in SEGMENTERS:
        (directory / name).mkdir()
        write_segmenter(directory / name / "model.onnx", as_map=False)
        (directory / name / "deploy.yaml").write_text(DEPLOY)
    (directory / "labels.txt").write_text("red\ngreen\nblue\n")
    for name, write in TENSORS.items():
        (directory / name).mkdir()
        write(directory / name / "model.onnx")
    # In this process, because eight processes would import everything eight times.
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setattr(sys, "executable", str(python))
        for name in MODELS:
            labels = Path("labels.txt") if name in SEGMENTERS else None
            edgekit.import_model(name, name, formats=["onnx"], verify=False, labels=labels)
    for number, cells in enumerate([[(0, 0, 0), (2, 5, 2)], [], [(1, 1, 1)], [(3, 2, 0)]]):
        pixels = detection_models.picture(*cells, scale=2 + number % 2)
        assert cv2.imwrite(str(directory / f"{number}.png"), pixels)
    return directory


@pytest.fixture(scope="module")
def tasks(place: Path) -> Iterator[Service]:
    ports = Ports()
    running = start(serve_command(ports, *MODELS), ports, place / "log", place)
    yield running
    assert running.stop() == 0, running.log.read_text()
    children = subprocess.run(["pgrep", "-P", str(running.child.pid)], capture_output=True, check=False)
    assert not children.stdout


def contents(place: Path, *numbers: int) -> list[bytes]:
    return [(place / f"{number}.png").read_bytes() for number in numbers]


def ask(
    service: Service, package: ModuleType, model: str, inputs: dict[str, Any], *outputs: str
) -> dict[str, np.ndarray]:
    """Return the outputs by name; pictures are lists of bytes."""
    given = []
    for name, value in inputs.items():
        array = np.array(value, dtype=object) if isinstance(value, list) else value
        given.append(package.InferInput(name, array.shape, package_type(array)))
        given[-1].set_data_from_numpy(array)
    wanted = [package.InferRequestedOutput(name) for name in outputs] or None
    port = service.rest if package is http else service.grpc
    with package.InferenceServerClient(f"127.0.0.1:{port}") as client:
        answer = client.infer(model, given, outputs=wanted)
        found = answer.get_response()
        names = [
            each["name"] if isinstance(each, dict) else each.name
            for each in (found["outputs"] if isinstance(found, dict) else found.outputs)
        ]
        return {name: answer.as_numpy(name) for name in names}


def package_type(array: np.ndarray) -> str:
    from tritonclient.utils import np_to_triton_dtype

    return str(np_to_triton_dtype(array.dtype))


def metadata(service: Service, model: str, kind: str) -> dict[str, tuple[str, list[int]]]:
    listed = json.loads(service.get(f"/v2/models/{model}"))[kind]
    return {each["name"]: (each["datatype"], each["shape"]) for each in listed}


@both
@pytest.mark.parametrize("model", DETECTORS)
def test_boxes_are_those_of_predict(
    tasks: Service, place: Path, run_cli: RunCli, model: str, package: ModuleType
) -> None:
    found = ask(tasks, package, model, {"image": contents(place, 0, 1, 2, 3)})
    names = [f"{number}.png" for number in range(4)]
    expected = json.loads(run_cli(["predict", model, *names, "--json"], cwd=place).stdout)
    assert list(found) == ["class_ids", "scores", "label_names", "counts", "boxes"]
    assert found["counts"].tolist() == [2, 0, 1, 1]
    assert [found["class_ids"].dtype, found["scores"].dtype, found["boxes"].dtype] == ["i8", "f4", "f4"]
    assert found["class_ids"].shape == found["label_names"].shape == (4, 2)
    rows = [(picture, row) for picture in range(4) for row in range(found["counts"][picture])]
    assert len(rows) == len(expected)
    for at, each in zip(rows, expected, strict=True):
        assert (found["class_ids"][at], found["label_names"][at].decode()) == (
            each["category_id"], each["category_name"],
        )  # fmt: skip
        assert found["scores"][at] == np.float32(each["score"])
        x, y, width, height = each["bbox"]
        assert found["boxes"][at] == pytest.approx([x, y, x + width, y + height], abs=0.011)
    assert found["class_ids"][1].tolist() == [-1, -1] and found["scores"][1].tolist() == [0, 0]
    assert not found["boxes"][1].any() and found["label_names"][2, 1] == b""


@both
def test_no_box_at_all(tasks: Service, place: Path, package: ModuleType) -> None:
    found = ask(tasks, package, "nms", {"image": contents(place, 1)}, "boxes", "counts")
    assert found["counts"].tolist() == [0] and found["boxes"].size == 0 and len(found) == 2


def test_a_detectors_metadata_and_errors(tasks: Service, place: Path) -> None:
    for model in DETECTORS:
        assert metadata(tasks, model, "inputs") == {"image": ("BYTES", [-1])}
        assert metadata(tasks, model, "outputs") == {
            "class_ids": ("INT64", [-1, -1]),
            "scores": ("FP32", [-1, -1]),
            "label_names": ("BYTES", [-1, -1]),
            "counts": ("INT64", [-1]),
            "boxes": ("FP32", [-1, -1, 4]),
        }
        path = f"/v2/models/{model}/infer"
        status, text = tasks.post(path, rest_body(*contents(place, 0), b"no picture"))
        assert status == 400 and "picture 1" in text
        unknown = rest_body(*contents(place, 0), outputs=[{"name": "probabilities"}])
        status, text = tasks.post(path, unknown)
        assert status == 400 and "no output probabilities" in text


@both
@pytest.mark.parametrize("model", CLASSIFIERS)
def test_classes_are_those_of_predict(
    tasks: Service, place: Path, run_cli: RunCli, model: str, package: ModuleType
) -> None:
    names = [f"{number}.png" for number in range(4)]
    found = ask(tasks, package, model, {"image": contents(place, 0, 1, 2, 3)})
    expected = json.loads(run_cli(["predict", model, *names, "--json"], cwd=place).stdout)
    counts = found.pop("counts").tolist() if model == "several" else [1] * 4
    assert list(found) == ["class_ids", "scores", "label_names"]
    assert found["class_ids"].shape == (4, max(counts))
    for row, each in enumerate(expected):
        count = counts[row]
        assert found["class_ids"][row].tolist() == each["class_ids"] + [-1] * (max(counts) - count)
        assert found["scores"][row, :count] == pytest.approx(each["scores"], abs=2e-5)
        assert [name.decode() for name in found["label_names"][row, :count]] == each["label_names"]
    scores = ask(tasks, package, model, {"image": contents(place, 0)}, "probabilities")["probabilities"]
    assert scores.shape == (1, 5) and metadata(tasks, model, "outputs")["probabilities"] == ("FP32", [-1, 5])
    assert ("counts" in metadata(tasks, model, "outputs")) == (model == "several")


@both
def test_attributes_are_those_of_predict(
    tasks: Service, place: Path, run_cli: RunCli, package: ModuleType
) -> None:
    names = [f"{number}.png" for number in range(4)]
    found = ask(tasks, package, "attributes", {"image": contents(place, 0, 1, 2, 3)})
    expected = json.loads(run_cli(["predict", "attributes", *names, "--json"], cwd=place).stdout)
    assert list(found) == ["attributes", "output"]
    assert {len(each["attributes"]) for each in expected} == {6}
    assert [[text.decode() for text in row] for row in found["attributes"]] == [
        each["attributes"] for each in expected
    ]
    assert found["output"].tolist() == [each["output"] for each in expected]
    assert 0 < found["output"].mean() < 1
    assert metadata(tasks, "attributes", "outputs")["output"] == ("INT64", [-1, 6])


@both
@pytest.mark.parametrize("model", SEGMENTERS)
def test_label_maps_and_areas_are_those_of_predict(
    tasks: Service, place: Path, run_cli: RunCli, model: str, package: ModuleType
) -> None:
    found = ask(tasks, package, model, {"image": contents(place, 0, 2)})
    assert list(found) == ["class_ids", "areas", "label_names", "counts", "label_map"]
    drawn = f"drawn-{model}-{package.__name__}"
    words = ["predict", model, "0.png", "2.png", "--json", "--draw", drawn]
    expected = json.loads(run_cli(words, cwd=place).stdout)
    assert found["label_map"].shape == (2, 128, 192) and found["label_map"].dtype == np.uint8
    for row, each in enumerate(expected):
        count = found["counts"][row]
        assert found["class_ids"][row, :count].tolist() == each["class_ids"]
        assert found["areas"][row, :count] == pytest.approx(each["areas"])
        assert [name.decode() for name in found["label_names"][row, :count]] == each["label_names"]
        with Image.open(place / drawn / f"{row * 2}-labels.png") as image:
            assert np.array_equal(found["label_map"][row], np.asarray(image))
    assert found["counts"].tolist() == [2, 2]


def test_label_maps_in_json_and_of_different_sizes(tasks: Service, place: Path) -> None:
    path = "/v2/models/seg/infer"
    status, text = tasks.post(path, rest_body(*contents(place, 3), outputs=[{"name": "label_map"}]))
    (output,) = json.loads(text)["outputs"]
    assert status == 200 and output["shape"] == [1, 192, 288]
    assert len(output["data"]) == 192 * 288 and set(output["data"]) == {0}
    status, text = tasks.post(path, rest_body(*contents(place, 0, 1)))
    assert status == 400 and "192x128, 288x192" in text
    status, text = tasks.post(path, rest_body(*contents(place, 0, 1), outputs=[{"name": "areas"}]))
    assert status == 200 and json.loads(text)["outputs"][0]["shape"] == [2, 2]
    assert metadata(tasks, "seg", "outputs")["label_map"] == ("UINT8", [-1, -1, -1])
    large = cv2.imencode(".png", np.zeros((5200, 5200), np.uint8))[1].tobytes()
    status, text = tasks.post(path, rest_body(large))
    assert status == 400 and "pixels" in text


@both
def test_a_nan_harms_its_own_request_only(tasks: Service, package: ModuleType) -> None:
    bad = np.full((2, 3, 16, 24), np.nan, np.float32)
    with pytest.raises(Exception, match="NaN or infinity"):
        ask(tasks, package, "seg", {"x": bad})
    # Finite, but the sum of its products is not.
    with pytest.raises(Exception, match="not finite"):
        ask(tasks, package, "several", {"input": np.full((1, 3, 32, 32), 3e38, np.float32)})
    good = np.zeros((1, 3, 16, 24), np.float32)
    good[:, 1] = 1
    found = ask(tasks, package, "seg", {"x": good})
    assert found["label_names"].tolist() == [[b"green"]] and (found["label_map"] == 1).all()


X = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 10
K = np.array([[0, 1, 1], [1, 0, 0]], np.int64)


@both
def test_arrays_by_name_are_computed(
    tasks: Service, place: Path, run_cli: RunCli, package: ModuleType
) -> None:
    np.savez(place / "in.npz", x=X, k=K)
    done = run_cli(["predict", "two", "in.npz", "-o", "out.npz"], cwd=place)
    assert done.exit_code == 0, done.stderr
    found = ask(tasks, package, "two", {"k": K, "x": X})
    with np.load(place / "out.npz") as expected:
        assert {name: (array.dtype, array.tolist()) for name, array in found.items()} == {
            name: (expected[name].dtype, expected[name].tolist()) for name in ("y", "n")
        }
    assert list(ask(tasks, package, "two", {"k": K, "x": X}, "n")) == ["n"]


@pytest.mark.slow
def test_an_engine_of_one_size_computes_arrays_of_any(place: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    ports = Ports()
    command = [*serve_command(ports, "two"), "--engine", "openvino"]
    running = start(command, ports, tmp_path / "log", place)
    try:
        for rows in (1, 2, 1):
            body = in_json(
                x=("FP32", [rows, 3, 4], [0] * 12 * rows), k=("INT64", [rows, 3], [0, 1, 1] * rows)
            )
            status, text = running.post("/v2/models/two/infer", body)
            assert status == 200, text
            outputs = {each["name"]: each for each in json.loads(text)["outputs"]}
            assert (outputs["n"]["shape"], outputs["n"]["data"]) == ([rows, 3], [0, 2, 2] * rows)
            assert outputs["y"]["data"] == pytest.approx([0.5, 1, -2, 4, -2, 4] * rows)
    finally:
        assert running.stop() == 0, running.log.read_text()


TYPES = {"x": "f4", "u": "u1", "h": "f2", "b": "?", "k": "i8", "i": "i4"}


@both
def test_every_type(tasks: Service, package: ModuleType) -> None:
    given = {name: np.array([[0, 1, 1]], kind) for name, kind in TYPES.items()}
    found = ask(tasks, package, "types", given)
    kinds = [*list(TYPES.values())[1:], "f4"]
    assert {name: (array.dtype, array.tolist()) for name, array in found.items()} == {
        f"of_{name}": (np.dtype(kind), [[0, 1, 1]]) for name, kind in zip(TYPES, kinds, strict=True)
    }
    inputs = metadata(tasks, "types", "inputs")
    assert [inputs[name][0] for name in TYPES] == ["FP32", "UINT8", "FP16", "BOOL", "INT64", "INT32"]
    assert inputs["h"][1] == [-1, 3]


def in_json(**inputs: tuple[str, list[int], Any]) -> bytes:
    given = [
        {"name": name, "datatype": datatype, "shape": shape, "data": data}
        for name, (datatype, shape, data) in inputs.items()
    ]
    return json.dumps({"inputs": given}).encode()


XS = ("FP32", [1, 3, 4], [0] * 12)


def test_arrays_in_json(tasks: Service) -> None:
    status, text = tasks.post("/v2/models/two/infer", in_json(x=XS, k=("INT64", [1, 3], [[0, 1, 1]])))
    outputs = {each["name"]: each for each in json.loads(text)["outputs"]}
    assert status == 200 and outputs["n"]["data"] == [0, 2, 2] and outputs["n"]["datatype"] == "INT64"
    assert outputs["y"]["shape"] == [1, 3, 2] and outputs["y"]["data"] == [0.5, 1, -2, 4, -2, 4]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"x": XS}, "takes the inputs x, k, not x"),
        ({"x": XS, "k": ("INT64", [1, 3], [0, 1, 1]), "z": XS}, "takes the inputs x, k"),
        ({"x": XS, "k": ("INT32", [1, 3], [0, 1, 1])}, "input k is INT32, the model takes INT64"),
        ({"x": XS, "k": ("INT64", [1, 2], [0, 1])}, "input k has shape [1, 2], the model takes [-1, 3]"),
        ({"x": XS, "k": ("INT64", [0, 3], [])}, "input k has shape [0, 3]"),
        ({"x": XS, "k": ("INT64", [1, 3], [0, 1.5, 1])}, "input k: its values are not INT64"),
        ({"x": XS, "k": ("INT64", [1, 3], [0, 2**63, 1])}, "input k: its values"),
        ({"x": XS, "k": ("INT64", [1, 3], ["0", "1", "1"])}, "input k: its values are not INT64"),
        ({"x": XS, "k": ("INT64", [1, 3], [0, 1, 7])}, "on two: "),
        ({"x": ("FP32", [1, 3, 4], [1e39] * 12), "k": ("INT64", [1, 3], [0, 1, 1])}, "NaN or infinity"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tasks: Service, inputs: dict[str, Any], said: str) -> None:
    status, text = tasks.post("/v2/models/two/infer", in_json(**inputs))
    assert status == 400 and said in json.loads(text)["error"]
    status, text = tasks.post("/v2/models/two/infer", in_json(x=XS, k=("INT64", [1, 3], [0, 1, 1])))
    assert status == 200, text


@pytest.mark.slow
def test_the_page_draws_boxes_and_maps(
    tasks: Service, place: Path, run_cli: RunCli, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def until(expression: str) -> object:
        deadline = time.monotonic() + 20
        while not (value := tab.evaluate(expression)):
            assert time.monotonic() < deadline, expression
            time.sleep(0.05)
        return value

    def send(model: str, number: int, drawn: str) -> None:
        tab.evaluate(
            f"document.getElementById('model').value = '{model}'; document.getElementById('model').oninput()"
        )
        root = tab.call("DOM.getDocument")["root"]["nodeId"]
        node = tab.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
        tab.call("DOM.setFileInputFiles", nodeId=node, files=[str(place / f"{number}.png")])
        until(f"document.querySelector('#picture {drawn}') !== null")

    with running_chromium(tmp_path_factory.mktemp("chromium"), cache_directory("apt")) as browser:
        tab = browser.open(f"http://127.0.0.1:{tasks.rest}/", width=390, height=844, mobile=True)
        until(f"document.getElementById('model').options.length === {len(MODELS)}")
        send("nms", 0, ".box")
        boxes = tab.evaluate(BOXES)
        send("seg", 0, "canvas")
        colours = tab.evaluate(COLOURS)
        assert tab.faint() == []
        assert tab.complaints == []
    expected = json.loads(run_cli(["predict", "nms", "0.png", "--json"], cwd=place).stdout)
    assert [box["name"] for box in boxes] == [one["category_name"] for one in expected]
    for box, one in zip(boxes, expected, strict=True):
        x, y, width, height = one["bbox"]
        assert box["edges"] == pytest.approx([x, y, x + width, y + height], abs=1)
    [segmented] = json.loads(run_cli(["predict", "seg", "0.png", "--json"], cwd=place).stdout)
    assert colours == sum(area > 0 for area in segmented["areas"])


# Edges of each box in pixels of the picture, and its label.
BOXES = """(image => [...document.querySelectorAll('#picture .box')].map(box => {
  const frame = image.getBoundingClientRect(), own = box.getBoundingClientRect();
  const scale = image.naturalWidth / frame.width;
  return { name: box.textContent, edges: [own.left - frame.left, own.top - frame.top, own.right - frame.left,
    own.bottom - frame.top].map(edge => edge * scale) };
}))(document.querySelector('#picture img'))"""
# Number of colours of the map of labels, which lies over the whole picture.
COLOURS = """(canvas => {
  const context = canvas.getContext('2d'), found = new Set();
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
  for (let at = 0; at < pixels.length; at += 4) found.add(pixels.slice(at, at + 3).join());
  return found.size;
})(document.querySelector('#picture canvas'))"""
