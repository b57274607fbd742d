"""Runners and models as items of a device's store, and whether they belong together and fit the device."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

import msgspec

from edgekit._files import scratch_directory
from edgekit.core.artifact import Artifact, Manifest
from edgekit.core.device import DeviceInfo
from edgekit.core.spec import Precision
from edgekit.device.probe import has_fp16, require_64_bit
from edgekit.device.store import Item
from edgekit.errors import DeviceError, MismatchError, ToolError
from edgekit.transports.far_shell import local_digest

logger = logging.getLogger("edgekit")


class Part(Protocol):
    """A directory of files that several bundles share."""

    @property
    def directory(self) -> str:
        """Name of the part's directory on the device; it changes with the content."""

    @property
    def files(self) -> Mapping[str, Path]:
        """Path in the part -> file here."""

    @property
    def unpacked_bytes(self) -> int:
        """Size of the files that are unpacked there from its archive."""


class Bundle(Protocol):
    """A runner with everything that it needs, as `edgekit.toolchain.build.bundle` assembles it."""

    @property
    def engine(self) -> str:
        """Name of the engine."""

    @property
    def engine_version(self) -> str:
        """Version of the engine's library."""

    @property
    def abi(self) -> str:
        """`arm64-v8a` or `x86_64`."""

    @property
    def files(self) -> Mapping[str, Path]:
        """Path in the bundle -> file here."""

    @property
    def fp16(self) -> bool:
        """Whether the library computes in fp16."""

    @property
    def opencl(self) -> bool:
        """Whether the library computes by OpenCL."""

    @property
    def features(self) -> Sequence[str]:
        """Features, as the kernel names them, that every core must have."""

    @property
    def parts(self) -> Sequence[Part]:
        """Directories beside the bundle's own that it needs."""

    def unpacking(self, remote_dir: str) -> tuple[Sequence[str], Mapping[str, str]] | None:
        """Command line and environment that unpack what is not unpacked yet; None where nothing is."""

    def argv(self, remote_dir: str) -> Sequence[str]:
        """The runner's command line once the bundle is in `remote_dir`."""

    def env(self, remote_dir: str) -> Mapping[str, str]:
        """Environment variables of the runner."""

    def counting_env(self, remote_dir: str) -> Mapping[str, str]:
        """Environment variables of the runner when its instructions are counted."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """An exported model and which of its artifacts go to a device.

    Attributes:
        remake: Command that makes the artifacts anew, for hints.
    """

    directory: Path
    manifest: Manifest
    artifacts: tuple[Artifact, ...]
    remake: str = "edgekit models list"

    def items(self, artifact: Artifact) -> list[Item]:
        """The files of one of the artifacts as a device's store has them. Raises ToolError."""
        return artifact_items(self.directory, artifact, self.remake)


class PackedBundle:
    """A bundle as items of a device's store; hashed once for all devices.

    Its directory there is named by the content of all its files, so argument vectors and paths are
    the same for the same bundle, on which instruction counts depend.
    """

    def __init__(self, bundle: Bundle) -> None:
        import hashlib

        self.bundle = bundle
        digests = {path: local_digest(file) for path, file in sorted(bundle.files.items())}
        listing = "\n".join(
            [
                *(part.directory for part in bundle.parts),
                *(f"{each} {path}" for path, each in digests.items()),
            ]
        )
        self.identity = hashlib.sha256(listing.encode()).hexdigest()[:16]
        self.directory = f"bundles/{bundle.engine}-{self.identity}"
        self._note = contextlib.ExitStack()
        note = self._note.enter_context(scratch_directory("bundle")) / "bundle"
        note.write_text(f"{bundle.engine}={bundle.engine_version}\nrunner={self.identity}\n")
        programs = (
            _item(file, f"{self.directory}/{path}", digests[path], mode=0o755)
            for path, file in sorted(bundle.files.items())
        )
        shared = (
            _item(file, f"bundles/{part.directory}/{path}", local_digest(file), mode=0o755)
            for part in bundle.parts
            for path, file in sorted(part.files.items())
        )
        self.items = (*shared, *programs, _item(note, f"{self.directory}/.bundle", local_digest(note)))

    def unpacked_bytes(self, to_send: Sequence[Item]) -> int:
        """Return the size of the files that will be unpacked on the device once these items are there."""
        sent = {item.path for item in to_send}
        return sum(
            part.unpacked_bytes
            for part in self.bundle.parts
            if any(f"bundles/{part.directory}/{path}" in sent for path in part.files)
        )

    def close(self) -> None:
        """Delete the temporary file of versions."""
        self._note.close()


