"""`.mnn` and ncnn's `.param` and `.bin` from ONNX: equal bytes, and refusals that name what is in the way."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import TensorProto, helper

from edgekit.errors import ConversionError
from tests.convert import onnx_graphs, onnx_models
from tests.convert.mobile_models import convert

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def test_equal_networks_give_equal_bytes(tmp_path: Path) -> None:
    onnx = onnx_models.classifier(tmp_path / "small.onnx")
    first = convert(onnx, tmp_path / "a", "mnn", "ncnn")
    convert(onnx, tmp_path / "b", "mnn", "ncnn")
    made = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert made == ["inference.mnn", "inference.ncnn.bin", "inference.ncnn.param"]
    for name in made:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert first["mnn"].signature[0][0].shape == (None, 3, 32, 32)
    assert first["ncnn"].signature[0][0].shape == (1, 3, 32, 32)
    assert first["mnn"].tool[0] == "mnnconvert" and first["ncnn"].options == {"fp16": "0"}


def test_operators_that_a_converter_lacks_are_named(tmp_path: Path) -> None:
    own = onnx_graphs.model(
        tmp_path / "own.onnx",
        [helper.make_node("Frobnicate", ["x"], ["y"], domain="mine")],
        [("x", FLOAT, [1, 3, 4, 4])],
        [("y", FLOAT, [1, 3, 4, 4])],
        domains=["mine"],
    )
    for form in ("mnn", "ncnn"):
        with pytest.raises(ConversionError, match="operator Frobnicate") as refused:
            convert(own, tmp_path / form, form)
        assert refused.value.hint == f"without {form}"
    strange = onnx_models.classifier(tmp_path / "strange.onnx", strange=True)
    # pnnx writes this layer and ends with exit code 0; ncnn does not have it.
    with pytest.raises(ConversionError, match="ncnn lacks the operator Det"):
        convert(strange, tmp_path / "det", "ncnn")
    assert not list((tmp_path / "det").iterdir())


def test_a_cut_file_and_sizes_that_ncnn_cannot_have_are_refused(tmp_path: Path) -> None:
    whole = onnx_models.classifier(tmp_path / "whole.onnx", batch=2)
    with pytest.raises(ConversionError, match="one input of known sizes at a time, input is 2x3x32x32"):
        convert(whole, tmp_path / "two", "ncnn")
    cut = tmp_path / "cut.onnx"
    free = onnx_models.classifier(tmp_path / "free.onnx")
    cut.write_bytes(free.read_bytes())
    from edgekit.convert.formats.mnn import convert_to_mnn
    from edgekit.convert.formats.ncnn import convert_to_ncnn
    from edgekit.convert.formats.onnx import read_signature
    from edgekit.core.artifact import ArtifactKind
    from edgekit.toolchain.converters import MNNCONVERT, PNNX, require_python

    signature = read_signature(free)
    cut.write_bytes(free.read_bytes()[:900])
    for converter, run, kind in (
        (MNNCONVERT, convert_to_mnn, ArtifactKind.MNN),
        (PNNX, convert_to_ncnn, ArtifactKind.NCNN),
    ):
        python = require_python(converter, install=True, progress=print)
        with pytest.raises(ConversionError, match=r"left no file|wrote no files"):
            run(python, cut, signature, tmp_path, kind, "cut")
