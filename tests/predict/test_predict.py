"""Predict on the real trained model, by the command line and on lanes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekit.convert.manifest import find_artifacts
from edgekit.core.spec import Precision
from edgekit.errors import InputError, RunnerError, UnsupportedError, UsageError
from edgekit.predict.feed import Feed
from edgekit.predict.lanes import Lane, open_lanes, plan_route, score_batches
from edgekit.predict.predict import Predictor, Settings, share_out
from edgekit.targets.target import HostTarget, Subject
from edgekit.vision.pictures import Picture, find_pictures, iterate_pictures
from tests import pages

MODEL = "PPLCNet_x1_0_doc_ori"
COUNT = 12


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pages in two directories, orientations in turn, and a text that calls itself a picture."""
    root = tmp_path_factory.mktemp("photos")
    pages.write_pages(root / "a", range(8))
    pages.write_pages(root / "b" / "deep", range(8, COUNT))
    (root / "a" / "broken.jpg").write_text("this is a text")
    return root


@pytest.fixture(scope="module")
def subject(exported: Path) -> Subject:
    directory, manifest = find_artifacts(exported / MODEL)
    return Subject(directory=directory, manifest=manifest)


def orientation(filename: str) -> int:
    return int(Path(filename).stem.split("_")[1]) % 4


def test_prints_paddleclas_lines(run_cli, exported: Path, photos: Path) -> None:
    done = run_cli(["predict", MODEL, photos / "a" / "page_00001.jpg"], cwd=exported.parent)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("class_ids: [1, ")
    assert "label_names: ['90', " in done.stdout
    assert done.stdout.rstrip().endswith(f"filename: {photos}/a/page_00001.jpg")
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_directories_go_on_past_what_is_no_picture(run_cli, exported: Path, photos: Path) -> None:
    done = run_cli(["predict", MODEL, photos, photos / "none.png", "--json"], cwd=exported.parent)
    assert done.exit_code == 3
    answers = json.loads(done.stdout)
    names = [answer["filename"] for answer in answers]
    assert names == sorted(names)
    assert len(names) == COUNT
    assert all(answer["class_ids"][0] == orientation(answer["filename"]) for answer in answers)
    assert all(set(answer) == {"class_ids", "scores", "label_names", "filename"} for answer in answers)
    assert "passed over: decoding" in done.stderr
    assert "none.png: No such file" in done.stderr
    assert (
        f"error: predicting: 2 of {COUNT + 2} could not be read, first {photos}/a/broken.jpg" in done.stderr
    )
    assert "hint:" in done.stderr


def test_jsonl_top_k_threshold_and_labels(run_cli, exported: Path, photos: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("0 up\n1 right\n2 down\n3 left\n")
    arguments = ["predict", MODEL, photos / "b", "--jsonl", "--labels", labels, "--batch-size", "3"]
    done = run_cli([*arguments, "--top-k", "2"], cwd=exported.parent)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["label_names"][0] for line in lines] == ["up", "right", "down", "left"]
    assert all(len(line["class_ids"]) == 2 for line in lines)
    done = run_cli([*arguments, "--threshold", "0.5"], cwd=exported.parent)
    assert all(len(json.loads(line)["class_ids"]) == 1 for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["PPLCNet_x9", "a.jpg"], 3, "PPLCNet_x9"),
        ([MODEL], 2, "IMAGE"),
        ([MODEL, "a.jpg", "--engine", "onnxruntim"], 2, "did you mean onnxruntime"),
        ([MODEL, "a.jpg", "--precision", "int8"], 3, f"edgekit quantize {MODEL}"),
        ([MODEL, "a.jpg", "--precision", "fp16"], 2, "fp16"),
        ([MODEL, "a.jpg", "--labels", "none.txt"], 3, "none.txt"),
        ([MODEL, "a.jpg", "--json", "--jsonl"], 2, "exclude"),
        ([MODEL, "a.jpg", "--device", "x", "--workers", "2"], 2, "--threads"),
        ([MODEL, "a.jpg", "--adb-server", "x:1"], 2, "--device"),
    ],
)
def test_wrong_requests(run_cli, exported: Path, arguments: list[str], code: int, said: str) -> None:
    done = run_cli(["predict", *arguments], cwd=exported.parent)
    assert done.exit_code == code, done.stderr
    assert said in done.stderr
    assert done.stdout == ""


def answers_of(subject: Subject, photos: Path, **settings) -> list[tuple[int, ...]]:
    items = find_pictures([photos / "b", photos / "a"])
    with Predictor(HostTarget(), subject, Settings(**settings), count=len(items)) as predictor:
        return [answer for answers in predictor.predict(items) for answer in answers.predictions]


