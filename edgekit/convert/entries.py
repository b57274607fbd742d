"""Entries of artifacts that were just made, for their manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from edgekit.convert.formats.lite import TARGETS
from edgekit.convert.formats.nb import NbHeader
from edgekit.convert.formats.onnx_children import Child
from edgekit.convert.manifest import describe_file
from edgekit.core.artifact import Artifact, ArtifactKind, Signature


def describe_artifact(
    directory: Path,
    kind: ArtifactKind,
    tool: tuple[str, str],
    signature: Signature,
    options: dict[str, str],
    parent: Artifact | None,
) -> Artifact:
    """The manifest's entry of an artifact whose files were just made.

    Args:
        directory: Where the files are; a model without weights has no file of parameters.
        kind: The artifact's kind.
        tool: What made it, and its version.
        signature: Inputs and outputs.
        options: What `tool` was told.
        parent: The artifact that it was made from.
    """
    return Artifact(
        kind=kind,
        files=tuple(
            describe_file(directory / name) for name in kind.file_names if (directory / name).is_file()
        ),
        tool=tool[0],
        tool_version=tool[1],
        parent_sha256=None if parent is None else parent.sha256,
        inputs=signature[0],
        outputs=signature[1],
        options=options,
    )


def describe_nb(directory: Path, headers: Mapping[str, NbHeader], program: Artifact) -> dict[str, Artifact]:
    """The manifest's entries of the `.nb` files that opt made from a Paddle program, by target."""
    made = {}
    for target, header in headers.items():
        options = {"valid_targets": target.partition("_")[0]}
        if target.endswith("fp16"):
            options["enable_fp16"] = "true"
        kind, tool = TARGETS[target], ("paddle_lite_opt", header.opt_version)
        signature = (program.inputs, program.outputs)
        made[kind.value] = describe_artifact(directory, kind, tool, signature, options, program)
    return made


def describe_children(directory: Path, children: Iterable[Child], onnx: Artifact) -> dict[str, Artifact]:
    """The manifest's entries of the artifacts that were made from an ONNX file, by kind."""
    return {
        child.kind.value: describe_artifact(
            directory, child.kind, child.tool, child.signature, child.options, onnx
        )
        for child in children
    }
