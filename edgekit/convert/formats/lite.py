"""From a Paddle inference model to Paddle Lite's `.nb`, with opt as a child process.

opt ends with exit code 0 whatever happens in its Python wrapper, with abort() on models that it does not
like, and prints success before it has written: only the file counts.
"""

from __future__ import annotations

import time
from pathlib import Path

from edgekit import _process
from edgekit.convert.formats.nb import NbHeader, clear_uninitialised, read_header
from edgekit.core.artifact import ArtifactKind
from edgekit.errors import ConversionError, InputError, ToolError
from edgekit.toolchain.component import Report
from edgekit.toolchain.opt.environments import CLEAN
from edgekit.toolchain.opt.install import require_opt
from edgekit.toolchain.opt.opt import Opt

OPT_TIMEOUT_S = 300.0
LOAD_TIMEOUT_S = 60.0
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

_LOAD = f"""\
import sys
from paddlelite.lite import MobileConfig, create_paddle_predictor
config = MobileConfig()
config.set_model_from_file(sys.argv[1])
create_paddle_predictor(config).get_input(0)
print({LOADED!r})
"""


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


class Conversion:
    """One run of opt, started at once; several run side by side.

    Args:
        opt: The opt.
        model: The `.pdmodel`.
        params: The `.pdiparams`.
        output: The `.nb` to write, in a directory that is private to this export.
        target: A key of `TARGETS`.
        name: What messages call the model.
        timeout_s: When it counts as hanging.

    Raises:
        ToolError: opt cannot be started.
    """

    def __init__(
        self,
        opt: Opt,
        model: Path,
        params: Path,
        output: Path,
        *,
        target: str,
        name: str,
        timeout_s: float = OPT_TIMEOUT_S,
    ) -> None:
        self.target, self.output, self._opt, self._name = target, output, opt, name
        self._deadline, self._timeout_s = time.monotonic() + timeout_s, timeout_s
        words = [
            *opt.argv,
            f"--model_file={model}",
            f"--param_file={params}",
            f"--valid_targets={_VALID_TARGETS.get(target, target)}",
            # opt puts the suffix on by itself.
            f"--optimize_out={output.with_suffix('')}",
            "--optimize_out_type=naive_buffer",
            *(["--enable_fp16=true"] if target.endswith("fp16") else []),
        ]
        self._child = _process.LineChild(words, env=CLEAN)
        self._ended = False

    def finish(self) -> NbHeader:
        """Wait for the end, and check the file: new, whole, of a version that can be told.

        Raises:
            ConversionError: opt hung, crashed, or left no whole file.
        """
        printed: list[str] = []
        try:
            while (line := self._child.read_line(max(0.0, self._deadline - time.monotonic()))) is not None:
                printed.append(line)
            exit_code = self._child.close()
            self._ended = True
        except TimeoutError as error:
            self.cancel()
            raise self._failed(f"opt {self._opt.version} did not end within {self._timeout_s:g} s") from error
        said = self._child.stderr_text().strip().splitlines() or printed
        outcome = f"opt {self._opt.version} ended with {_process.describe_exit(exit_code)}"
        if not self.output.is_file():
            raise self._failed(f"{outcome} and wrote no file; it said: {' | '.join(said[-3:]) or 'nothing'}")
        try:
            clear_uninitialised(self.output)
            return read_header(self.output)
        except InputError as error:
            raise self._failed(f"{outcome}; {error.message}") from error

    def cancel(self) -> None:
        """Stop it, if it still runs."""
        if not self._ended:
            self._child.kill()
            self._ended = True

    def _failed(self, what: str) -> ConversionError:
        hint = "edgekit toolchain install opt --force, or leave this target out with --nb-targets"
        if self.target in self._opt.broken_targets:
            hint = (
                f"opt {self._opt.version} is known to crash on {self.target}: "
                "edgekit toolchain install opt --version 2.12"
            )
        return ConversionError(f"converting {self._name} to .nb for {self.target}: {what}", hint=hint)


def check_loadable(opt: Opt, path: Path, name: str) -> bool:
    """Load an x86 `.nb` with the Paddle Lite that comes with opt; False where that opt has none.

    Raises:
        ConversionError: Paddle Lite crashes on it or does not load it.
    """
    if opt.python is None:
        return False
    try:
        done = _process.run([opt.python, "-I", "-c", _LOAD, path], timeout_s=LOAD_TIMEOUT_S, env=CLEAN)
    except ToolError as error:
        raise ConversionError(f"loading {name}'s {path.name}: {error.message}", hint=error.hint) from error
    if LOADED not in done.stdout:
        raise ConversionError(
            f"loading {name}'s {path.name} with Paddle Lite {opt.version}: "
            f"{_process.describe_exit(done.exit_code)}: {done.tail(2)}",
            hint="edgekit toolchain install opt --force",
        )
    return True
