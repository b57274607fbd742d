"""The app itself: its JUnit tests under Robolectric, with real networks and the host's own tensors."""

from __future__ import annotations

import itertools
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from edgekit._process import Completed
from edgekit.android.project import ASSETS, MAIN, packaged_project
from edgekit.core.measurement import Result, Status
from edgekit.core.preprocess import ChannelOrder, Interpolation, Preprocess, ResizeBackend
from edgekit.vision.preprocess import Preprocessor
from tests.android.broken_models import make_assets
from tests.android.conftest import needs_java
from tests.android.robolectric import CompiledApp
from tests.android.verdict_cases import write_verdict_cases
from tests.pages import render_page

pytestmark = needs_java

SIZES = ((500, 375), (375, 500), (512, 512), (100, 80), (256, 256), (1, 1), (3, 700), (901, 233))


def _check(done: Completed, tests: int) -> str:
    """JUnit's summary must say that all tests passed, and how many; an `I` stands for a skipped one."""
    summary = f"OK ({tests} test{'s' if tests > 1 else ''})"
    assert done.ok, done.stdout[-6000:]
    assert summary in done.stdout, done.stdout[-6000:]
    skipped = re.search(r"^\.*I", done.stdout, re.MULTILINE)
    assert skipped is None, "a test was skipped"
    return done.stdout


def _preprocessing_cases(directory: Path, doc_ori_json: dict[str, object]) -> None:
    """Pictures as raw RGB, and what the host's preprocessing makes of them."""
    rng = np.random.default_rng(7)
    cases = []
    parameters = [
        (Interpolation.BILINEAR, ResizeBackend.OPENCV, 1e-5),
        (Interpolation.BILINEAR, ResizeBackend.PILLOW, 1e-5),
        (Interpolation.BICUBIC, ResizeBackend.PILLOW, 1e-5),
        # OpenCV computes it differently from CPU to CPU: one grey level is 1 / 255 / 0.224.
        (Interpolation.BICUBIC, ResizeBackend.OPENCV, 0.0176),
    ]
    pictures = {
        f"{width}x{height}": rng.integers(0, 256, (height, width, 3), np.uint8) for width, height in SIZES
    }
    pictures["page"] = render_page(1)
    for name, picture in pictures.items():
        (directory / f"{name}.rgb").write_bytes(picture.tobytes())
    for (name, picture), (interpolation, backend, tolerance) in itertools.product(
        pictures.items(), parameters
    ):
        for short, order in ((256, ChannelOrder.RGB), (None, ChannelOrder.BGR)):
            preprocess = Preprocess(
                resize_short=short, interpolation=interpolation, resize_backend=backend, channel_order=order
            )
            pixels = np.ascontiguousarray(picture[:, :, ::-1])
            case = f"{name}-{backend.value}-{interpolation.value}-{short}"
            (directory / f"{case}.f32").write_bytes(Preprocessor(preprocess)(pixels).astype("<f4").tobytes())
            cases.append(
                {
                    "name": case,
                    "picture": f"{name}.rgb",
                    "width": picture.shape[1],
                    "height": picture.shape[0],
                    "tensor": f"{case}.f32",
                    "tolerance": tolerance,
                    "model": {**doc_ori_json, "preprocess": msgspec.to_builtins(preprocess)},
                }
            )
    (directory / "cases.json").write_text(json.dumps(cases))


def test_answers_measures_and_preprocesses_as_the_host(
    test_app: CompiledApp, documents_project: Path, page_pictures: Path, tmp_path: Path
) -> None:
    """One test of each kind; the slow one below runs all."""
    cases, results, screens = (tmp_path / name for name in ("cases", "results", "screens"))
    for directory in (cases, results, screens):
        directory.mkdir()
    assets = documents_project / ASSETS
    _preprocessing_cases(cases, json.loads(next(assets.glob("models/*/model.json")).read_text()))
    assert write_verdict_cases(cases) == {"valid", "unverified", "throttled", "unstable"}
    done = test_app.run(
        ["PreprocessorTest", "VerdictTest", "MainActivityTest", "BenchmarkActivityTest", "LiveActivityTest"],
        assets=assets,
        work=tmp_path,
        properties={
            "edgekit.preprocessing": str(cases),
            "edgekit.verdicts": str(cases),
            "edgekit.pictures": str(page_pictures),
            "edgekit.results": str(results),
            "edgekit.screenshots": str(screens),
        },
        is_smoke=True,
    )
    said = _check(done, 6)
    assert said.count("preprocessing ") == 8 * (len(SIZES) + 1)
    result = msgspec.json.decode((results / "app.json").read_bytes(), type=Result)
    assert [point.status for point in result.points] == [Status.DONE, Status.DONE, Status.SKIPPED]
    assert [point.requested_threads for point in result.points] == [1, 2, 64]
    first = result.points[0]
    assert first.artifact is not None
    assert first.processes[0].first_run_ns
    assert first.parity is not None
    assert first.parity.passed
    assert first.environment_before is not None
    _check_screens(screens, 4)


