"""The Android project: the user's copy, or the one that travels with edgekit."""

from __future__ import annotations

import shutil
from pathlib import Path

import edgekit
from edgekit._files import output_error, temporary_directory
from edgekit.errors import InputError

PACKAGE = "org.edgekit.demo"
# ELF's machine of each ABI that the app can be built for (EM_AARCH64, EM_X86_64).
ABIS = {"arm64-v8a": 183, "x86_64": 62}
MAIN = Path("app/src/main")
ASSETS = MAIN / "assets"
MODELS = ASSETS / "models"
SAMPLES = Path("samples")
NOT_COPIED = ("build", ".gradle", ".idea", "local.properties", "models", "__pycache__")


def packaged_project() -> Path:
    """The project that travels with edgekit: beside it in a checkout, inside it when installed.

    Raises:
        InputError: This installation has none.
    """
    package = Path(edgekit.__file__).parent
    for candidate in (package.parent / "android_demo", package / "android_demo"):
        if (candidate / MAIN / "AndroidManifest.xml").is_file():
            return candidate
    raise InputError(
        "looking for the Android project: this installation of edgekit has none",
        hint="pip install --force-reinstall edgekit",
    )


def open_project(directory: Path) -> Path:
    """The project in a directory; where there is none, a copy of edgekit's is made there.

    Raises:
        InputError: The directory holds something else.
        OutputError: It cannot be written.
    """
    if (directory / MAIN / "AndroidManifest.xml").is_file():
        return directory
    if directory.exists() and any(directory.iterdir()):
        raise InputError(
            f"opening the Android project {directory}: the directory is not empty and holds no {MAIN}",
            hint="name another directory with -o",
        )
    source = packaged_project()
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with temporary_directory(f".{directory.name}.held-", directory.parent) as work:
            copy = Path(work) / "copy"
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
            if directory.exists():
                directory.rmdir()
            copy.rename(directory)
    except OSError as error:
        raise output_error(directory, error) from error
    return directory
