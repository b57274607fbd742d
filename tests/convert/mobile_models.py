"""Artifacts of MNN and ncnn from small ONNX files, by the real converters."""

from __future__ import annotations

from pathlib import Path

from edgekit.convert.formats.onnx import read_signature
from edgekit.convert.formats.onnx_children import Child, make_children, prepare_converters


def convert(onnx: Path, directory: Path, *formats: str) -> dict[str, Child]:
    """Convert an ONNX file into a directory; the answers by format."""
    directory.mkdir(exist_ok=True)
    pythons = prepare_converters(formats, install=True, progress=print)
    children = make_children(
        pythons, onnx, read_signature(onnx), directory, onnx.stem, lambda form: f"without {form}"
    )
    return {child.kind.value: child for child in children}
