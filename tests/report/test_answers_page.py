"""The page of `predict --html`, in a real browser too, and `predict --csv`."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekit.errors import InputError, OutputError
from edgekit.pages.answers import open_answers, thumbnail_side
from edgekit.tasks.detection import Detected
from edgekit.tasks.registry import task_of
from edgekit.tasks.segmentation import Segmented
from edgekit.tasks.task import Shown, Task
from edgekit.toolchain.cache import cache_directory
from edgekit.vision.pictures import Unreadable
from edgekit.vision.thumbnails import thumbnail
from tests.browser import Browser, running_chromium
from tests.conftest import RunCli
from tests.manifests import manifest

LABELS = ["</script><b>text", "figure\u202e"]
DETECTION = task_of(manifest("detection", postprocess={"kind": "boxes"}, num_classes=2), LABELS)
PIXELS = np.random.default_rng(0).integers(0, 256, (60, 90, 3)).astype(np.uint8)


def found(number: int, score: float, class_id: int) -> tuple[Shown, Detected]:
    name = f"<i>{number}</i>.png"
    answer = Detected(class_ids=(class_id,), scores=(score,), label_names=(LABELS[class_id],),
                      boxes=((10.0, 20.0, 50.0, 60.0),), filename=name)  # fmt: skip
    return Shown(name, 60, 90, thumbnail(PIXELS, 48)), answer


def write(path: Path, task: Task, pairs: list[tuple[Shown, object]]) -> Path:
    with open_answers(path, task, 48, title="<u>net", subtitle="here") as page:
        for shown, answer in pairs:
            page.add([shown], [answer], [])  # type: ignore[list-item]
        page.add([], [], [Unreadable(name="bad", error=InputError("reading <s>bad: no picture"))])
    return path


def parts(page: Path, name: str = "part") -> list[list[object]]:
    text = page.read_text(encoding="utf-8")
    scripts = re.findall(rf'<script type="application/json" class="{name}">(.*?)</script>', text)
    return [picture for each in scripts for picture in json.loads(each)]


def test_a_thumbnail_keeps_the_shape() -> None:
    wide = np.zeros((300, 1200, 3), np.uint8)
    wide[:, 600:] = 255
    small = cv2.imdecode(np.frombuffer(thumbnail(wide, 48), np.uint8), cv2.IMREAD_COLOR)
    assert small.shape == (12, 48, 3)
    assert (small[:, :20] < 40).all() and (small[:, 28:] > 215).all()
    assert cv2.imdecode(np.frombuffer(thumbnail(wide[:9, :9], 48), np.uint8), 1).shape == (9, 9, 3)


def test_pictures_lie_in_the_page_as_text(tmp_path: Path) -> None:
    page = write(tmp_path / "a.html", DETECTION, [found(number, 0.5, number % 2) for number in range(502)])
    text = page.read_text(encoding="utf-8")
    assert len(parts(page)) == len(parts(page, "looks")) == 502 and text.count('class="part"') == 2
    assert parts(page)[1][:4] == ["<i>1</i>.png", 90, 60, [[1, 0.5, 10, 20, 50, 60]]]
    assert "<b>text" not in text and "<i>" not in text and "<u>net" not in text and "<s>bad" not in text
    assert "\u202e" not in text


def test_areas_come_as_a_small_label_map(tmp_path: Path) -> None:
    resized = {"steps": [{"step": "resize", "size": [4, 4]}]}
    task = task_of(manifest("segmentation", preprocess=resized, num_classes=2), LABELS)
    label_map = np.zeros((60, 90), np.uint8)
    answer = Segmented(class_ids=(0,), areas=(1.0,), label_names=(LABELS[0],), filename="a",
                       label_map=label_map)  # fmt: skip
    page = write(tmp_path / "a.html", task, [(Shown("a", 60, 90, thumbnail(PIXELS, 48)), answer)])
    [picture], [look] = parts(page), parts(page, "looks")
    assert picture[3] == [[0, 1.0]] and str(look[1]).startswith("iVBOR")


def test_a_page_that_was_not_finished_is_none(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        open_answers(tmp_path / "a.html", DETECTION, 48, title="", subtitle=""),
    ):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError) as caught,
        open_answers(tmp_path / "file" / "a.html", DETECTION, 48, title="", subtitle=""),
    ):
        pass
    assert caught.value.hint == "name another file (--html FILE)"


def test_ten_thousand_pictures_have_small_thumbnails() -> None:
    assert [thumbnail_side(count) for count in (1, 1_000, 4_000, 10_000)] == [192, 192, 112, 72]


def test_predict_writes_page_and_csv(doc_ori: Path, run_inside: RunCli, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "=1,2.png"), PIXELS)
    page = tmp_path / "a.html"
    done = run_inside("predict", doc_ori, tmp_path / "=1,2.png", "--top-k", "2", "--csv", "--html", page)
    assert done.exit_code == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["filename"], row["rank"]) for row in rows] == [
        (str(tmp_path / "=1,2.png"), rank) for rank in "12"
    ]
    assert {row["label"] for row in rows} <= {"0", "90", "180", "270"} and rows[0]["x0"] == ""
    [picture] = parts(page)
    assert [one[0] for one in picture[3]] == [int(row["class_id"]) for row in rows]  # type: ignore[attr-defined]
    assert run_inside("predict", doc_ori, "a.png", "--csv", "--json").exit_code == 2
    assert run_inside("predict", doc_ori, "a.npz", "-o", "b.npz", "--html", page).exit_code == 2


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_chromium(tmp_path_factory.mktemp("chromium"), cache_directory("apt")) as running:
        yield running


@pytest.mark.slow
def test_the_page_filters(browser: Browser, tmp_path: Path) -> None:
    pairs = [found(number, number / 300, number % 2) for number in range(300)]
    url = write(tmp_path / "a.html", DETECTION, pairs).as_uri()  # type: ignore[arg-type]
    tab = browser.open(url, width=390, height=844, mobile=True)
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    assert tab.evaluate("document.querySelector('.shot').getBoundingClientRect().right") < 390
    assert tab.evaluate("[...document.querySelectorAll('#chips button')].map(one => one.textContent)") == [
        "</script><b>text150", "figure\\u202e150",
    ]  # fmt: skip
    count = "document.getElementById('count').textContent"
    assert tab.evaluate(count) == "300 of 300 pictures"
    tab.evaluate("document.querySelectorAll('#chips button')[1].click()")
    assert tab.evaluate(count) == "150 of 300 pictures"
    typed = "from.value = '0.5'; from.dispatchEvent(new Event('input')); order.value = 'high'"
    tab.evaluate("{const from = document.getElementById('from'), order = document.getElementById('order');"
                 f"{typed}; order.dispatchEvent(new Event('input'))}}")  # fmt: skip
    assert tab.evaluate(count) == "75 of 300 pictures"
    assert tab.evaluate("document.querySelector('.file').textContent") == "<i>299</i>.png"
    box = "(box => [box.width, box.height])(document.querySelector('.shot rect').getBBox())"
    assert tab.evaluate(box) == [40, 40]
    assert tab.evaluate("document.getElementById('unreadable').textContent").endswith("<s>bad: no picture")
    assert [url for url in tab.requests if not url.startswith(("file:", "data:"))] == []
    assert tab.complaints == []
    assert tab.faint() == []
