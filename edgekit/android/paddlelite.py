"""Paddle Lite's Java library for Android, where the user has installed it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgekit.errors import ToolError
from edgekit.toolchain.build.paddlelite_runtime import ENGINE, JAVA_FILES
from edgekit.toolchain.build.runtimes import ANDROID, find_runtime

ARCHIVE = "inference_lite_lib.android.armv8.clang.c++_static.with_extra.with_cv.tar.gz"
HINT = f"edgekit toolchain install paddlelite-runtime --archive FILE, with the release's {ARCHIVE}"


class PaddleLiteLibrary(msgspec.Struct, frozen=True, kw_only=True):
    """Paddle Lite's Java classes and its native library for arm64-v8a."""

    version: str
    classes: Path
    library: Path


def find_paddlelite() -> PaddleLiteLibrary:
    """The Java library of the installed toolchain component.

    Raises:
        ToolError: Paddle Lite for Android is not installed, or was installed without its Java library.
    """
    runtime = find_runtime(ENGINE, ANDROID)
    if runtime is None:
        raise ToolError("building the app for Paddle Lite: its Android library is not installed", hint=HINT)
    classes, library = (Path(runtime.directory) / "java" / name for name in JAVA_FILES)
    for path in (classes, library):
        if not path.is_file():
            raise ToolError(
                f"building the app for Paddle Lite: the installed library came without {path.name}", hint=HINT
            )
    return PaddleLiteLibrary(version=runtime.version, classes=classes, library=library)
