"""Wheels for other machines than this one, by pip from the package registry."""

from __future__ import annotations

from pathlib import Path

from edgekit import _process
from edgekit._files import sha256_file
from edgekit.errors import ToolError

DOWNLOAD_TIMEOUT_S = 300.0


def download_wheel(
    distribution: str,
    version: str,
    *,
    python: str,
    platforms: tuple[str, ...],
    into: Path,
    sha256: str | None,
    hint: str,
) -> Path:
    """Download the wheel of a package without its dependencies.

    Args:
        distribution: Name of the package.
        version: Exact version.
        python: Version of the Python that will use the wheel, e.g. `3.11`.
        platforms: Platform tags of acceptable wheels.
        into: Empty directory for the wheel.
        sha256: Required SHA-256, hex; None for a version whose hash is not recorded.
        hint: Other ways to get the package, for errors.

    Raises:
        ToolError: The registry does not answer, lacks the wheel, or serves another file.
    """
    done = _process.run(
        _process.own_python(
            "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps",
            "--only-binary=:all:", *(word for name in platforms for word in ("--platform", name)),
            "--python-version", python, "--dest", into, f"{distribution}=={version}",
        ),
        timeout_s=DOWNLOAD_TIMEOUT_S,
    )  # fmt: skip
    wheels = sorted(into.glob("*.whl"))
    if not done.ok or len(wheels) != 1:
        raise ToolError(
            f"downloading {distribution} {version} for Python {python} on {platforms[-1]}: pip ended with "
            f"{_process.describe_exit(done.exit_code)}: {done.tail(3)}",
            hint=hint,
        )
    digest = sha256_file(wheels[0])
    if sha256 is not None and digest != sha256:
        raise ToolError(
            f"downloading {distribution} {version}: {wheels[0].name} has SHA-256 {digest}, not {sha256}",
            hint="the package registry serves another file; compare with the one at pypi.org",
        )
    return wheels[0]