def _item(local: Path, path: str, sha256: str, *, mode: int = 0o644) -> Item:
    return Item(local=local, path=path, sha256=sha256, size_bytes=local.stat().st_size, mode=mode)


def artifact_items(directory: Path, artifact: Artifact, remake: str) -> list[Item]:
    """The files of an artifact under the names that they have in a device's store.

    Args:
        directory: Where the files lie.
        artifact: The artifact.
        remake: Command that makes the artifact anew.

    Raises:
        ToolError: A file is not the one of the manifest.
    """
    items = []
    for file in artifact.files:
        local = directory / file.path
        if not local.is_file() or local.stat().st_size != file.size_bytes:
            raise ToolError(f"pushing {local}: it is not the file of the manifest", hint=remake)
        items.append(
            Item(
                local=local,
                path=f"models/{file.sha256}{PurePosixPath(file.path).suffix}",
                sha256=file.sha256,
                size_bytes=file.size_bytes,
            )
        )
    return items


def label_items(model: Model) -> list[Item]:
    """The model's label list, where it has one."""
    if model.manifest.labels is None:
        return []
    local = model.directory / model.manifest.labels
    digest = local_digest(local)
    return [_item(local, f"models/{digest}.txt", digest)]


def check_versions(model: Model, bundle: Bundle, *, allow_mismatch: bool | None = None) -> str | None:
    """Paddle Lite's runtime reads only what its own version of opt wrote; others fail in odd ways.

    Args:
        model: The model and its artifacts.
        bundle: The runner.
        allow_mismatch: Whether the user allows it; None where the command has no such option.

    Returns:
        The versions that differ and are allowed to; None where they agree.

    Raises:
        MismatchError: opt's and the runtime's versions differ.
    """
    allowed = None
    for artifact in model.artifacts:
        wrote, reads = artifact.tool_version, bundle.engine_version
        if artifact.kind.format != "nb" or _release(wrote) == _release(reads):
            continue
        observed = f"opt {wrote} wrote {artifact.main_file}, the runtime is {reads}"
        if not allow_mismatch:
            raise MismatchError(
                f"pushing {model.manifest.name}: {observed}",
                hint=f"edgekit toolchain install paddlelite-runtime --version {wrote}"
                + ("" if allow_mismatch is None else ", or --allow-mismatch"),
            )
        logger.warning("%s: %s; --allow-mismatch", model.manifest.name, observed)
        allowed = observed
    return allowed


def _release(version: str) -> str:
    return version.strip().lstrip("v")


def check_device(info: DeviceInfo, models: Sequence[Model], bundle: Bundle) -> None:
    """Check ABI and fp16 arithmetic before anything is sent.

    Raises:
        DeviceError: 32-bit, another ABI, or no fp16 arithmetic for an fp16 artifact.
    """
    require_64_bit(info)
    if bundle.abi not in info.abis:
        raise DeviceError(
            f"pushing to {info.serial}: it runs {', '.join(info.abis)}, the {bundle.engine} runner is for "
            f"{bundle.abi}",
            hint="choose a device with that ABI: edgekit devices",
        )
    lacking = [each for each in bundle.features if each not in info.features]
    if lacking:
        raise DeviceError(
            f"pushing to {info.serial}: its cores have no {', '.join(lacking)}, which the {bundle.engine} "
            f"runner {bundle.engine_version} needs",
            hint="--engine onnxruntime runs on every ARM64 core",
        )
    for model in models:
        for artifact in model.artifacts:
            if artifact.kind.precision is Precision.FP16 and not has_fp16(info.features):
                raise DeviceError(
                    f"pushing {model.manifest.name} to {info.serial}: its cores have no fp16 arithmetic, "
                    f"which {artifact.main_file} needs",
                    hint="--precision fp32",
                )
