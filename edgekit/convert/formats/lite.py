"""From a Paddle inference model to Paddle Lite's `.nb`, with opt in processes of its own.

opt ends with exit code 0 whatever happens in its Python wrapper, with abort() on models that it does not
like, and prints success before it has written: only the file counts.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path

import msgspec

from edgekit import _process
from edgekit._worker import Worker
from edgekit.convert.formats.nb import NbHeader, clear_uninitialised, read_header
from edgekit.core.artifact import ArtifactKind
from edgekit.errors import ConversionError, InputError, ToolError
from edgekit.toolchain.component import Report
from edgekit.toolchain.opt.environments import CLEAN
from edgekit.toolchain.opt.install import require_opt
from edgekit.toolchain.opt.opt import Opt

OPT_TIMEOUT_S = 300.0
SHOWN_LINES = 3
SERVER, LOAD = (Path(__file__).with_name(f"lite_{name}.py") for name in ("server", "load"))
LOADED = "edgekit: loaded"
FORMATS = ("paddle", "onnx", "nb")
TARGETS: dict[str, ArtifactKind] = {
    "arm": ArtifactKind.NB_ARM,
    "arm_fp16": ArtifactKind.NB_ARM_FP16,
    "x86": ArtifactKind.NB_X86,
    "opencl": ArtifactKind.NB_OPENCL,
}
"""Artifact kinds by the words of `--nb-targets`."""

# Made only where it is named: few devices have a GPU that Paddle Lite computes on.
_NAMED_ALONE = ("opencl",)
# Words of opt's `--valid_targets`; what OpenCL lacks is computed on ARM's cores.
_VALID_TARGETS = {"opencl": "opencl,arm", "arm_fp16": "arm"}

_REINSTALL = "edgekit toolchain install opt --force, or leave this target out with --nb-targets"


def choose_targets(
    formats: tuple[str, ...], nb_targets: tuple[str, ...] | None, *, install: bool, progress: Report
) -> tuple[Opt | None, tuple[str, ...], tuple[str, ...]]:
    """The opt to use (None where no `.nb` is asked for), its targets, and a note on each one left out.

    Raises:
        ToolError: There is no opt, and it may not or cannot be installed.
    """
    if "nb" not in formats:
        return None, (), ()
    opt = require_opt(install=install, progress=progress)
    if nb_targets is not None:
        return opt, nb_targets, ()
    targets = tuple(target for target in TARGETS if target not in (*opt.broken_targets, *_NAMED_ALONE))
    notes = tuple(
        f"no .nb for {target}: opt {opt.version} crashes on it; "
        "with a Python 3.7 here: edgekit toolchain install opt --version 2.12"
        for target in opt.broken_targets
    )
    return opt, targets, notes


class LiteJob(msgspec.Struct, frozen=True, kw_only=True):
    """Command lines to run side by side."""

    commands: list[list[str]]


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """End of one command line; a negative exit code is that of a signal.

    Attributes:
        stdout: End of the output.
        stderr: End of the error output.
    """

    exit_code: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        """The last lines, of stderr where that is not empty."""
        lines = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return " | ".join(lines[-SHOWN_LINES:]) or "nothing"


def lite_worker(opt: Opt, *, timeout_s: float = OPT_TIMEOUT_S) -> Worker[Ended]:
    """Return a process that runs opt and loads x86 `.nb` without importing Paddle Lite each time.

    Args:
        opt: The opt. A standalone binary has no interpreter; it is started each time.
        timeout_s: Seconds without the end of a run after which all runs are killed.
    """
    program: str | list[str | Path] = str(SERVER)
    if opt.python is not None:
        program = [opt.python, "-I", SERVER, "paddlelite.lite"]
    return Worker(program, Ended, failure=ConversionError, timeout_s=timeout_s, env=CLEAN)


def convert(
    worker: Worker[Ended], opt: Opt, model: Path, params: Path, outputs: Mapping[str, Path], *, name: str
) -> dict[str, NbHeader]:
    """Write a `.nb` for every target as `begin` does, and return their headers as `headers_of` does."""
    with contextlib.closing(begin(worker, opt, model, params, outputs, name=name)) as runs:
        return headers_of(runs, opt, outputs, name)


def begin(
    worker: Worker[Ended], opt: Opt, model: Path, params: Path, outputs: Mapping[str, Path], *, name: str
) -> Generator[Ended, None, None]:
    """Let opt write a `.nb` for every target, side by side, without waiting for it.

    Args:
        worker: Answer of `lite_worker` for this opt.
        opt: The opt.
        model: The `.pdmodel`.
        params: The `.pdiparams`.
        outputs: The files to write, in a directory that is private to this command, by key of `TARGETS`.
        name: What messages call the model.

    Returns:
        The ends of opt's runs, in the order of the outputs; closing them kills opt.

    Raises:
        ToolError: opt cannot be started.
    """
    if not os.access(opt.path, os.X_OK if len(opt.argv) == 1 else os.R_OK):
        raise ToolError(f"starting {opt.path}: no such program", hint="edgekit doctor")
    commands = [_command(opt, model, params, output, target) for target, output in outputs.items()]
    for words in commands:
        _process.logger.info("+ %s", shlex.join(words))
    doing = f"{_doing(name, ', '.join(outputs))} with opt {opt.version}"
    return worker.ask(LiteJob(commands=commands), doing, hint=_REINSTALL)


def headers_of(
    runs: Iterable[Ended], opt: Opt, outputs: Mapping[str, Path], name: str
) -> dict[str, NbHeader]:
    """Return the headers of the files that opt writes, by target; each is new, whole and of a known version.

    Args:
        runs: Answer of `begin` for this opt, these outputs and this name.

    Raises:
        ConversionError: opt hung, crashed, or left no whole file.
    """
    return {
        target: _header(opt, output, target, ended, _doing(name, target))
        for (target, output), ended in zip(outputs.items(), runs, strict=True)
    }


def _doing(name: str, targets: str) -> str:
    return f"converting {name} to .nb for {targets}"


def _command(opt: Opt, model: Path, params: Path, output: Path, target: str) -> list[str]:
    return [
        *opt.argv,
        f"--model_file={model}",
        f"--param_file={params}",
        f"--valid_targets={_VALID_TARGETS.get(target, target)}",
        # opt puts the suffix on by itself.
        f"--optimize_out={output.with_suffix('')}",
        "--optimize_out_type=naive_buffer",
        *(["--enable_fp16=true"] if target.endswith("fp16") else []),
    ]


def _header(opt: Opt, output: Path, target: str, ended: Ended, doing: str) -> NbHeader:
    """Return the header of a file that opt has just written. Raises ConversionError where it is not whole."""
    outcome = f"opt {opt.version} ended with {_process.describe_exit(ended.exit_code)}"
    hint = _REINSTALL
    if target in opt.broken_targets:
        hint = (
            f"opt {opt.version} is known to crash on {target}: edgekit toolchain install opt --version 2.12"
        )
    if not output.is_file():
        raise ConversionError(f"{doing}: {outcome} and wrote no file; it said: {ended.said}", hint=hint)
    try:
        clear_uninitialised(output)
        return read_header(output)
    except InputError as error:
        raise ConversionError(f"{doing}: {outcome}; {error.message}", hint=hint) from error


def check_loadable(worker: Worker[Ended], opt: Opt, path: Path, name: str) -> bool:
    """Load an x86 `.nb` with the Paddle Lite that comes with opt; False where that opt has none.

    Raises:
        ConversionError: Paddle Lite crashes on it or does not load it.
    """
    if opt.python is None:
        return False
    doing = f"loading {name}'s {path.name} with Paddle Lite {opt.version}"
    job = LiteJob(commands=[[str(opt.python), str(LOAD), str(path)]])
    (ended,) = worker.ask(job, doing, hint=_REINSTALL)
    if LOADED not in ended.stdout:
        raise ConversionError(
            f"{doing}: {_process.describe_exit(ended.exit_code)}: {ended.said}", hint=_REINSTALL
        )
    return True
