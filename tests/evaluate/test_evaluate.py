"""Eval on the real trained model: counts against a count by hand, resuming, bad lists."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from edgekit.convert.manifest import find_artifacts
from edgekit.core.spec import Precision
from edgekit.errors import InputError
from edgekit.evaluate.evaluate import Plan, evaluate
from edgekit.targets.target import HostTarget, Subject
from tests import pages

MODEL = "PPLCNet_x1_0_doc_ori"
COUNT = 24
WRONG = (3, 4, 17)  # pages that the list labels wrongly


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages, a list that labels three of them wrongly, and one with a picture that is missing."""
    root = tmp_path_factory.mktemp("data")
    listing = pages.write_pages(root / "val", range(COUNT))
    lines = [
        f"val/{name} {(label + 1) % 4 if index in WRONG else label}\n"
        for index, (name, label) in enumerate(listing)
    ]
    (root / "list.txt").write_text("".join(lines))
    (root / "missing.txt").write_text("".join(["val/none.jpg 2\n", *lines[:5]]))
    return root


@pytest.fixture(scope="module")
def subject(exported: Path) -> Subject:
    directory, manifest = find_artifacts(exported / MODEL)
    return Subject(directory=directory, manifest=manifest)


def test_all_engines_in_one_pass(
    run_cli, exported: Path, data: Path, tmp_path: Path, has_x86_nb: bool
) -> None:
    output = tmp_path / "e.json"
    engines = ["onnxruntime", *(["paddlelite"] if has_x86_nb else []), "openvino"]
    done = run_cli(
        ["eval", MODEL, "--data", data, "--list", data / "list.txt", "--engine",
         ",".join(engines), "--precision", "fp32,fp16", "-o", output, "--json"],
        cwd=exported.parent,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == json.loads(output.read_text())
    assert result["pictures"] == COUNT
    assert [route["engine"] for route in result["routes"]] == [*engines, "paddle"]
    for route in result["routes"]:
        assert route["top1"]["hits"] == COUNT - len(WRONG)
        assert route["top5"]["hits"] == COUNT  # four classes: the right one is always among five
        assert route["top1"]["low"] < route["top1"]["share"] < route["top1"]["high"]
        reference = route["engine"] == "paddle"
        assert (route["top1_drop"] is None) == reference
        if not reference:
            assert route["top1_drop"]["drop"] == 0
            assert route["agreement"]["hits"] == COUNT
    assert {(one["engine"], one["precision"]) for one in result["skipped"]} == {
        (engine, "fp16") for engine in engines
    }
    assert not output.with_suffix(".journal").exists()


def test_confusion_matrix(subject: Subject, data: Path, tmp_path: Path) -> None:
    plan = Plan(
        data=data, list_path=data / "list.txt", output=tmp_path / "r" / "e.json", engines=("onnxruntime",)
    )
    result = evaluate(HostTarget(), subject, plan)
    with Path(result.confusion_path).open() as file:
        rows = [row for row in csv.DictReader(file) if row["engine"] == "onnxruntime"]
    counts = Counter({(int(row["class"]), int(row["predicted"])): int(row["pictures"]) for row in rows})
    expected: Counter[tuple[int, int]] = Counter()
    for index in range(COUNT):
        label = index % 4
        expected[(label + 1) % 4 if index in WRONG else label, label] += 1
    assert counts == expected
    assert result.disagreements == 0
    assert result.wrong_path is not None and result.classes == ("0", "90", "180", "270")
    with Path(result.wrong_path).open() as file:
        wrong = list(csv.DictReader(file))
    assert len(wrong) == len(WRONG)
    assert all(int(row["class"]) == (int(row["onnxruntime fp32"]) + 1) % 4 for row in wrong)


def test_disagreements_and_drop_are_found(subject: Subject, data: Path, tmp_path: Path) -> None:
    """The reference answers with a copy whose classes are all one further."""
    import msgspec
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    from edgekit.convert.manifest import describe_file

    model = onnx.load(subject.directory / "inference.onnx")
    output = model.graph.output[0].name
    for node in model.graph.node:
        for index, name in enumerate(node.output):
            if name == output:
                node.output[index] = "before"
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 1, 3, 2]), "order"))
    model.graph.node.append(helper.make_node("Gather", ["before", "order"], [output], axis=1))
    directory = tmp_path / "swapped"
    directory.mkdir()
    for path in subject.directory.iterdir():
        if path.is_file() and path.name != "inference.onnx":
            (directory / path.name).symlink_to(path)
    onnx.save(model, directory / "inference.onnx")
    changed = msgspec.structs.replace(
        subject.manifest.artifacts["onnx"], files=(describe_file(directory / "inference.onnx"),)
    )
    artifacts = {**subject.manifest.artifacts, "onnx": changed}
    swapped = Subject(
        directory=directory, manifest=msgspec.structs.replace(subject.manifest, artifacts=artifacts)
    )
    plan = Plan(
        data=data, list_path=data / "list.txt", output=tmp_path / "e.json", engines=("onnxruntime", "paddle")
    )
    result = evaluate(HostTarget(), swapped, plan)
    ours, reference = result.routes
    assert reference.top1.hits == COUNT - len(WRONG)
    # Classes 2 and 3 are swapped: half of the pages.
    assert result.disagreements == COUNT // 2
    assert ours.agreement is not None
    assert ours.agreement.hits == COUNT // 2
    assert ours.top1_drop is not None
    lost = sum(index % 4 in (2, 3) and index not in WRONG for index in range(COUNT))
    assert (ours.top1_drop.lost, ours.top1_drop.gained) == (lost, 0)
    assert ours.top1_drop.low > 0
    with Path(result.disagreements_path).open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == COUNT // 2
    assert {(row["onnxruntime fp32"], row["paddle fp32"]) for row in rows} == {("2", "3"), ("3", "2")}
    assert rows[0]["picture"] == "val/page_00002.jpg"


