"""Paddle Lite's Java library for Android, where the user has installed it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgekit.errors import InputError, ToolError
from edgekit.toolchain.components import component

COMPONENT = "paddlelite-runtime"
JAR = "PaddlePredictor.jar"
LIBRARY = "libpaddle_lite_jni.so"
HINT = (
    f"edgekit toolchain install {COMPONENT} --archive FILE, with the Android release archive of Paddle Lite "
    "(inference_lite_lib.android.armv8.clang.c++_static.with_extra.with_cv.tar.gz)"
)


class PaddleLiteLibrary(msgspec.Struct, frozen=True, kw_only=True):
    """Paddle Lite's Java classes and its native library for arm64-v8a."""

    version: str | None
    classes: Path
    library: Path


def find_paddlelite() -> PaddleLiteLibrary:
    """Look for the Android library in the installed toolchain component.

    Raises:
        ToolError: It is not installed, or what is installed has no Java library.
    """
    try:
        found = component(COMPONENT).find()
    except InputError as error:
        raise ToolError(f"building the app for Paddle Lite: {error.message}", hint=HINT) from error
    if found is None:
        raise ToolError(f"building the app for Paddle Lite: {COMPONENT} is not installed", hint=HINT)
    return library_below(found.path, found.version)


def library_below(directory: Path, version: str | None) -> PaddleLiteLibrary:
    """The Java library in an unpacked release archive.

    Raises:
        ToolError: The directory lacks the jar or the library.
    """
    root = directory if directory.is_dir() else directory.parent
    jars, libraries = sorted(root.rglob(JAR)), sorted(root.rglob(LIBRARY))
    if not jars or not libraries:
        missing = " and ".join(name for name, found in ((JAR, jars), (LIBRARY, libraries)) if not found)
        raise ToolError(f"building the app for Paddle Lite: no {missing} below {root}", hint=HINT)
    return PaddleLiteLibrary(version=version, classes=jars[0], library=libraries[0])
