"""Options that every conversion has, and the command line that asks for it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import msgspec

from edgekit.convert.formats import onnx_children
from edgekit.convert.formats.lite import FORMATS
from edgekit.convert.manifest import DEFAULT_ROOT
from edgekit.convert.remedy import with_options
from edgekit.errors import InputError, UsageError


class ConversionRequest(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Artifacts to make of a model; exports and imports add the model itself.

    Attributes:
        labels: A file of labels; None takes those that come with the model.
        formats: Some of `FORMATS` and of `onnx_children.FORMATS`.
        nb_targets: Some of `lite.TARGETS`; None takes all that the opt here does not crash on.
        output: The artifact directory; None is `models/NAME` under the working directory.
        force: Convert although nothing has changed.
        keep_failed: Keep artifacts that fail their check, marked as such.
        install: Install opt on the way where it is missing.
    """

    labels: Path | None = None
    formats: tuple[str, ...] = FORMATS
    nb_targets: tuple[str, ...] | None = None
    output: Path | None = None
    force: bool = False
    keep_failed: bool = False
    install: bool = True

    @property
    def model_name(self) -> str:
        """Name of the converted model."""
        raise NotImplementedError

    @property
    def doing(self) -> str:
        """Beginning of messages, e.g. `importing net.onnx`."""
        raise NotImplementedError

    @property
    def command(self) -> str:
        """The command line that asks for this; messages and the manifest repeat it."""
        raise NotImplementedError

    @property
    def directory(self) -> Path:
        """The artifact directory."""
        return self.output or DEFAULT_ROOT / self.model_name

    def with_options(self, options: str) -> str:
        """The command line with options in the place of its own of the same names."""
        return with_options(self.command, options)

    def without_format(self, name: str) -> str:
        """The command line that does not make a format, nor those made from it; the Paddle program stays."""
        without = {name, *(onnx_children.FORMATS if name == "onnx" else ())}
        left = [each for each in self.formats if each not in without] or ["paddle"]
        return self.with_options(f"--formats {','.join(left)}")

    def check_formats(self) -> None:
        """Raise UsageError where targets of `.nb` are given and no `.nb` is asked for."""
        if self.nb_targets is not None and "nb" not in self.formats:
            raise UsageError(
                f"{self.doing}: --nb-targets without nb among --formats",
                hint=self.with_options("--formats paddle,onnx,nb"),
            )

    def check_labels(self, labels: tuple[str, ...], num_classes: int) -> None:
        """Raise InputError where there are more or fewer labels than classes."""
        if len(labels) != num_classes:
            where = "" if self.labels is None else f" in {self.labels}"
            raise InputError(
                f"{self.doing}: {len(labels)} labels{where} for {num_classes} classes",
                hint=self.with_options("--labels FILE") + f" with {num_classes} lines",
            )

    def _command_line(self, command: str, subject: str, options: Mapping[str, object]) -> str:
        given = {
            **options,
            "--labels": self.labels,
            "--formats": None if self.formats == FORMATS else ",".join(self.formats),
            "--nb-targets": None if self.nb_targets is None else ",".join(self.nb_targets),
            "-o": self.output,
        }
        words = [f"{name} {shlex.quote(str(value))}" for name, value in given.items() if value is not None]
        return " ".join([f"edgekit {command} {shlex.quote(subject)}", *words])
