"""A Paddle program that would do more than compute is refused before anything runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.convert.formats.operators import check_program, framework
from edgekit.convert.manifest import describe_file, load_manifest
from edgekit.core.artifact import ArtifactKind
from edgekit.errors import InputError
from edgekit.targets.target import HostTarget, Subject
from tests.conftest import NEEDS_PADDLE, CliResult

pytest.importorskip("paddle", reason=NEEDS_PADDLE)


def saving_program(marker: Path) -> bytes:
    """A program that Paddle Inference runs, with an operator that writes a file."""
    pb = framework()
    program = pb.ProgramDesc()
    block = program.blocks.add(idx=0, parent_idx=-1)

    def operator(kind: str, inputs: dict[str, str], outputs: dict[str, str]) -> object:
        op = block.ops.add(type=kind)
        for slot, name in inputs.items():
            op.inputs.add(parameter=slot, arguments=[name])
        for slot, name in outputs.items():
            op.outputs.add(parameter=slot, arguments=[name])
        return op

    operator("feed", {"X": "feed"}, {"Out": "x"})
    operator("relu", {"X": "x"}, {"Out": "y"})
    save = operator("save", {"X": "y"}, {})
    save.attrs.add(name="file_path", type=pb.STRING, s=str(marker))  # type: ignore[attr-defined]
    operator("fetch", {"X": "y"}, {"Out": "fetch"})
    return bytes(program.SerializeToString())


def test_a_program_that_writes_a_file_is_refused(
    run_inside: Callable[..., CliResult], tmp_path: Path, x0_25: Path
) -> None:
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "inference.pdmodel").write_bytes(saving_program(tmp_path / "outside"))
    (tmp_path / "evil" / "inference.pdiparams").write_bytes(bytes(100))
    with pytest.raises(InputError, match="'save' does more than compute"):
        check_program(tmp_path / "evil" / "inference.pdmodel")
    done = run_inside("import", "evil", "--name", "x", "--formats", "paddle", "--no-install")
    assert done.exit_code == 3 and "'save' does more than compute" in done.stderr
    check_program(x0_25 / "inference.pdmodel")


def test_an_artifact_with_such_a_program_is_refused(tmp_path: Path, x0_25: Path) -> None:
    manifest = load_manifest(x0_25)
    artifact = manifest.artifacts["paddle"]
    path = tmp_path / "inference.pdmodel"
    path.write_bytes(saving_program(tmp_path / "outside"))
    evil = type(artifact)(
        kind=ArtifactKind.PADDLE, files=(describe_file(path),), tool="t", tool_version="1",
        parent_sha256=None, inputs=artifact.inputs, outputs=artifact.outputs,
    )  # fmt: skip
    with pytest.raises(InputError, match="does more than compute"):
        HostTarget().place(Subject(directory=tmp_path, manifest=manifest), evil)


@pytest.mark.parametrize("name", ["save_combine", "py_func", "recv_v2", "send", "c_broadcast", "run_program"])
def test_operators_that_act(tmp_path: Path, name: str) -> None:
    inner = {"regions": [{"blocks": [{"ops": [{"#": f"1.{name}"}]}]}]}
    (tmp_path / "inference.json").write_text(json.dumps({"program": {"ops": [{"#": "1.if", "r": inner}]}}))
    with pytest.raises(InputError, match=name):
        check_program(tmp_path / "inference.json")


@pytest.mark.parametrize("name", ["p_norm", "conv2d", "reduce_sum", "send_u_recv", "concat", "print"])
def test_operators_that_compute(tmp_path: Path, name: str) -> None:
    (tmp_path / "inference.json").write_text(json.dumps({"program": {"ops": [{"#": f"1.{name}"}]}}))
    check_program(tmp_path / "inference.json")
