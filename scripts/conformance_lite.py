"""The Paddle Lite side of `conformance.py`: opt and an x86 inference of every directory named on stdin.

Runs in opt's own interpreter (Python 3.7), and may die of any case: what was done before is said before.
Directories hold `inference.pdmodel`, `inference.pdiparams` and `data.npz` (`in0`, `in1`, …).
"""

import json
import sys
from pathlib import Path

import numpy as np
from paddlelite import lite


def say(**what):
    print("\n" + json.dumps(what), flush=True)


for line in sys.stdin:
    directory = Path(line.strip())
    target = directory / "lite.nb"
    opt = lite.Opt()
    opt.set_model_file(str(directory / "inference.pdmodel"))
    opt.set_param_file(str(directory / "inference.pdiparams"))
    opt.set_valid_places("x86")
    opt.set_model_type("naive_buffer")
    opt.set_optimize_out(str(target.with_suffix("")))
    opt.run()
    if not target.is_file():
        say(ended=True, stage="opt", why="it wrote no file")
        continue
    say(ended=False, stage="opt", why="")
    try:
        config = lite.MobileConfig()
        config.set_model_from_file(str(target))
        predictor = lite.create_paddle_predictor(config)
        data = np.load(str(directory / "data.npz"))
        for index in range(len(predictor.get_input_names())):
            predictor.get_input(index).from_numpy(np.ascontiguousarray(data[f"in{index}"]))
        predictor.run()
        count = len(predictor.get_output_names())
        found = {f"out{index}": predictor.get_output(index).numpy() for index in range(count)}
        np.savez(str(directory / "lite.npz"), **found)
    except Exception as error:
        say(ended=True, stage="run", why=str(error)[-300:])
        continue
    say(ended=True, stage="done", why="")
