"""Artifacts of other engines that are made from ONNX: MNN's and ncnn's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from edgekit.convert.formats.mnn import OPTIONS as MNN_OPTIONS
from edgekit.convert.formats.mnn import convert_to_mnn
from edgekit.convert.formats.ncnn import OPTIONS as NCNN_OPTIONS
from edgekit.convert.formats.ncnn import convert_to_ncnn
from edgekit.core.artifact import ArtifactKind, Signature
from edgekit.errors import ConversionError
from edgekit.toolchain.component import Report
from edgekit.toolchain.converters import MNNCONVERT, PNNX, Converter, require_python

Convert = Callable[[Path, Path, Signature, Path, ArtifactKind, str], Signature]


class ChildFormat(msgspec.Struct, frozen=True, kw_only=True):
    """A format that is made from ONNX.

    Attributes:
        converter: What makes it.
        kind: Kind of artifact that it is.
        options: Options of the converter.
        convert: Runs the converter; see `convert_to_mnn`.
    """

    converter: Converter
    kind: ArtifactKind
    options: dict[str, str]
    convert: Convert


def _formats() -> dict[str, ChildFormat]:
    tools: tuple[tuple[Converter, dict[ArtifactKind, dict[str, str]], Convert], ...] = (
        (MNNCONVERT, MNN_OPTIONS, convert_to_mnn),
        (PNNX, NCNN_OPTIONS, convert_to_ncnn),
    )
    return {
        kind.value: ChildFormat(converter=converter, kind=kind, options=each, convert=convert)
        for converter, options, convert in tools
        for kind, each in options.items()
    }


FORMATS = _formats()
"""The formats, by the words of `--formats`, which are the kinds of artifact."""


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact whose files were just made from ONNX."""

    kind: ArtifactKind
    tool: tuple[str, str]
    signature: Signature
    options: dict[str, str]


def asks_for_onnx(formats: Iterable[str]) -> bool:
    """Return True for formats of which one is ONNX or is made from it."""
    return bool({"onnx", *FORMATS} & set(formats))


def child_kinds(formats: Iterable[str]) -> tuple[ArtifactKind, ...]:
    """Return the kinds of artifact that are made from ONNX for formats."""
    return tuple(FORMATS[name].kind for name in formats if name in FORMATS)


def prepare_converters(formats: Iterable[str], *, install: bool, progress: Report) -> dict[str, Path]:
    """Return the interpreter of each converter that formats need, by format; missing ones are installed.

    Raises:
        ToolError: One is missing and may not or cannot be installed.
    """
    return {
        name: require_python(FORMATS[name].converter, install=install, progress=progress)
        for name in formats
        if name in FORMATS
    }


def make_children(
    pythons: dict[str, Path],
    onnx: Path,
    signature: Signature,
    directory: Path,
    name: str,
    without_format: Callable[[str], str],
) -> Sequence[Child]:
    """Write all artifacts that are made from an ONNX file.

    Args:
        pythons: Answer of `prepare_converters`.
        onnx: The ONNX file.
        signature: Its inputs and outputs.
        directory: Where the files go.
        name: What messages call the model.
        without_format: Returns the command line that does not make a format.

    Raises:
        ConversionError: A converter lacks an operator or failed.
    """
    made = []
    for form, python in pythons.items():
        own = FORMATS[form]
        try:
            found = own.convert(python, onnx, signature, directory, own.kind, name)
        except ConversionError as error:
            raise ConversionError(error.message, hint=without_format(form)) from error
        tool = (own.converter.name, own.converter.version)
        made.append(Child(kind=own.kind, tool=tool, signature=found, options=own.options))
    return made


def child_tool_version(tool: str) -> str | None:
    """Return the version of a converter here; None for a tool that is none of them."""
    versions = {form.converter.name: form.converter.version for form in FORMATS.values()}
    return versions.get(tool)
