"""Loads a `.nb` for x86 with Paddle Lite; runs in opt's own interpreter, forked by `lite_server`."""

import sys

from paddlelite.lite import MobileConfig, create_paddle_predictor

config = MobileConfig()
config.set_model_from_file(sys.argv[1])
create_paddle_predictor(config).get_input(0)
sys.stdout.write("edgekit: loaded\n")