def test_missing_pictures_are_counted_apart(run_cli, exported: Path, data: Path, tmp_path: Path) -> None:
    done = run_cli(
        ["eval", MODEL, "--data", data, "--list", data / "missing.txt", "-o", tmp_path / "e.json"],
        cwd=exported.parent,
    )
    assert done.exit_code == 3
    assert "1 of 6 pictures could not be read" in done.stderr
    assert "5 pictures of" in done.stdout
    assert "60.00 [" in done.stdout  # two of the five are labelled wrongly
    rows = (tmp_path / "e.disagreements.csv").read_text()
    assert "val/none.jpg,2,,," in rows


def test_no_picture_at_all(subject: Subject, data: Path, tmp_path: Path) -> None:
    listing = tmp_path / "list.txt"
    listing.write_text("a.jpg 0\nb.jpg 1\n")
    plan = Plan(data=data, list_path=listing, output=tmp_path / "e.json", engines=("onnxruntime",))
    with pytest.raises(InputError, match="none of 2 pictures"):
        evaluate(HostTarget(), subject, plan)
    assert not (tmp_path / "e.journal").exists()
    assert not (tmp_path / "e.json").exists()


def test_killed_it_goes_on_where_it_was(exported: Path, data: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle; the next run decodes only what is left and finds the same."""
    listing = tmp_path / "list.txt"
    listing.write_text((data / "list.txt").read_text() * 10)
    output = tmp_path / "e.json"
    command = [
        *(sys.executable, "-m", "edgekit", "eval", str(exported / MODEL), "--data", str(data)),
        *("--list", str(listing), "-o", str(output), "--workers", "1", "--batch-size", "4"),
    ]
    child = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    journal = output.with_suffix(".journal")
    deadline = time.monotonic() + 60
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 40):
        assert time.monotonic() < deadline
        assert child.poll() is None
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    seen = journal.read_bytes().count(b"\n") - 1
    assert 40 <= seen < 240
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "going on after" in done.stderr
    assert json.loads(output.read_text())["routes"][0]["top1"]["hits"] == 10 * (COUNT - len(WRONG))
    assert not journal.exists()


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("val/page_00000.jpg 4\n", 3, "line 1: class 4, but the model has 4 classes"),
        ("val/page_00000.jpg\n", 3, "does not end in a class"),
        ("", 3, "it is empty"),
    ],
)
def test_bad_lists(
    run_cli, exported: Path, data: Path, tmp_path: Path, text: str, code: int, said: str
) -> None:
    listing = tmp_path / "list.txt"
    listing.write_text(text)
    done = run_cli(["eval", exported / MODEL, "--data", data, "--list", listing], cwd=tmp_path)
    assert done.exit_code == code
    assert said in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "results").exists()


def test_nothing_that_can_run_is_an_error(run_cli, exported: Path, data: Path, tmp_path: Path) -> None:
    arguments = ["eval", exported / MODEL, "--data", data, "--list", data / "list.txt"]
    done = run_cli([*arguments, "--engine", "paddlelite", "--precision", "fp16"], cwd=tmp_path)
    assert done.exit_code == 2
    assert "no fp16" in done.stderr


def test_several_lanes_give_the_same(subject: Subject, data: Path, tmp_path: Path) -> None:
    results = [
        evaluate(
            HostTarget(),
            subject,
            Plan(
                data=data,
                list_path=data / "list.txt",
                output=tmp_path / f"{workers}.json",
                engines=("onnxruntime",),
                precisions=(Precision.FP32,),
                workers=workers,
                batch_size=5,
            ),
        )
        for workers in (1, 3)
    ]
    assert results[0].routes == results[1].routes
