"""The Python interface on the real trained model."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit import EdgeKit
from edgekit.errors import InputError, RunnerError, UsageError
from tests import pages

MODEL = "PPLCNet_x1_0_doc_ori"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    pages.write_pages(root, range(5))
    return root


@pytest.fixture(scope="module")
def model(exported: Path) -> Iterator[EdgeKit]:
    with EdgeKit(MODEL, root=exported, batch_size=2) as kit:
        yield kit


def test_a_generator_of_lists_of_dicts(model: EdgeKit, photos: Path) -> None:
    batches = model.predict(str(photos))
    first = next(batches)
    assert [list(answer) for answer in first] == [["class_ids", "scores", "label_names", "filename"]] * 2
    assert [answer["class_ids"][0] for answer in first] == [0, 1]
    assert first[1]["label_names"][0] == "90"
    assert first[1]["filename"] == str(photos / "page_00001.jpg")
    assert [len(batch) for batch in batches] == [2, 1]


def test_paths_bytes_and_arrays_agree(model: EdgeKit, photos: Path) -> None:
    path = photos / "page_00003.jpg"
    rgb = np.asarray(Image.open(path))
    answers = [answer for batch in model.predict([path, path.read_bytes(), rgb]) for answer in batch]
    assert [answer["filename"] for answer in answers] == [str(path), "bytes 1", "array 2"]
    assert answers[0]["class_ids"] == answers[1]["class_ids"] == answers[2]["class_ids"]
    assert answers[0]["scores"] == answers[1]["scores"]
    assert answers[0]["scores"] == pytest.approx(answers[2]["scores"], abs=5e-3)  # another JPEG decoder


def test_batches_are_computed_when_asked_for(model: EdgeKit, photos: Path) -> None:
    read = []

    def sources() -> Iterator[Path]:
        for path in sorted(photos.iterdir()):
            read.append(path)
            yield path

    batches = model.predict(sources())
    assert read == []
    next(batches)
    assert len(read) == 2


def test_what_is_no_picture_is_logged(model: EdgeKit, photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("edgekit").propagate = True
    with caplog.at_level(logging.WARNING, "edgekit"):
        batches = list(model.predict([b"nonsense", photos / "page_00000.jpg", photos / "none.jpg"]))
    assert [[answer["class_ids"][0] for answer in batch] for batch in batches] == [[0]]
    assert "bytes 0: not a picture" in caplog.text
    assert "none.jpg" in caplog.text


def test_wrong_arguments(exported: Path) -> None:
    with pytest.raises(UsageError, match="batch_size=0"):
        EdgeKit(MODEL, root=exported, batch_size=0)
    with pytest.raises(UsageError, match="precision='fp8'"):
        EdgeKit(MODEL, root=exported, precision="fp8")
    with pytest.raises(InputError, match="PPLCNet_x9"):
        EdgeKit("PPLCNet_x9", root=exported)


def test_the_process_ends_with_the_object(exported: Path, photos: Path) -> None:
    kit = EdgeKit(exported / MODEL)
    next(kit.predict(photos))
    pid = kit._predictor._lanes[0]._loading[0].result().pid
    assert Path(f"/proc/{pid}").exists()
    del kit
    gc.collect()
    assert not Path(f"/proc/{pid}").exists()


def test_predicting_after_close_is_an_error(exported: Path, photos: Path) -> None:
    kit = EdgeKit(exported / MODEL)
    kit.close()
    with pytest.raises(RunnerError, match="have ended"):
        next(kit.predict(photos))
