"""Fixtures of the Android tests: a copy of the project with models bundled, the app ready to run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekit.android.bundle import bundle
from edgekit.android.jdk import PACKAGES
from tests.android.robolectric import CompiledApp, compile_tests
from tests.pages import ORIENTATIONS, render_page

JAVA_HOME = Path(os.environ.get("JAVA_HOME") or "/nonexistent")
MISSING = [name for name in PACKAGES if not (JAVA_HOME / "bin" / name).is_file() and not shutil.which(name)]
needs_java = pytest.mark.skipif(bool(MISSING), reason=f"missing on this machine: {', '.join(MISSING)}")


@pytest.fixture(scope="session")
def documents_project(doc_ori: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the Android project with the trained document network bundled; treat it as read-only."""
    project = tmp_path_factory.mktemp("documents") / "android_demo"
    bundle([str(doc_ori)], project=project)
    return project


@pytest.fixture(scope="session")
def test_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CompiledApp]:
    """The app compiled with its own tests."""
    work = tmp_path_factory.mktemp("test-app")
    yield compile_tests(work)
    shutil.rmtree(work, ignore_errors=True)


@pytest.fixture(scope="session")
def page_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pages, each turned four ways, as `DEGREES_NUMBER.jpg`, and one of 42 million pixels."""
    directory = tmp_path_factory.mktemp("pages")
    for number in range(2):
        page = render_page(number)
        for turns, degrees in enumerate(ORIENTATIONS):
            turned = np.ascontiguousarray(np.rot90(page, -turns)[:, :, ::-1])
            assert cv2.imwrite(str(directory / f"{degrees}_{number}.jpg"), turned)
    large = cv2.resize(cv2.imread(str(directory / "90_0.jpg")), (6000, 7000))
    assert cv2.imwrite(str(directory / "90_large.jpg"), large)
    return directory