@pytest.mark.parametrize("engine", ["paddle", "openvino", "paddlelite"])
def test_engines_agree(subject: Subject, photos: Path, engine: str, request: pytest.FixtureRequest) -> None:
    if engine == "paddlelite":
        request.getfixturevalue("x86_nb")
    reference = answers_of(subject, photos)
    answers = answers_of(subject, photos, engine=engine, batch_size=4)
    assert [one.class_ids[0] for one in answers] == [one.class_ids[0] for one in reference]
    for one, other in zip(answers, reference, strict=True):
        assert max(abs(a - b) for a, b in zip(one.scores, other.scores, strict=True)) <= 2.1e-5


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (5, 1), (2, 2), (8, 3)])
def test_batches_and_lanes_keep_the_order(
    subject: Subject, photos: Path, batch_size: int, workers: int
) -> None:
    names = [item.name for item in find_pictures([photos / "b", photos / "a"]) if "broken" not in item.name]
    answers = answers_of(subject, photos, batch_size=batch_size, workers=workers)
    assert [one.filename for one in answers] == names
    assert [one.class_ids[0] for one in answers] == [orientation(name) for name in names]


def test_share_out() -> None:
    assert share_out(1, 8, 2) == (1, 1)
    assert share_out(10, 8, 2) == (5, 2)
    assert share_out(65, 64, 1) == (33, 1)
    assert share_out(200, 8, 2) == (8, 2)
    assert share_out(0, 8, 2) == (1, 1)


def test_an_artifact_for_one_batch_size_refuses_others(subject: Subject, tmp_path: Path) -> None:
    import msgspec

    onnx = subject.manifest.artifacts["onnx"]
    shape = (4, *onnx.inputs[0].shape[1:])
    fixed = msgspec.structs.replace(onnx, inputs=(msgspec.structs.replace(onnx.inputs[0], shape=shape),))
    manifest = msgspec.structs.replace(subject.manifest, artifacts={"onnx": fixed})
    changed = Subject(directory=subject.directory, manifest=manifest)
    with pytest.raises(UnsupportedError, match="batches of 4, not 3"):
        Predictor(HostTarget(), changed, Settings(batch_size=3))
    with Predictor(HostTarget(), changed, Settings(), count=1) as predictor:
        assert predictor.batch_size == 4


def test_logits_are_made_probabilities(subject: Subject, photos: Path) -> None:
    import msgspec

    picture = photos / "a" / "page_00001.jpg"
    manifest = msgspec.structs.replace(subject.manifest, output_activation="none")
    with Predictor(
        HostTarget(), Subject(directory=subject.directory, manifest=manifest), Settings()
    ) as predictor:
        (answers,) = predictor.predict(iterate_pictures(picture))
    scores = answers.predictions[0].scores
    assert sum(scores) == pytest.approx(1, abs=1e-4)
    assert scores[0] < 0.6  # softmax of probabilities: nobody applies it where the manifest says softmax
    with Predictor(HostTarget(), subject, Settings()) as predictor:
        (answers,) = predictor.predict(iterate_pictures(picture))
    assert answers.predictions[0].scores[0] > 0.8


def test_one_lane_is_lazy(subject: Subject, photos: Path) -> None:
    taken = []

    def items() -> Iterator[Picture]:
        for path in sorted((photos / "b" / "deep").glob("*.jpg")):
            taken.append(path)
            yield Picture(name=str(path), source=path)

    with Predictor(HostTarget(), subject, Settings(batch_size=2)) as predictor:
        next(predictor.predict(items()))
    assert len(taken) == 2


def test_several_lanes_look_only_a_little_ahead() -> None:
    taken = []

    class Slow:
        def score(self, batch):
            return batch

    def batches() -> Iterator[tuple[int]]:
        for index in range(1000):
            taken.append(index)
            yield (index,)

    results = score_batches([Slow(), Slow()], batches())  # type: ignore[list-item]
    assert [next(results) for _ in range(3)] == [(0,), (1,), (2,)]
    results.close()
    assert len(taken) < 10