@pytest.mark.slow
def test_every_screen_works(
    test_app: CompiledApp, documents_project: Path, page_pictures: Path, tmp_path: Path
) -> None:
    screens = tmp_path / "screens"
    screens.mkdir()
    done = test_app.run(
        [
            "MainActivityTest", "BenchmarkActivityTest", "LiveActivityTest", "live.CameraGeometryTest",
            "ModelsActivityTest",
        ],
        assets=documents_project / ASSETS,
        work=tmp_path,
        properties={"edgekit.pictures": str(page_pictures), "edgekit.screenshots": str(screens)},
    )  # fmt: skip
    _check(done, 31)
    _check_screens(screens, 18)


@pytest.mark.slow
def test_every_screen_fits_everywhere(test_app: CompiledApp, documents_project: Path, tmp_path: Path) -> None:
    screens = tmp_path / "screens"
    screens.mkdir()
    done = test_app.run(
        ["ScreensTest"],
        assets=documents_project / ASSETS,
        work=tmp_path,
        properties={"edgekit.screenshots": str(screens)},
    )
    _check(done, 1)
    assert len(list(screens.glob("*.png"))) == 9 * 8


@pytest.mark.slow
def test_swapped_and_broken_models(test_app: CompiledApp, doc_ori: Path, x0_25: Path, tmp_path: Path) -> None:
    assets = make_assets(doc_ori, x0_25, tmp_path)
    screens = tmp_path / "screens"
    screens.mkdir()
    done = test_app.run(
        ["SwappedModelTest"],
        assets=assets,
        work=tmp_path,
        properties={"edgekit.swapped": "true", "edgekit.screenshots": str(screens)},
    )
    _check(done, 1)
    _check_screens(screens, 9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "This app has no model"),
        ('{"models": ["gone"]}', "gone/model.json cannot be read"),
    ],
)
def test_an_app_without_a_model_says_so(
    test_app: CompiledApp, tmp_path: Path, content: str | None, part: str
) -> None:
    models = tmp_path / "assets" / "models"
    screens = tmp_path / "screens"
    models.mkdir(parents=True)
    screens.mkdir()
    if content is not None:
        (models / "index.json").write_text(content)
    done = test_app.run(
        ["NoModelTest"],
        assets=tmp_path / "assets",
        work=tmp_path,
        properties={"edgekit.no_model": part, "edgekit.screenshots": str(screens)},
    )
    _check(done, 1)
    _check_screens(screens, 1)


def test_messages_of_exceptions_are_translated_as_they_are_written() -> None:
    main = packaged_project() / MAIN
    written = "".join(path.read_text() for path in sorted((main.parent).rglob("*.java")))
    written = re.sub(r'"\s*\+\s*"', "", written)
    items = [
        str(item.text).replace("\\'", "'")
        for item in ET.parse(main / "res/values-zh/messages.xml").iter("item")
    ]
    for english, chinese in zip(items[::2], items[1::2], strict=True):
        for part in english.split("{}"):
            assert part.replace("\\", "") in written.replace("\\", ""), english
        holes = sorted(re.findall(r"\{(\d)\}", chinese))
        assert holes == [str(number + 1) for number in range(english.count("{}"))], chinese
        assert re.search("[\u4e00-\u9fff]", chinese), chinese
    assert len(items) > 80


def _check_screens(directory: Path, count: int) -> None:
    """As many screenshots as there are screens, none of them blank."""
    screens = sorted(directory.glob("*.png"))
    assert len(screens) >= count, [path.name for path in screens]
    for path in screens:
        pixels = cv2.imread(str(path))
        assert pixels.shape[0] * pixels.shape[1] > 400_000, path.name
        share = (pixels == pixels[-1, -1]).all(axis=2).mean()
        assert 0.05 < share < 0.995, f"{path.name}: {share:.3f} of it is background"
