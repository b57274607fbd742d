"""Computation of an x86 `.nb`, all inputs and outputs, by Paddle Lite's interface in opt's interpreter."""

from __future__ import annotations

from pathlib import Path

from edgekit import _process
from edgekit.errors import RunnerError, ToolError
from edgekit.toolchain.opt.environments import CLEAN
from edgekit.toolchain.opt.opt import find_opt

TIMEOUT_S = 300.0
# Of Python 3.7. `.numpy()` is a view of memory that the next run overwrites.
_COMPUTE = """\
import sys
import numpy
from paddlelite.lite import MobileConfig, create_paddle_predictor
model, feeds, given, target = sys.argv[1:]
config = MobileConfig()
config.set_model_from_file(model)
predictor = create_paddle_predictor(config)
arrays, found = numpy.load(given), {}
for number in range(int(feeds)):
    for index in range(len(predictor.get_input_names())):
        array = numpy.ascontiguousarray(arrays["%d_%d" % (number, index)])
        predictor.get_input(index).from_numpy(array)
    predictor.run()
    for index in range(len(predictor.get_output_names())):
        found["%d_%d" % (number, index)] = predictor.get_output(index).numpy().copy()
numpy.savez(target, **found)
"""


def compute_nb(model: str, feeds: int, inputs: Path, outputs: Path) -> None:
    """Compute a `.nb` on files of arrays `FEED_INPUT` and `FEED_OUTPUT` (.npz), any number of each.

    Raises:
        ToolError: There is no Paddle Lite for this machine.
        RunnerError: It ended without a result.
    """
    opt = find_opt()
    if opt is None or opt.python is None:
        raise ToolError("there is no Paddle Lite here that runs it", hint="edgekit toolchain install opt")
    words: list[str | Path] = [opt.python, "-I", "-c", _COMPUTE, model, str(feeds), inputs, outputs]
    done = _process.run(words, timeout_s=TIMEOUT_S, env=CLEAN)
    if not outputs.is_file():
        raise RunnerError(
            f"Paddle Lite {opt.version} does not compute it: {_process.describe_exit(done.exit_code)}: "
            f"{done.tail(2)}",
            hint="edgekit toolchain install opt --force",
        )
