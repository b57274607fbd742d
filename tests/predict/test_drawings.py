from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekit.errors import InputError, OutputError
from edgekit.predict.drawings import Drawings
from edgekit.tasks.detection import Detected, Detection
from edgekit.vision.pictures import Picture
from tests.manifests import manifest

TASK = Detection(manifest("detection", postprocess={"kind": "boxes"}))


def found(name: str) -> Detected:
    return Detected(
        class_ids=(1,), scores=(0.9,), label_names=(), boxes=((10.0, 20.0, 50.0, 60.0),), filename=name
    )


def picture(path: Path) -> Picture:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((80, 100, 3), 255, np.uint8))
    return Picture(name=str(path), source=path)


def test_pictures_of_one_name_do_not_replace_each_other(tmp_path: Path) -> None:
    drawings = Drawings(tmp_path / "new" / "out", TASK)
    names = []
    for path in (tmp_path / "a" / "1.png", tmp_path / "b" / "1.png", tmp_path / "1.tif"):
        names.append(drawings.add(picture(path), found(str(path))).name)
    array = Picture(name="array 0", source=np.full((80, 100, 3), 255, np.uint8))
    names.append(drawings.add(array, found("array 0")).name)
    assert names == ["1.png", "1-2.png", "1-3.png", "array 0.png"]
    assert sorted(each.name for each in (tmp_path / "new" / "out").iterdir()) == sorted(names)
    for name in names:
        pixels = cv2.imread(str(tmp_path / "new" / "out" / name))
        assert pixels.shape == (80, 100, 3) and (pixels[30:55, 10] < 255).any(axis=1).all()
    assert (array.source == 255).all()  # type: ignore[union-attr]


def test_a_picture_is_not_replaced_by_its_drawing(tmp_path: Path) -> None:
    one = picture(tmp_path / "1.png")
    before = (tmp_path / "1.png").read_bytes()
    with pytest.raises(OutputError, match="the drawing would replace the picture"):
        Drawings(tmp_path, TASK).add(one, found("1.png"))
    assert (tmp_path / "1.png").read_bytes() == before


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    one = picture(tmp_path / "1.png")
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError) as caught:
        Drawings(tmp_path / "out", TASK).add(one, found("1.png"))
    assert caught.value.hint == "name another directory (--draw DIR)"
    (tmp_path / "1.png").unlink()
    with pytest.raises(InputError, match=r"1\.png: No such file"):
        Drawings(tmp_path / "other", TASK).add(one, found("1.png"))