def test_the_last_batch_is_shared_out_and_comes_back_whole(
    subject: Subject, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = find_pictures([photos])[-7:] + find_pictures([photos / "a" / "broken.jpg"])
    route = plan_route(HostTarget(), subject, "onnxruntime", Precision.FP32)
    found = []
    sizes: list[int] = []
    score = Lane.score
    monkeypatch.setattr(Lane, "score", lambda lane, batch: (sizes.append(len(batch)), score(lane, batch))[1])
    for workers in (1, 2):
        with open_lanes(subject, [route], workers=workers, threads=1, batch_size=8) as lanes:
            found += score_batches(lanes, [items])
    assert sizes == [8, 4, 4]
    whole, joined = found
    assert (joined.items, joined.positions) == (whole.items, whole.positions)
    assert [each.name for each in joined.unreadable] == [each.name for each in whole.unreadable]
    assert len(joined.positions) == 7
    (given,), (wanted,) = joined.outputs[0].values(), whole.outputs[0].values()
    np.testing.assert_allclose(given, wanted, atol=1e-6)


def test_a_damaged_model_is_a_named_error(run_cli, exported: Path, photos: Path, tmp_path: Path) -> None:
    copy = tmp_path / "models" / MODEL
    shutil.copytree(exported / MODEL, copy)
    (copy / "inference.onnx").write_bytes((copy / "inference.onnx").read_bytes()[:1000])
    done = run_cli(["predict", copy, photos / "b"], cwd=tmp_path)
    assert done.exit_code == 3
    assert "inference.onnx: 1000 bytes, the manifest says" in done.stderr
    assert "edgekit export" in done.stderr


def test_a_killed_runner_is_a_named_error(subject: Subject, photos: Path) -> None:
    import os
    import signal

    items = find_pictures([photos / "b"])
    with (
        pytest.raises(RunnerError, match="SIGKILL"),
        Predictor(HostTarget(), subject, Settings(batch_size=1)) as predictor,
    ):
        for _ in predictor.predict(items):
            pid = predictor._lanes[0]._loading[0].result().pid
            os.kill(pid, signal.SIGKILL)


def test_no_process_is_left(subject: Subject, photos: Path) -> None:
    predictor = Predictor(HostTarget(), subject, Settings(batch_size=2, workers=2))
    pids = [lane._loading[0].result().pid for lane in predictor._lanes]
    next(predictor.predict(find_pictures([photos / "b"])))
    predictor.close()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_the_feed_pads_nothing_in_and_leaves_nothing_behind(subject: Subject, photos: Path) -> None:
    feed = Feed(subject.manifest.preprocess, 3)
    items = find_pictures([photos / "a" / "broken.jpg", photos / "a" / "page_00001.jpg"])
    filled = feed.fill(items)
    assert filled.positions == (1,)
    assert [one.name for one in filled.unreadable] == [str(photos / "a" / "broken.jpg")]
    on_disk = np.fromfile(feed.path, np.float32).reshape(feed.shape)
    assert np.array_equal(on_disk, feed.array)
    assert np.abs(on_disk[0]).max() > 0.5
    path = feed.path
    feed.close()
    assert not path.exists()


def test_reduced_decode_is_only_for_large_jpegs(subject: Subject, photos: Path, tmp_path: Path) -> None:
    page = cv2.imread(str(photos / "a" / "page_00002.jpg"))
    large = tmp_path / "large.jpg"
    assert cv2.imwrite(str(large), cv2.resize(page, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC))
    small = tmp_path / "small.jpg"
    assert cv2.imwrite(str(small), cv2.resize(page, (400, 480), interpolation=cv2.INTER_AREA))
    scores = {}
    for reduced in (False, True):
        with Predictor(HostTarget(), subject, Settings(reduced_decode=reduced)) as predictor:
            (answers,) = predictor.predict(iterate_pictures([large, small]))
        scores[reduced] = [one.scores for one in answers.predictions]
        assert [one.class_ids[0] for one in answers.predictions] == [2, 2]
    assert scores[False][1] == scores[True][1]
    assert scores[False][0] != scores[True][0]


def test_unknown_engine_and_labels(subject: Subject, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        Predictor(HostTarget(), subject, Settings(engine="tensorflow"))
    (tmp_path / "labels.txt").write_text("a\nb\n")
    with pytest.raises(InputError, match="2 labels for 4 classes"):
        Predictor(HostTarget(), subject, Settings(labels=tmp_path / "labels.txt"))


def test_a_classifiers_answers_are_not_drawn(run_cli, exported: Path, photos: Path, tmp_path: Path) -> None:
    words = ["predict", MODEL, photos / "a" / "page_00001.jpg", "--draw", tmp_path / "out"]
    refused = run_cli(words, cwd=exported.parent)
    assert refused.exit_code == 2 and "a classifier of pictures has none to draw" in refused.stderr
    assert not (tmp_path / "out").exists()
