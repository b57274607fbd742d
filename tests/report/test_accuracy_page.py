"""The page of `eval --html`, from documents and tables as eval writes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekit.core.accuracy import wilson
from edgekit.core.measurement import ArtifactRef
from edgekit.core.spec import Precision
from edgekit.errors import InputError
from edgekit.pages.accuracy import accuracy_page
from edgekit.tasks.truth.classes import EvalResult, RouteScore
from edgekit.toolchain.cache import cache_directory
from tests.browser import Browser, running_chromium

ONNX = ArtifactRef(kind="onnx", format="onnx", sha256="a" * 64, converter="p", converter_version="2")
COMMON = {
    "schema_version": EvalResult.version, "edgekit_version": "0", "started_at": "", "ended_at": "2026-11-23",
    "model": "net<b>", "target": "host", "list_path": "val.txt", "list_sha256": "c" * 64, "threads": 1,
    "batch_size": 8, "skipped": (), "weights": "random (seed 0)", "pictures": 100, "unreadable": 1,
    "confusion_path": "elsewhere/e.confusion.csv",
    "first_error": "decoding <i>x: damaged", "disagreements": 1,
    "disagreements_path": "e.disagreements.csv", "wrong_path": "e.wrong.csv",
}  # fmt: skip


def write_evaluation(place: Path, classes: int) -> EvalResult:
    """Invent an evaluation: of each class 9 pictures are right, 1 is answered as the next."""
    labels = tuple(f"label <u>{number}" for number in range(classes))
    score = {"artifact": ONNX, "top1": wilson(90, 100), "top5": wilson(100, 100)}
    routes = tuple(RouteScore(engine="onnxruntime", precision=one, **score)  # type: ignore[arg-type]
                   for one in (Precision.FP32, Precision.INT8))  # fmt: skip
    own = {"data": str(place), "num_classes": classes, "classes": labels, "routes": routes}
    result = EvalResult(**COMMON, **own)  # type: ignore[arg-type]
    lines = [f"onnxruntime,fp32,{one},{other},{count}"
             for one in range(classes) for other, count in ((one, 9), ((one + 1) % classes, 1))]  # fmt: skip
    (place / "e.confusion.csv").write_text("\n".join(["engine,precision,class,predicted,pictures", *lines]))
    head = "picture,class,onnxruntime fp32,onnxruntime int8,error\n"
    wrong = "a<s>.png,0,1,1,\ngone.png,1,2,2,\nbroken.png,2,,,damaged\n"
    (place / "e.wrong.csv").write_text(f"{head}{wrong}b.png,2,2,3,\n")
    (place / "e.disagreements.csv").write_text(f"{head}b.png,2,2,3,\n")
    for name in ("a<s>.png", "b.png"):
        cv2.imwrite(str(place / name), np.zeros((300, 400, 3), np.uint8))
    return result


def page(place: Path, classes: int) -> str:
    return accuracy_page([(place / "e.json", write_evaluation(place, classes))])


def test_few_classes_are_a_heat_map(tmp_path: Path) -> None:
    text = page(tmp_path, 6)
    assert text.count('<rect x="') == 1 + 12
    assert "<title>label &lt;u&gt;0: 1 of 10 answered as label &lt;u&gt;1</title>" in text
    assert '90.00 <span class="quiet">[82.56, 94.48]' in text
    assert "weights: random (seed 0): this accuracy means nothing" in text
    assert not [tag for tag in ("<b>", "<u>", "<i>x", "<s>") if tag in text.replace("<b style", "")]


def test_many_classes_are_the_most_confused_pairs(tmp_path: Path) -> None:
    text = page(tmp_path, 51)
    assert "<svg" not in text and "21 more pairs" in text and "21 more labels" in text
    assert text.count("<td>10.0%</td>") == 30


def test_wrong_pictures_are_shown_where_they_still_are(tmp_path: Path) -> None:
    text = page(tmp_path, 6)
    assert text.count("data:image/jpeg") == 3  # two wrong ones, of which the answers to one differ
    assert text.count("not found") == 1 and "broken.png" not in text
    assert 'Wrong pictures <span class="quiet">3 of 3' in text
    assert 'the answers differ <span class="quiet">1 of 1' in text
    assert text.count("every engine") == 2


def test_tables_that_are_gone_are_named(tmp_path: Path) -> None:
    result = write_evaluation(tmp_path, 6)
    (tmp_path / "e.wrong.csv").unlink()
    text = accuracy_page([(tmp_path / "e.json", result)])
    assert "not beside e.json, so left out: e.wrong.csv" in text
    assert "left out" not in page(tmp_path, 6)


def test_damaged_tables_are_refused(tmp_path: Path) -> None:
    result = write_evaluation(tmp_path, 6)
    (tmp_path / "e.confusion.csv").write_text(
        "engine,precision,class,predicted,pictures\nonnxruntime,fp32,1\n"
    )
    with pytest.raises(InputError, match=r"beside .*e\.json: damaged"):
        accuracy_page([(tmp_path / "e.json", result)])


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with running_chromium(tmp_path, cache_directory("apt")) as running:
        yield running


@pytest.mark.slow
def test_the_page_fits_a_phone(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(page(tmp_path, 40), encoding="utf-8")
    tab = browser.open((tmp_path / "a.html").as_uri(), width=390, height=844, mobile=True)
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    assert tab.evaluate("document.querySelector('.heat').getBoundingClientRect().width") >= 350
    lefts = "[...document.querySelectorAll('.heat .axis')].map(one => one.getBBox().x)"
    assert min(tab.evaluate(lefts)) >= 0
    assert tab.evaluate("document.querySelector('.shot img').naturalWidth") == 128
    assert [url for url in tab.requests if not url.startswith(("file:", "data:"))] == []
    assert tab.complaints == []
    assert tab.faint() == []
